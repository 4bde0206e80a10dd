"""What can go wrong on the writer's way to a chain, beside what `tallystick.errors` names: ChainUnavailable and ChainRejected."""

from __future__ import annotations

from tallystick_platform.errors import PlatformError


class TransactionTooLarge(PlatformError):
    """A transaction is beyond what nodes take. The batch should have been cut smaller."""

    def __init__(self, *, unit: str, found: int, limit: int) -> None:
        super().__init__(f"the transaction has {found} {unit}, more than {limit}")


class SignerUnavailable(PlatformError):
    """The remote signer could not be asked, or answered something that is no signature."""

    def __init__(self, *, signer: str, reason: str) -> None:
        super().__init__(f"the signer {signer} does not answer: {reason}")


class SignerRefused(PlatformError):
    """The remote signer would not sign, or signed something else than it was given."""

    def __init__(self, *, signer: str, reason: str) -> None:
        super().__init__(f"the signer {signer} did not sign: {reason}")
