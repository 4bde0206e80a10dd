"""The anchorer's side of the journal: batches, epochs and void numbers, and how far each has come.

Used from one thread that is not the journal's. Every write is durable on return; if it raises, it may or may not have happened,
and the anchorer looks again. A write that does not fit the row's state changes nothing. Each row read has its MAC checked.

A batch has its entry from the start. An epoch, or numbers to be declared void, get theirs when it is their turn: an epoch comes after every
record of an earlier one and before every record of its own.

In the order of entries come first the final rows, then the mined, the sent, the planned. What grows with the log is therefore found
from its end, and summed once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from tallystick.ids import Epoch as EpochNumber
from tallystick.ids import Head, Index, Leaf, LogId
from tallystick.merkle import MAX_BATCH_RECORDS
from tallystick_platform.errors import StateConflict
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import insert_row, replace_row
from tallystick_platform.store.rows import (
    PLACE_COLUMNS,
    AnchorState,
    Batch,
    Depth,
    Epoch,
    Mined,
    PendingRecord,
    Rotation,
    Row,
    Signed,
    Tip,
    Totals,
    Void,
    batch_of,
    chain_order,
    epoch_of,
    pending_of,
    place_of,
    table_of,
    void_of,
)
from tallystick_platform.store.tables import ADOPTED, BATCH, EPOCH, RECORD, ROTATION, VOID

_ON_CHAIN = (AnchorState.MINED.value, AnchorState.FINAL.value)
_KINDS: tuple[tuple[Table, Callable[[Mapping[str, Any]], Row]], ...] = (
    (BATCH, batch_of),
    (EPOCH, epoch_of),
    (VOID, void_of),
)


@dataclass(frozen=True, slots=True)
class _Final:
    """Sums over the first so many batches, all final."""

    batches: int = 0
    records: int = 0
    gas_used: int = 0


class Batches:
    """Batch, epoch and void rows of one log."""

    def __init__(self, database: Database, macs: RowMacs, log_id: LogId) -> None:
        self._database = database
        self._macs = macs
        self._log_id = log_id
        self._lock = threading.Lock()
        self._final = _Final()
        with database.reading() as connection:
            self._anchored_size = _anchored_size(connection)

    @property
    def anchored_size(self) -> int:
        """The log's size after the last mined or final batch. Costs nothing: back-pressure looks at it for every request."""
        return self._anchored_size

    # -- the log as it is planned

    def tip(self) -> Tip:
        """The log once every row that has its place stands on the chain."""
        with self._database.reading() as connection:
            return self._tip(connection)

    def standing(self, *, final: bool) -> Tip:
        """The log as far as it stands on the chain, by what this journal sent or read and compared; `final`: for good."""
        states = (AnchorState.FINAL.value,) if final else _ON_CHAIN
        with self._database.reading() as connection:
            return self._tip(connection, states)

    def head_at(self, entries: int) -> Head | None:
        """The head after so many entries; None if this journal does not know it."""
        if entries == 0:
            return Head(self._log_id)
        with self._database.reading() as connection:
            for table, _ in _KINDS:
                for row in self._rows(connection, select(table).where(table.c.entry == entries - 1), table):
                    return Head(row["head"])
            for row in self._rows(connection, select(ROTATION).where(ROTATION.c.entry == entries - 1), ROTATION):
                return Head(row["head"])
        return None

    def begins_here(self) -> bool:
        """Whether the first entry that this journal has, if any, follows from this log: a journal of another log must not be sent to it."""
        with self._database.reading() as connection:
            rows = [row for table, _ in _KINDS for row in self._read(connection, table, table.c.entry == 0)]
        empty = Tip.empty(self._log_id)
        for row in rows:
            if isinstance(row, Batch):
                return row.head == empty.head_after_batch(row.epoch, row.count, row.root)
            return row.head == empty.head_after(row)
        return True

    def unfinished(self) -> Sequence[Row]:
        """Rows that have their place and are not final, in the order in which the chain must see them."""
        final = AnchorState.FINAL.value
        with self._database.reading() as connection:
            rows = self._read(connection, BATCH, BATCH.c.number >= _final_batches(connection), BATCH.c.state != final)
            for table in (EPOCH, VOID):
                rows += self._read(connection, table, table.c.entry.is_not(None), table.c.state != final)
        return sorted(rows, key=chain_order)

    def next_epoch(self) -> Epoch | None:
        """The lowest epoch that has no place yet."""
        with self._database.reading() as connection:
            found = self._read(connection, EPOCH, EPOCH.c.entry.is_(None))
        return next((row for row in found if isinstance(row, Epoch)), None)

    def next_void(self) -> Void | None:
        """The lowest void numbers that have no place yet."""
        with self._database.reading() as connection:
            found = self._read(connection, VOID, VOID.c.entry.is_(None))
        return next((row for row in found if isinstance(row, Void)), None)

    def last_batch(self) -> Batch | None:
        """The batch with the highest number, whatever its state."""
        with self._database.reading() as connection:
            return self._last_batch(connection)

    def rotations(self) -> Sequence[Rotation]:
        """Every change of the writer that this journal knows, in order."""
        with self._database.reading() as connection:
            return [
                Rotation(**{each.name: row[each.name] for each in fields(Rotation)})
                for row in self._rows(connection, select(ROTATION).order_by(ROTATION.c.entry), ROTATION)
            ]

    # -- what is shown and proved

    def batch(self, number: int) -> Batch | None:
        """The batch of this number."""
        with self._database.reading() as connection:
            return _first_batch(self._read(connection, BATCH, BATCH.c.number == number))

    def page(self, before: int | None, limit: int) -> Sequence[Batch]:
        """Batches below number `before`, newest first."""
        below = BATCH.c.number >= 0 if before is None else BATCH.c.number < before
        query = select(BATCH).where(below).order_by(BATCH.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [batch_of(row) for row in self._rows(connection, query, BATCH)]

    def batch_holding(self, index: int) -> Batch | None:
        """The batch that holds a record."""
        start = select(func.max(BATCH.c.first_index)).where(BATCH.c.first_index <= index).scalar_subquery()
        with self._database.reading() as connection:
            found = _first_batch(self._read(connection, BATCH, BATCH.c.first_index == start))
        return found if found is not None and found.end > index else None

    def block_before(self, row: Row) -> int | None:
        """The block in which the entry before this row's stands; None where this journal does not know."""
        if row.entry is None:
            return None
        with self._database.reading() as connection:
            for table in (BATCH, EPOCH, VOID, ROTATION):
                block = connection.execute(select(table.c.block_number).where(table.c.entry == row.entry - 1)).scalar()
                if block is not None:
                    return int(block)
        return None

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        """Journaled records from `first_index` on, in order, at most `limit`."""
        query = select(RECORD).where(RECORD.c.log_index >= first_index).order_by(RECORD.c.log_index)
        with self._database.reading() as connection:
            rows = self._rows(connection, query.limit(min(limit, MAX_BATCH_RECORDS)), RECORD)
            return [pending_of(row) for row in rows]

    def leaves(self, first_index: int, count: int) -> Sequence[Leaf]:
        """The leaves of consecutive records, for proofs; also of those that only the chain has."""
        end = first_index + count
        found: dict[int, Leaf] = {}
        with self._database.reading() as connection:
            for table in (ADOPTED, RECORD):
                query = select(table.c.log_index, table.c.leaf)
                span = query.where(table.c.log_index >= first_index, table.c.log_index < end)
                found |= {index: Leaf(leaf) for index, leaf in connection.execute(span)}
        return [found[index] for index in sorted(found)]

    # -- how rows come along

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        """Insert a batch in state planned. It must continue the log, and hold journaled records of the epoch that it names.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            tip = self._tip(connection)
            expected = (tip.entries, tip.batch_count, tip.size)
            found = (batch.entry, batch.number, batch.first_index)
            if found != expected:
                raise _conflict(batch, f"entry, number and first index {expected}", f"{found}")
            _check_contents(connection, batch)
            values: dict[str, Value] = {
                "number": batch.number,
                "entry": batch.entry,
                "epoch": batch.epoch,
                "adopted": 0,
            }
            values |= {"first_index": batch.first_index, "count": batch.count, "root": batch.root, "head": batch.head}
            values |= {"state": AnchorState.PLANNED.value, "created_at": at_us}
            insert_row(connection, self._macs, BATCH, values)

    def place(self, row: Epoch | Void, entry: int, head: Head) -> None:
        """Give an epoch or void numbers their place: the log's next entry. Requires: none before.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            tip = self._tip(connection)
            if tip.entries != entry:
                raise _conflict(row, f"entry {tip.entries}", f"entry {entry}")
            values = self._current(connection, row)
            if values["entry"] is not None:
                raise _conflict(row, "no place yet", f"entry {values['entry']!r}")
            replace_row(connection, self._macs, table_of(row), values, {"entry": entry, "head": head})

    def save_signed(self, row: Row, signed: Signed, at_us: int) -> None:
        """Replace the row's transaction; the row becomes sent. Requires: planned or sent.

        Raises: StateConflict
        """
        changes: dict[str, Value] = {
            "nonce": signed.nonce,
            "tx_hash": signed.tx_hash,
            "raw_tx": signed.raw,
            "sent_at": at_us,
        }
        with self._database.writing() as connection:
            self._change(connection, row, AnchorState.SENT, changes, (AnchorState.PLANNED, AnchorState.SENT))

    def save_mined(self, row: Row, mined: Mined, at_us: int) -> None:
        """Note where the row stands; the row becomes mined. Requires: not final.

        A planned row may turn out to stand on the chain already, after a backup of the journal was restored.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            changes = place_of(mined) | {"mined_at": at_us}
            required = (AnchorState.PLANNED, AnchorState.SENT, AnchorState.MINED)
            self._change(connection, row, AnchorState.MINED, changes, required)
            self._anchored_size = _anchored_size(connection)

    def save_final(self, row: Row) -> None:
        """The row becomes final. Requires: mined.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            self._change(connection, row, AnchorState.FINAL, {}, (AnchorState.MINED,))

    def take_back(self, rows: Sequence[Row]) -> None:
        """After a reorg: in one transaction, each row becomes sent again and loses its place in a block.

        A row that was never signed here becomes planned again. Its entry and head stay: the log comes back as it was.
        Requires: mined or final, and not adopted.

        Raises: StateConflict
        """
        nowhere: dict[str, Value] = dict.fromkeys((*PLACE_COLUMNS, "mined_at"))
        with self._lock:
            self._final = _Final()
            with self._database.writing() as connection:
                for row in rows:
                    state = AnchorState.PLANNED if row.signed is None else AnchorState.SENT
                    self._change(connection, row, state, nowhere, (AnchorState.MINED, AnchorState.FINAL))
                self._anchored_size = _anchored_size(connection)

    def rows_beyond(self, entries: int) -> Sequence[Row]:
        """Rows that were mined or final past a log of so many entries, in order."""
        rows: list[Row] = []
        with self._database.reading() as connection:
            for table, _ in _KINDS:
                rows += self._read(connection, table, table.c.entry >= entries, table.c.state.in_(_ON_CHAIN))
        return sorted(rows, key=chain_order)

    # -- figures

    def depth(self) -> Depth:
        """What waits for the chain."""
        with self._database.reading() as connection:
            waiting = RECORD.c.log_index >= _anchored_size(connection)
            count, length, oldest = connection.execute(
                select(func.count(), func.sum(func.length(RECORD.c.sealed)), func.min(RECORD.c.created_at)).where(
                    waiting
                )
            ).one()
        return Depth(records=count, sealed_bytes=length or 0, oldest_created_at_us=oldest)

    def totals(self) -> Totals:
        """What has reached it."""
        with self._lock, self._database.reading() as connection:
            self._sum_final(connection)
            final = self._final
            later = connection.execute(
                select(BATCH.c.state, BATCH.c.count.label("records"), BATCH.c.gas_used).where(
                    BATCH.c.number >= final.batches
                )
            ).all()
            gas = sum(
                connection.execute(select(func.sum(table.c.gas_used)).where(table.c.state.in_(_ON_CHAIN))).scalar() or 0
                for table in (EPOCH, VOID)
            )
        states = Counter({AnchorState.FINAL: final.batches} if final.batches else {})
        states.update(AnchorState(row.state) for row in later)
        mined = [row for row in later if row.state in _ON_CHAIN]
        return Totals(
            gas_used=final.gas_used + sum(row.gas_used for row in mined) + gas,
            records_mined=final.records + sum(row.records for row in mined),
            last_final_index=final.records - 1 if final.records else None,
            batches=states,
        )

    def _sum_final(self, connection: Connection) -> None:
        """Add what became final since the last sum; `take_back` makes it begin again."""
        count = _final_batches(connection)
        fresh = (BATCH.c.number >= self._final.batches, BATCH.c.number < count)
        records, gas = connection.execute(
            select(func.sum(BATCH.c.count), func.sum(BATCH.c.gas_used)).where(*fresh)
        ).one()
        self._final = _Final(count, self._final.records + (records or 0), self._final.gas_used + (gas or 0))

    # -- rows

    def _tip(self, connection: Connection, states: Sequence[str] | None = None) -> Tip:
        """The log after the newest entry, or after the newest that is in one of these states."""
        newest: dict[str, Mapping[str, Any]] = {}
        for table in (BATCH, EPOCH, VOID, ROTATION):
            counted = [] if states is None or table is ROTATION else [table.c.state.in_(states)]
            last = select(func.max(table.c.entry)).where(*counted).scalar_subquery()
            for row in self._rows(connection, select(table).where(table.c.entry == last), table):
                newest[table.name] = row
        if not newest:
            return Tip.empty(self._log_id)
        top = max(newest.values(), key=lambda row: int(row["entry"]))
        batch, epoch, rotation = (newest.get(table.name) for table in (BATCH, EPOCH, ROTATION))
        return Tip(
            entries=top["entry"] + 1,
            head=Head(top["head"]),
            size=Index(0 if batch is None else batch["first_index"] + batch["count"]),
            batch_count=0 if batch is None else batch["number"] + 1,
            epoch=EpochNumber(0 if epoch is None else epoch["number"]),
            epoch_open=epoch is not None and (rotation is None or rotation["entry"] < epoch["entry"]),
        )

    def _last_batch(self, connection: Connection) -> Batch | None:
        newest = select(func.max(BATCH.c.number)).scalar_subquery()
        return _first_batch(self._read(connection, BATCH, BATCH.c.number == newest))

    def _read(self, connection: Connection, table: Table, *where: Any) -> list[Row]:
        make = next(make for known, make in _KINDS if known is table)
        query = select(table).where(*where).order_by(table.c.number)
        return [make(row) for row in self._rows(connection, query, table)]

    def _rows(self, connection: Connection, query: Select[Any], table: Table) -> list[Mapping[str, Any]]:
        return [self._macs.check(table, row) for row in connection.execute(query)]

    def _current(self, connection: Connection, row: Row) -> Mapping[str, Value]:
        table = table_of(row)
        found = connection.execute(select(table).where(table.c.number == row.number)).first()
        if found is None:
            raise _conflict(row, "a row", "no such row")
        return self._macs.check(table, found)

    def _change(
        self,
        connection: Connection,
        row: Row,
        state: AnchorState,
        changes: Mapping[str, Value],
        required: Sequence[AnchorState],
    ) -> None:
        """Set columns of a row that is in one of the required states."""
        values = self._current(connection, row)
        if values["state"] not in required:
            raise _conflict(row, " or ".join(required), str(values["state"]))
        replace_row(connection, self._macs, table_of(row), values, {**changes, "state": state.value})


def _first_batch(rows: Sequence[Row]) -> Batch | None:
    return next((row for row in rows if isinstance(row, Batch)), None)


def _conflict(row: Row, expected: str, found: str) -> StateConflict:
    return StateConflict(table=table_of(row).name, row=row.number, expected=expected, found=found)


def _check_contents(connection: Connection, batch: Batch) -> None:
    count, epochs, epoch = connection.execute(
        select(func.count(), func.count(RECORD.c.epoch.distinct()), func.max(RECORD.c.epoch)).where(
            RECORD.c.log_index >= batch.first_index, RECORD.c.log_index < batch.end
        )
    ).one()
    if (count, epochs, epoch) != (batch.count, 1, batch.epoch):
        found = f"{count} records of {epochs} epochs, the last {epoch}"
        raise _conflict(batch, f"{batch.count} records of epoch {batch.epoch}", found)


def _anchored_size(connection: Connection) -> int:
    newest = select(BATCH.c.first_index + BATCH.c.count).where(BATCH.c.state.in_(_ON_CHAIN))
    return connection.execute(newest.order_by(BATCH.c.number.desc()).limit(1)).scalar() or 0


def _final_batches(connection: Connection) -> int:
    newest = select(BATCH.c.number + 1).where(BATCH.c.state == AnchorState.FINAL.value)
    return connection.execute(newest.order_by(BATCH.c.number.desc()).limit(1)).scalar() or 0
