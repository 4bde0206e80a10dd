"""The anchorer's side of the journal: epochs and batches, and how far each has come.

Used from one thread that is not the journal's. Every write is durable on return; if it raises, it may or may not have happened,
and the anchorer looks again. A write that does not fit the row's state changes nothing. Each row read has its MAC checked.

The order on the chain: an epoch is opened when the log's size is exactly its first index, so every record of an earlier epoch comes
before it and every record of its own after it. A batch never holds records of two epochs.

In the order of numbers come first the final batches, then the mined, the sent, the planned. What grows with the log is therefore found
from its end, and summed once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update

from tallystick.ids import Leaf
from tallystick.merkle import MAX_BATCH_RECORDS
from tallystick_platform.errors import StateConflict
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.rows import (
    PLACE_COLUMNS,
    AnchorState,
    Batch,
    Depth,
    Epoch,
    Mined,
    PendingRecord,
    Row,
    Signed,
    Totals,
    batch_of,
    chain_order,
    epoch_of,
    pending_of,
    place_of,
)
from tallystick_platform.store.tables import BatchRow, EpochRow, RecordRow, table_of

BATCH, EPOCH, RECORD = (table_of(model) for model in (BatchRow, EpochRow, RecordRow))
_ON_CHAIN = (AnchorState.MINED.value, AnchorState.FINAL.value)


@dataclass(frozen=True, slots=True)
class _Final:
    """Sums over the first so many batches, all final."""

    batches: int = 0
    records: int = 0
    gas_used: int = 0


class Batches:
    """Epoch and batch rows."""

    def __init__(self, database: Database, macs: RowMacs) -> None:
        self._database = database
        self._macs = macs
        self._lock = threading.Lock()
        self._final = _Final()
        with database.reading() as connection:
            self._anchored_size = _anchored_size(connection)

    @property
    def anchored_size(self) -> int:
        """Records in mined or final batches. Costs nothing: back-pressure looks at it for every request."""
        return self._anchored_size

    def unfinished(self) -> Sequence[Row]:
        """Batches that are not final, and epochs that are sent or mined, in the order in which the chain must see them."""
        sent = (AnchorState.SENT.value, AnchorState.MINED.value)
        with self._database.reading() as connection:
            epochs = self._epochs(connection, EPOCH.c.state.in_(sent))
            batches = self._batches(connection, BATCH.c.number >= _final_batches(connection))
        return sorted([*epochs, *batches], key=chain_order)

    def next_epoch(self) -> Epoch | None:
        """The lowest epoch in state planned."""
        with self._database.reading() as connection:
            found = self._epochs(connection, EPOCH.c.state == AnchorState.PLANNED.value)
        return found[0] if found else None

    def last_epoch(self) -> Epoch | None:
        """The epoch with the highest number, whatever its state."""
        with self._database.reading() as connection:
            newest = select(func.max(EPOCH.c.number)).scalar_subquery()
            found = self._epochs(connection, EPOCH.c.number == newest)
        return found[0] if found else None

    def last_batch(self) -> Batch | None:
        """The batch with the highest number, whatever its state."""
        with self._database.reading() as connection:
            return self._last_batch(connection)

    def batch(self, number: int) -> Batch | None:
        """The batch of this number."""
        with self._database.reading() as connection:
            found = self._batches(connection, BATCH.c.number == number)
        return found[0] if found else None

    def page(self, before: int | None, limit: int) -> Sequence[Batch]:
        """Batches below number `before`, newest first."""
        below = BATCH.c.number >= 0 if before is None else BATCH.c.number < before
        query = select(BATCH).where(below).order_by(BATCH.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [batch_of(self._macs.check(BATCH, row)) for row in connection.execute(query)]

    def block_before(self, row: Row) -> int | None:
        """The block in which the row of the same kind with the number before stands; None if there is none."""
        table = _table(row)
        query = select(table.c.block_number).where(table.c.number == row.number - 1, table.c.state.in_(_ON_CHAIN))
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def batch_ending_at(self, size: int) -> Batch | None:
        """The batch after which the log has this size."""
        below = select(func.max(BATCH.c.first_index)).where(BATCH.c.first_index < size).scalar_subquery()
        with self._database.reading() as connection:
            found = self._batches(connection, BATCH.c.first_index == below)
        return found[0] if found and found[0].end == size else None

    def batch_holding(self, index: int) -> Batch | None:
        """The batch that holds a record."""
        start = select(func.max(BATCH.c.first_index)).where(BATCH.c.first_index <= index).scalar_subquery()
        with self._database.reading() as connection:
            found = self._batches(connection, BATCH.c.first_index == start)
        return found[0] if found and found[0].end > index else None

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        """Journaled records from `first_index` on, in order, at most `limit`."""
        query = select(RECORD).where(RECORD.c.log_index >= first_index).order_by(RECORD.c.log_index)
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(min(limit, MAX_BATCH_RECORDS)))
            return [pending_of(self._macs.check(RECORD, row)) for row in rows]

    def leaves(self, first_index: int, count: int) -> Sequence[Leaf]:
        """The leaves of consecutive records, for proofs."""
        end = first_index + count
        query = select(RECORD.c.leaf).where(RECORD.c.log_index >= first_index, RECORD.c.log_index < end)
        with self._database.reading() as connection:
            return [Leaf(leaf) for leaf in connection.execute(query.order_by(RECORD.c.log_index)).scalars()]

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        """Insert a batch in state planned. It must continue the last one, and hold journaled records of one epoch.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            last = self._last_batch(connection)
            expected = (0, 0) if last is None else (last.number + 1, last.end)
            if (batch.number, batch.first_index) != expected:
                raise _conflict(batch, f"number and first index {expected}", f"{(batch.number, batch.first_index)}")
            _check_contents(connection, batch)
            values: dict[str, Value] = dict.fromkeys(column.name for column in BATCH.columns)
            values |= {"number": batch.number, "first_index": batch.first_index, "count": batch.count}
            values |= {"root": batch.root, "head": batch.head, "state": AnchorState.PLANNED.value, "created_at": at_us}
            connection.execute(insert(BATCH).values(**values | {"mac": self._macs.of_row(BATCH, values)}))

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
        """After a reorg: in one transaction, each row becomes sent again and loses its place on the chain.

        A row that was never signed here becomes planned again. Requires: mined or final.

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

    def rows_beyond(self, size: int, epoch: int) -> Sequence[Row]:
        """Rows that were mined or final past a log of this size and this epoch."""
        with self._database.reading() as connection:
            epochs = self._epochs(connection, EPOCH.c.state.in_(_ON_CHAIN), EPOCH.c.number > epoch)
            near = BATCH.c.first_index > size - MAX_BATCH_RECORDS  # the others end before
            beyond = BATCH.c.first_index + BATCH.c.count > size
            batches = self._batches(connection, near, beyond, BATCH.c.state.in_(_ON_CHAIN))
        return sorted([*epochs, *batches], key=chain_order)

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
            gas = connection.execute(select(func.sum(EPOCH.c.gas_used)).where(EPOCH.c.state.in_(_ON_CHAIN))).scalar()
        states = Counter({AnchorState.FINAL: final.batches} if final.batches else {})
        states.update(AnchorState(row.state) for row in later)
        mined = [row for row in later if row.state in _ON_CHAIN]
        return Totals(
            gas_used=final.gas_used + sum(row.gas_used for row in mined) + (gas or 0),
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

    def _last_batch(self, connection: Connection) -> Batch | None:
        newest = select(func.max(BATCH.c.number)).scalar_subquery()
        found = self._batches(connection, BATCH.c.number == newest)
        return found[0] if found else None

    def _epochs(self, connection: Connection, *where: Any) -> list[Epoch]:
        rows = connection.execute(select(EPOCH).where(*where).order_by(EPOCH.c.number))
        return [epoch_of(self._macs.check(EPOCH, row)) for row in rows]

    def _batches(self, connection: Connection, *where: Any) -> list[Batch]:
        rows = connection.execute(select(BATCH).where(*where).order_by(BATCH.c.number))
        return [batch_of(self._macs.check(BATCH, row)) for row in rows]

    def _change(
        self,
        connection: Connection,
        row: Row,
        state: AnchorState,
        changes: Mapping[str, Value],
        required: Sequence[AnchorState],
    ) -> None:
        """Set columns of a row that is in one of the required states."""
        table = _table(row)
        found = connection.execute(select(table).where(table.c.number == row.number)).first()
        if found is None:
            raise _conflict(row, " or ".join(required), "no such row")
        values = dict(self._macs.check(table, found))
        if values["state"] not in required:
            raise _conflict(row, " or ".join(required), str(values["state"]))
        values |= changes
        values["state"] = state.value
        values["mac"] = self._macs.of_row(table, values)
        connection.execute(update(table).where(table.c.number == row.number).values(**values))


def _table(row: Row) -> Table:
    return BATCH if isinstance(row, Batch) else EPOCH


def _conflict(row: Row, expected: str, found: str) -> StateConflict:
    return StateConflict(table=_table(row).name, row=row.number, expected=expected, found=found)


def _check_contents(connection: Connection, batch: Batch) -> None:
    held = connection.execute(
        select(func.count(), func.count(RECORD.c.epoch.distinct())).where(
            RECORD.c.log_index >= batch.first_index, RECORD.c.log_index < batch.end
        )
    ).one()
    if tuple(held) != (batch.count, 1):
        raise _conflict(batch, f"{batch.count} records of one epoch", f"{held[0]} records of {held[1]} epochs")


def _anchored_size(connection: Connection) -> int:
    newest = select(BATCH.c.first_index + BATCH.c.count).where(BATCH.c.state.in_(_ON_CHAIN))
    return connection.execute(newest.order_by(BATCH.c.number.desc()).limit(1)).scalar() or 0


def _final_batches(connection: Connection) -> int:
    newest = select(BATCH.c.number + 1).where(BATCH.c.state == AnchorState.FINAL.value)
    return connection.execute(newest.order_by(BATCH.c.number.desc()).limit(1)).scalar() or 0
