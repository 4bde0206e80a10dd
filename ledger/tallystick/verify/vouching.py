"""Whose log is it? Evidence names its log itself, so that has to be known from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tallystick.heads import LogTerms
from tallystick.ids import Address, checksum_address
from tallystick.verify.verdict import Gap

NOBODY: Final = Gap(
    "consistent with itself; whose log this is was not checked",
    "tallystick trust add, --trust NAME, the --log that you know, or the --writer that you know",
)
UNKNOWN_SIGNER: Final = "signed by {}, who is not known as a writer of this log"
UNKNOWN_SIGNER_REMEDY: Final = "--rpc: whether the log's keeper named that writer stands on the chain"
NOT_THE_ONE: Final = "signed by {}, not by the writer that was named"
NOT_THE_ONE_REMEDY: Final = "evidence that the named writer signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouch:
    """Somebody's word about whose log it is; `how` says whose.

    With `log_known` the log's identifier is known to be the right one: then its terms name the first writer, and `writers` are known
    besides. Where somebody is `named`, the signature must be one of theirs, whoever else writes the log.
    """

    how: str
    log_known: bool
    writers: tuple[Address, ...] = ()
    named: tuple[Address, ...] = ()

    def asks_for_another(self, signer: Address | None) -> bool:
        """Whether somebody else than this signer was named."""
        return bool(self.named) and signer not in self.named


def gap_of(vouch: Vouch | None, terms: LogTerms | None, signer: Address | None) -> Gap | None:
    """What is missing before a signature counts as the log's writer's; None where nothing is."""
    if vouch is None:
        return NOBODY
    shown = "nobody" if signer is None else checksum_address(signer)
    if vouch.asks_for_another(signer):
        return Gap(NOT_THE_ONE.format(shown), NOT_THE_ONE_REMEDY)
    known = {*vouch.writers, *vouch.named}
    if vouch.log_known and terms is not None:
        known.add(terms.writer)
    return None if signer in known else Gap(UNKNOWN_SIGNER.format(shown), UNKNOWN_SIGNER_REMEDY)
