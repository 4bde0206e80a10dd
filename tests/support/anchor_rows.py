"""The anchorer's rows in memory: a slow, plain AnchorStore, and the oracle for the one over the journal's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tallystick_platform.store.rows import (
    AnchorState,
    Batch,
    Depth,
    Epoch,
    Mined,
    PendingRecord,
    Row,
    Signed,
    Totals,
    chain_order,
)

DONE = (AnchorState.MINED, AnchorState.FINAL)


class MemoryRows:
    def __init__(self) -> None:
        self.sealed: list[PendingRecord] = []
        self.batches: list[Batch] = []
        self.epochs: list[Epoch] = []

    # -- what journal and sealing do ----------------------------------------------------------------------------------

    def journal(self, record: PendingRecord) -> None:
        self.sealed.append(record)

    def open_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    # -- AnchorStore --------------------------------------------------------------------------------------------------

    def unfinished(self) -> Sequence[Row]:
        epochs = [e for e in self.epochs if e.state in (AnchorState.SENT, AnchorState.MINED)]
        batches = [b for b in self.batches if b.state is not AnchorState.FINAL]
        return sorted([*epochs, *batches], key=chain_order)

    def next_epoch(self) -> Epoch | None:
        return next((e for e in self.epochs if e.state is AnchorState.PLANNED), None)

    def last_epoch(self) -> Epoch | None:
        return self.epochs[-1] if self.epochs else None

    def last_batch(self) -> Batch | None:
        return self.batches[-1] if self.batches else None

    def block_before(self, row: Row) -> int | None:
        before = [r for r in self._all() if type(r) is type(row) and r.number == row.number - 1 and r.mined]
        return before[0].mined.block_number if before else None

    def batch_ending_at(self, size: int) -> Batch | None:
        return next((b for b in self.batches if b.end == size), None)

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        return self.sealed[first_index : first_index + limit]

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        self.batches.append(batch)

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

    def rows_beyond(self, size: int, epoch: int) -> Sequence[Row]:
        done = [row for row in self._all() if row.state in DONE]
        beyond = [row for row in done if (row.end > size if isinstance(row, Batch) else row.number > epoch)]
        return sorted(beyond, key=chain_order)

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
            gas_used=sum(row.mined.gas_used for row in self._all() if row.state in DONE and row.mined),
            records_mined=sum(b.count for b in self.batches if b.state in DONE),
            last_final_index=max(final, default=None),
            batches=Counter(b.state for b in self.batches),
        )

    def _all(self) -> list[Row]:
        return [*self.epochs, *self.batches]

    def _put(self, old: Row, new: Row) -> None:
        rows: list[Row] = self.batches if isinstance(old, Batch) else self.epochs  # type: ignore[assignment]
        at = next(i for i, row in enumerate(rows) if row.number == old.number)
        rows[at] = replace(new, first_index=rows[at].first_index)
