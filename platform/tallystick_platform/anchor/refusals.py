"""Reading a node's refusal: nodes agree on few error codes, so their words decide."""

from __future__ import annotations

from enum import StrEnum

from tallystick.chain import ContractReverted
from tallystick.errors import ChainRejected


class Refusal(StrEnum):
    """What the refusal asks the anchorer to do."""

    NONCE_USED = "nonce used"  # look at the chain: ours may have landed
    FEE_TOO_LOW = "fee too low"  # sign again, dearer
    NO_FUNDS = "no funds"  # wait for the operator
    REVERTED = "reverted"  # the contract would refuse it
    OTHER = "other"  # wait, and show it


# Words of geth, reth, Nethermind, Besu, Erigon, anvil and eth-tester, lower case. The first match decides.
_WORDS: tuple[tuple[Refusal, tuple[str, ...]], ...] = (
    (Refusal.NONCE_USED, ("nonce too low", "nonce is too low", "invalid nonce", "invalid transaction nonce", "nonce too high", "oldnonce")),
    (
        Refusal.FEE_TOO_LOW,
        ("underpriced", "fee too low", "feetoolow", "gas price below", "less than block base fee", "below the base fee",
         "fee less than block base", "max fee per gas less"),
    ),
    (Refusal.NO_FUNDS, ("insufficient funds", "insufficientfunds", "insufficient balance", "upfront cost exceeds", "lack of funds")),
    (Refusal.REVERTED, ("revert",)),
)  # fmt: skip


def classify(rejected: ChainRejected) -> Refusal:
    """What a refused call asks for."""
    if isinstance(rejected, ContractReverted):
        return Refusal.REVERTED
    words = rejected.message.lower()
    for refusal, phrases in _WORDS:
        if any(phrase in words for phrase in phrases):
            return refusal
    return Refusal.OTHER
