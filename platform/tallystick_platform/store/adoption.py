"""Taking a log over from a journal that was lost: what stands on the chain and not here, in one transaction.

`anchor.adoption` reads the chain and decides; this module tells it what the journal knows, and writes what it decided. A crash before the
commit: nothing happened. After it: everything did, and the service can be started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select, union_all

from tallystick.ids import Epoch as EpochNumber
from tallystick.ids import Hash32, Index, Leaf
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import adopt, insert_row, read_inventory, replace_row
from tallystick_platform.store.rows import (
    AnchorState,
    Batch,
    Epoch,
    Mined,
    Rotation,
    Row,
    Void,
    epoch_of,
    pack_wraps,
    place_of,
    table_of,
    void_of,
)
from tallystick_platform.store.tables import ADOPTED, EPOCH, RECORD, ROTATION, VOID

ROWS_AT_ONCE = 4_096

Span = tuple[int, int]
"""Numbers from the first to the last, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRecord:
    """A record on the chain that this journal never had."""

    index: Index
    admission_seq: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRotation:
    """A change of the writer, and where it stands."""

    rotation: Rotation
    tx_hash: Hash32
    block_number: int
    block_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Everything that one adoption writes. Rows are as they stand on the chain, in the order of their entries.

    `settled` are rows of this journal that stand there, `foreign` those of another, `voids` the numbers that nobody knows. Indices go on
    from `size`, admission numbers above `floor`, and every sender's numbers above `void`, the highest void number (0 if there is none).
    """

    settled: Sequence[tuple[Row, Mined]]
    foreign: Sequence[tuple[Row, Mined]]
    rotations: Sequence[ForeignRotation]
    records: Sequence[ForeignRecord]
    voids: Sequence[Span]
    size: Index
    floor: int
    void: int


class AdoptionStore:
    """What the journal knows, and one write. Requires: the journal's lock, so that no service runs over it."""

    def __init__(self, database: Database, macs: RowMacs) -> None:
        self._database = database
        self._macs = macs

    def next_numbers(self) -> tuple[int, Index]:
        """The next admission number and the next log index of this journal.

        Raises: InventoryUnreadable
        """
        with self._database.reading() as connection:
            inventory = read_inventory(connection, self._macs)
        return (1, Index(0)) if inventory is None else (inventory.next_seq, inventory.next_index)

    def leaf(self, index: int) -> Leaf | None:
        """The leaf that this journal has at an index."""
        with self._database.reading() as connection:
            for table in (RECORD, ADOPTED):
                found = connection.execute(select(table).where(table.c.log_index == index)).first()
                if found is not None:
                    self._macs.check(table, found)
                    return Leaf(found.leaf)
        return None

    def epochs_from(self, first_index: int) -> Sequence[EpochNumber]:
        """The epochs of this journal's records from an index on."""
        query = select(RECORD.c.epoch).where(RECORD.c.log_index >= first_index).distinct().order_by(RECORD.c.epoch)
        with self._database.reading() as connection:
            return [EpochNumber(epoch) for epoch in connection.execute(query).scalars()]

    def waiting_epochs(self) -> Sequence[Epoch]:
        """The epochs of this journal that have no place among the log's entries yet."""
        with self._database.reading() as connection:
            rows = connection.execute(select(EPOCH).where(EPOCH.c.entry.is_(None)).order_by(EPOCH.c.number))
            return [epoch_of(self._macs.check(EPOCH, row)) for row in rows]

    def waiting_voids(self) -> Sequence[Void]:
        """The void numbers of this journal that have no place yet, as after an earlier adoption."""
        with self._database.reading() as connection:
            rows = connection.execute(select(VOID).where(VOID.c.entry.is_(None)).order_by(VOID.c.number))
            return [void_of(self._macs.check(VOID, row)) for row in rows]

    def next_void_number(self) -> int:
        """The number of the next row of void numbers."""
        with self._database.reading() as connection:
            return _next_void(connection)

    def known_numbers(self, also: Iterable[Span]) -> list[Span]:
        """The admission numbers that have a record here or on the chain, or are void, `also` included, as spans in order."""
        seqs = union_all(
            select(RECORD.c.admission_seq.label("first"), RECORD.c.admission_seq.label("last")),
            select(ADOPTED.c.admission_seq, ADOPTED.c.admission_seq),
            select(VOID.c.first, VOID.c.last),
        ).subquery()
        query = select(seqs.c.first, seqs.c.last).order_by(seqs.c.first)
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
            stored = merged((row.first, row.last) for row in rows)
        return merged(sorted([*stored, *also]))

    def highest_void(self) -> int:
        """The highest number that this journal knows to be void."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.max(VOID.c.last))).scalar() or 0)

    def highest_bound(self) -> int:
        """The highest number of an earlier writer, by the changes of the writer that this journal knows."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.max(ROTATION.c.last_admission))).scalar() or 0)

    def take(self, taking: Taking, at_us: int) -> None:
        """Write an adoption, all of it or nothing. Durable on return."""
        with self._database.writing() as connection:
            for row, mined in taking.settled:
                self._settle(connection, row, mined, at_us)
            for row, mined in taking.foreign:
                self._insert(connection, row, mined, at_us)
            for rotation in taking.rotations:
                self._insert_rotation(connection, rotation)
            for record in taking.records:
                values: dict[str, Value] = {"log_index": record.index, "admission_seq": record.admission_seq}
                insert_row(connection, self._macs, ADOPTED, values | {"leaf": record.leaf})
            self._plan_voids(connection, taking.voids, at_us)
            self._close_epoch(connection, at_us)
            connection.exec_driver_sql(
                "DELETE FROM draft"
            )  # each was recorded by the lost journal, or its number is void
            adopt(connection, self._macs, size=taking.size, highest=taking.floor, void=taking.void)

    def _settle(self, connection: Connection, row: Row, mined: Mined, at_us: int) -> None:
        """A row of this journal that stands on the chain: for good, since what comes after it was read there."""
        table = table_of(row)
        found = connection.execute(select(table).where(table.c.number == row.number)).one()
        changes: dict[str, Value] = {**place_of(mined), "mined_at": at_us, "state": AnchorState.FINAL.value}
        changes |= {"entry": row.entry, "head": row.head}
        replace_row(connection, self._macs, table, self._macs.check(table, found), changes)

    def _insert(self, connection: Connection, row: Row, mined: Mined, at_us: int) -> None:
        table = table_of(row)
        values: dict[str, Value] = {"number": row.number, "entry": row.entry, "head": row.head, "adopted": 1}
        values |= {"state": AnchorState.FINAL.value, "mined_at": at_us, **place_of(mined)}
        if isinstance(row, Batch):
            values |= {"epoch": row.epoch, "first_index": row.first_index, "count": row.count, "root": row.root}
        elif isinstance(row, Epoch):
            values |= {"first_index": row.first_index, "wraps": pack_wraps(row.wraps)}
        else:
            values |= {"first": row.first, "last": row.last}
        values |= {"opened_at": at_us, "closed_at": at_us} if isinstance(row, Epoch) else {"created_at": at_us}
        insert_row(connection, self._macs, table, values)

    def _insert_rotation(self, connection: Connection, foreign: ForeignRotation) -> None:
        place = {"tx_hash": foreign.tx_hash, "block_number": foreign.block_number, "block_hash": foreign.block_hash}
        insert_row(connection, self._macs, ROTATION, asdict(foreign.rotation) | place)

    def _plan_voids(self, connection: Connection, voids: Sequence[Span], at_us: int) -> None:
        for number, (low, high) in enumerate(voids, _next_void(connection)):
            values: dict[str, Value] = {"number": number, "first": low, "last": high, "adopted": 0}
            insert_row(connection, self._macs, VOID, values | {"state": AnchorState.PLANNED.value, "created_at": at_us})

    def _close_epoch(self, connection: Connection, at_us: int) -> None:
        """No record of what comes is sealed under a key that the lost journal used."""
        for found in connection.execute(select(EPOCH).where(EPOCH.c.closed_at.is_(None))):
            row = self._macs.check(EPOCH, found)
            replace_row(connection, self._macs, EPOCH, row, {"closed_at": max(at_us, int(row["opened_at"] or 0))})


def merged(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap as one. Requires: in the order of their first numbers."""
    joined: list[Span] = []
    for first, last in spans:
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def gaps(known: Sequence[Span], highest: int) -> Iterator[Span]:
    """The numbers from 1 to `highest` that are in none of the spans. Requires: spans as `merged` gives them."""
    following = 1
    for first, last in known:
        if first > highest:
            break
        if following < first:
            yield following, first - 1
        following = last + 1
    if following <= highest:
        yield following, highest


def _next_void(connection: Connection) -> int:
    last = connection.execute(select(func.max(VOID.c.number))).scalar()
    return 0 if last is None else int(last) + 1
