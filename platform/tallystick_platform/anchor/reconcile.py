"""Comparing the chain's log with the journal's: what stands, what does not, and whether they are one log at all.

The contract keeps the number of entries and the head, and the head binds every entry before it. So one comparison decides: the chain's head
is the journal's after so many entries, and everything up to there stands; or it is not, and nothing may be sent any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tallystick.chain import LogState
from tallystick.ids import Address, Head, checksum_address
from tallystick_platform.anchor.errors import ChainAhead, HeadMismatch, OtherLog, WriterChanged
from tallystick_platform.store.rows import Row, Tip


class JournalLog(Protocol):
    """The journal's log as far as it was planned."""

    def tip(self) -> Tip: ...

    def head_at(self, entries: int) -> Head | None: ...

    def begins_here(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The part of the journal's log that stands on the chain."""

    entries: int

    def holds(self, row: Row) -> bool:
        """Whether the row's work is done on the chain, by whichever transaction."""
        return row.entry is not None and row.entry < self.entries


def reconcile(state: LogState, writer: Address, journal: JournalLog) -> Standing:
    """Find how much of the journal's log the chain holds.

    A chain that holds less is no fault here: it is behind, or was reorganised, and what is missing can be sent again.

    Raises: OtherLog, ChainAhead, HeadMismatch, WriterChanged
    """
    if state.entries == 0 and not journal.begins_here():
        raise OtherLog
    tip = journal.tip()
    if state.entries > tip.entries:
        raise ChainAhead(journal=tip.entries, chain=state.entries, size=state.size)
    expected = journal.head_at(state.entries)
    if expected != state.head:
        raise HeadMismatch(entries=state.entries, expected=expected, found=state.head)
    if state.writer != writer:
        raise WriterChanged(expected=checksum_address(writer), found=checksum_address(state.writer))
    return Standing(entries=state.entries)
