"""Comparing the chain's log with the journal's: what stands, what does not, and whether they are one log at all.

The contract keeps size and head, and each head binds every batch before it. So one comparison decides: the chain's (size, head)
is one of the journal's batch ends, and everything up to there stands; or it is none, and nothing may be sent any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tallystick.chain import LogState
from tallystick.ids import Address, Head, LogId, checksum_address
from tallystick_platform.anchor.errors import BatchMismatch, ChainAhead, HeadMismatch, WriterChanged
from tallystick_platform.store.rows import Batch, Epoch, Row


class JournalLog(Protocol):
    """The journal's log as far as it was planned."""

    def last_epoch(self) -> Epoch | None: ...

    def last_batch(self) -> Batch | None: ...

    def batch_ending_at(self, size: int) -> Batch | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The part of the journal's log that stands on the chain."""

    size: int
    epoch: int
    batch_count: int

    def holds(self, row: Row) -> bool:
        """Whether the row's work is done on the chain, by whichever transaction."""
        return row.end <= self.size if isinstance(row, Batch) else row.number <= self.epoch


def reconcile(state: LogState, log_id: LogId, writer: Address, journal: JournalLog) -> Standing:
    """Find how much of the journal's log the chain holds.

    A chain that holds less is no fault here: it is behind, or was reorganised, and what is missing can be sent again.

    Raises: WriterChanged, ChainAhead, HeadMismatch, BatchMismatch
    """
    if state.writer != writer:
        raise WriterChanged(expected=checksum_address(writer), found=checksum_address(state.writer))
    last_epoch = journal.last_epoch()
    journal_epoch = 0 if last_epoch is None else last_epoch.number
    if state.epoch > journal_epoch:
        raise ChainAhead(what="epochs", journal=journal_epoch, chain=state.epoch)
    last = journal.last_batch()
    journal_size = 0 if last is None else last.end
    if state.size > journal_size:
        raise ChainAhead(what="records", journal=journal_size, chain=state.size)
    expected, batch_count = _head_at(state.size, log_id, journal)
    if expected != state.head:
        raise HeadMismatch(size=state.size, expected=expected, found=state.head)
    if state.batch_count != batch_count:
        raise BatchMismatch(
            batch=batch_count, field="number of batches", expected=str(batch_count), found=str(state.batch_count)
        )
    return Standing(size=state.size, epoch=state.epoch, batch_count=batch_count)


def _head_at(size: int, log_id: LogId, journal: JournalLog) -> tuple[Head | None, int]:
    if size == 0:
        return Head(log_id), 0
    batch = journal.batch_ending_at(size)
    return (None, 0) if batch is None else (batch.head, batch.number + 1)
