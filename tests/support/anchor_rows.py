"""The anchorer's rows in memory: slow and plain, and the oracle for the one over the journal's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tallystick.ids import Epoch as EpochNumber
from tallystick.ids import Head, Index, LogId
from tallystick_platform.store.rows import (
    AnchorState,
    Batch,
    Depth,
    Epoch,
    Mined,
    PendingRecord,
    Row,
    Signed,
    Tip,
    Totals,
    Void,
    chain_order,
)

DONE = (AnchorState.MINED, AnchorState.FINAL)


class MemoryRows:
    def __init__(self, log_id: LogId) -> None:
        self.log_id = log_id
        self.sealed: list[PendingRecord] = []
        self.batches: list[Batch] = []
        self.epochs: list[Epoch] = []
        self.voids: list[Void] = []

    # -- what journal, sealing and adoption do ------------------------------------------------------------------------

    def journal(self, record: PendingRecord) -> None:
        self.sealed.append(record)

    def open_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def void(self, first: int, last: int) -> None:
        self.voids.append(Void(number=len(self.voids), first=first, last=last))

    # -- AnchorStore --------------------------------------------------------------------------------------------------

    def tip(self) -> Tip:
        placed = self._placed()
        batches = [row for row in placed if isinstance(row, Batch)]
        epochs = [row for row in placed if isinstance(row, Epoch)]
        if not placed:
            return Tip.empty(self.log_id)
        return Tip(
            entries=placed[-1].entry + 1,
            head=placed[-1].head,
            size=batches[-1].end if batches else Index(0),
            batch_count=len(batches),
            epoch=epochs[-1].number if epochs else EpochNumber(0),
            epoch_open=bool(epochs),
        )

    def head_at(self, entries: int) -> Head | None:
        if entries == 0:
            return Head(self.log_id)
        return next((row.head for row in self._placed() if row.entry == entries - 1), None)

    def begins_here(self) -> bool:
        return True

    def unfinished(self) -> Sequence[Row]:
        return [row for row in self._placed() if row.state is not AnchorState.FINAL]

    def next_epoch(self) -> Epoch | None:
        return next((epoch for epoch in self.epochs if epoch.entry is None), None)

    def next_void(self) -> Void | None:
        return next((void for void in self.voids if void.entry is None), None)

    def last_batch(self) -> Batch | None:
        return self.batches[-1] if self.batches else None

    def block_before(self, row: Row) -> int | None:
        before = [other for other in self._placed() if other.entry == row.entry - 1 and other.mined]
        return before[0].mined.block_number if before else None

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        return self.sealed[first_index : first_index + limit]

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        self.batches.append(batch)

    def place(self, row: Epoch | Void, entry: int, head: Head) -> None:
        self._put(row, replace(row, entry=entry, head=head))

    def save_signed(self, row: Row, signed: Signed, at_us: int) -> None:
        self._put(row, replace(row, signed=signed, state=AnchorState.SENT))

    def save_mined(self, row: Row, mined: Mined, at_us: int) -> None:
        self._put(row, replace(row, mined=mined, state=AnchorState.MINED))

    def save_final(self, row: Row) -> None:
        self._put(row, replace(row, state=AnchorState.FINAL))

    def take_back(self, rows: Sequence[Row]) -> None:
        for row in rows:
            state = AnchorState.PLANNED if row.signed is None else AnchorState.SENT
            self._put(row, replace(row, mined=None, state=state))

    def rows_beyond(self, entries: int) -> Sequence[Row]:
        return [row for row in self._placed() if row.state in DONE and row.entry >= entries]

    def depth(self) -> Depth:
        anchored = max((b.end for b in self.batches if b.state in DONE), default=0)
        waiting = self.sealed[anchored:]
        oldest = waiting[0].created_at_us if waiting else None
        return Depth(
            records=len(waiting), sealed_bytes=sum(len(r.sealed) for r in waiting), oldest_created_at_us=oldest
        )

    def totals(self) -> Totals:
        final = [b.end - 1 for b in self.batches if b.state is AnchorState.FINAL]
        return Totals(
            gas_used=sum(row.mined.gas_used for row in self._placed() if row.state in DONE and row.mined),
            records_mined=sum(b.count for b in self.batches if b.state in DONE),
            last_final_index=max(final, default=None),
            batches=Counter(b.state for b in self.batches),
        )

    def _placed(self) -> list[Row]:
        rows: list[Row] = [*self.batches, *self.epochs, *self.voids]
        return sorted((row for row in rows if row.entry is not None), key=chain_order)

    def _put(self, old: Row, new: Row) -> None:
        rows: list[Row] = (
            self.batches if isinstance(old, Batch) else self.epochs if isinstance(old, Epoch) else self.voids  # type: ignore[assignment]
        )
        at = next(i for i, row in enumerate(rows) if row.number == old.number)
        rows[at] = new
