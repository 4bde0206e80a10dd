"""How the anchorer behaves: what the operator sets, and the bounds that nobody needs to set."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick_platform.settings import Settings

MAX_FEE_BUMPS = 8
MAX_REVERTS = 3
BACKOFF_FIRST_MS = 250
BACKOFF_CAP_MS = 30_000
SLOW_RETRY_MS = 15_000  # for what only a person or the fee market mends
HALTED_MS = 3_600_000
IDLE_MS = 60_000  # a look at the chain even when nothing waits
EMBEDDED_POLL_MS = 250
EMBEDDED_RESEND_MS = (
    3_000  # its pool is in memory and its blocks are a second apart: what took longer was lost in a restart
)
EMBEDDED_IN_FLIGHT = (
    4  # its pool is ours alone; a block takes several transactions, and there is one block a second at most
)
REMOTE_POLL_MS = 2_000
REMOTE_RESEND_MS = 30_000
MIN_PAUSE_MS = 100  # however often the journal calls, passes are no closer


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorPolicy:
    """What the operator sets, or what follows from it. Units: bytes, milliseconds, blocks, wei per gas."""

    batch_max_bytes: int = 98_304
    batch_max_age_ms: int = 1_000
    confirmations: int = 0
    poll_ms: int = 250
    resend_after_ms: int = REMOTE_RESEND_MS
    bump_after_ms: int = 60_000
    max_fee_per_gas_wei: int = 500_000_000_000
    max_in_flight: int = 1

    @classmethod
    def from_settings(cls, settings: Settings) -> AnchorPolicy:
        """The policy that the settings ask for; a chain of our own is asked more often than somebody's node."""
        return cls(
            batch_max_bytes=settings.batch_max_bytes,
            batch_max_age_ms=settings.batch_max_age_ms,
            confirmations=settings.confirmations,
            poll_ms=EMBEDDED_POLL_MS if settings.embedded_chain else REMOTE_POLL_MS,
            resend_after_ms=EMBEDDED_RESEND_MS if settings.embedded_chain else REMOTE_RESEND_MS,
            max_in_flight=EMBEDDED_IN_FLIGHT if settings.embedded_chain else 1,
            max_fee_per_gas_wei=settings.max_fee_per_gas_gwei * 10**9,
        )


def backoff_ms(failures: int) -> int:
    """The pause after this many failures in a row: doubling from BACKOFF_FIRST_MS up to BACKOFF_CAP_MS."""
    return min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS << min(failures - 1, 16)) if failures > 0 else 0
