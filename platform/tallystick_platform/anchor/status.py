"""What anchoring has done and what waits, as one value: for /readyz, /v1/ledger and the metrics alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tallystick_platform.store.rows import AnchorState


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStatus:
    """One look at anchoring. A record is un-anchored until a batch that holds it is mined.

    Units: sealed bytes; milliseconds since the oldest un-anchored record was journaled (0 when none waits); gas; microseconds UTC.
    """

    halted: bool
    error: str | None
    error_type: str | None
    unanchored_records: int
    unanchored_bytes: int
    lag_ms: int
    looked_at_us: int | None
    gas_used: int
    gas_per_record: float | None
    batches: Mapping[AnchorState, int]
    last_confirmed_index: int | None
    sends: int
    signatures: int
    fee_bumps: int
    reverts: int
    reorgs: int

    @property
    def healthy(self) -> bool:
        """Whether anchoring goes on by itself, now or once the chain answers. A halt needs a person."""
        return not self.halted
