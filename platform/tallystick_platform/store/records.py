"""Reading records: by id, and a sender's own, newest first. Every row that is read has its MAC checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Select, select

from tallystick.ids import Address, Epoch, FieldsRoot, Index, Leaf, LogId, RecordId
from tallystick.receipts.messages import AdmissionReceipt, Domain, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import State
from tallystick_platform.errors import RowTampered
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.tables import ADMISSION, BATCH, BLOB, RECORD

MAX_PAGE = 100
US_PER_S = 1_000_000


class Progress(StrEnum):
    """How far a record has come towards the chain, as answers name it."""

    JOURNALED = "journaled"
    SENT = "sent"
    ANCHORED = "anchored"
    FINAL = "final"


_PROGRESS = {"planned": Progress.JOURNALED, "sent": Progress.SENT, "mined": Progress.ANCHORED, "final": Progress.FINAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as the journal holds it: sealed. Units: created_at in microseconds UTC."""

    record_id: RecordId
    index: Index
    admission_seq: int
    sender: Address
    sender_seq: int
    state: State
    task: str
    model: str | None
    follows: RecordId | None
    epoch: Epoch
    fields_root: FieldsRoot
    sealed: bytes = field(repr=False)
    leaf: Leaf
    admission: SignedAdmission
    receipt: SignedReceipt
    created_at: int
    progress: Progress
    batch: int | None


_AS_STORED = (
    "record_id", "admission_seq", "sender", "sender_seq", "task", "model", "follows", "epoch", "fields_root", "sealed", "leaf",
    "created_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records and where the next page begins."""

    records: Sequence[StoredRecord]
    next_cursor: int | None


class RecordReader:
    """Reads of the journal, each over one consistent state of it. Blocking: call it from a thread."""

    def __init__(self, database: Database, macs: RowMacs, *, domain: Domain, log_id: LogId) -> None:
        self._database = database
        self._macs = macs
        self._domain = domain
        self._log_id = log_id

    def by_id(self, record_id: RecordId) -> StoredRecord | None:
        """The record of this id.

        Raises: RowTampered
        """
        return self._first(RECORD.c.record_id == record_id)

    def is_open(self, record_id: RecordId) -> bool:
        """Whether the id was admitted and has no record yet."""
        recorded = select(RECORD.c.log_index).where(RECORD.c.record_id == record_id)
        admitted = select(ADMISSION.c.seq).where(ADMISSION.c.record_id == record_id)
        with self._database.reading() as connection:
            return connection.execute(recorded).first() is None and connection.execute(admitted).first() is not None

    def page(self, sender: Address, *, cursor: int | None, limit: int, state: State | None, model: str | None) -> Page:
        """A sender's records, newest first, before `cursor`.

        Raises: RowTampered
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = select(RECORD).where(RECORD.c.sender == sender)
        if cursor is not None:
            query = query.where(RECORD.c.sender_seq < cursor)
        if state is not None:
            query = query.where(RECORD.c.state == state.value)
        if model is not None:
            query = query.where(RECORD.c.model == model)
        with self._database.reading() as connection:
            found = self._read(connection, query.order_by(RECORD.c.sender_seq.desc()).limit(limit + 1))
        more = len(found) > limit
        return Page(records=found[:limit], next_cursor=found[limit - 1].sender_seq if more else None)

    def follower(self, record_id: RecordId) -> StoredRecord | None:
        """The record that follows another.

        Raises: RowTampered
        """
        return self._first(RECORD.c.follows == record_id)

    def unended(self) -> Sequence[StoredRecord]:
        """Accepted records that nothing follows, oldest first.

        Raises: RowTampered
        """
        later = RECORD.alias()
        query = select(RECORD).outerjoin(later, later.c.follows == RECORD.c.record_id)
        query = query.where(RECORD.c.state == State.ACCEPTED.value, later.c.log_index.is_(None))
        with self._database.reading() as connection:
            return self._read(connection, query.order_by(RECORD.c.log_index))

    def blob(self, place: tuple[RecordId, bytes]) -> bytes | None:
        """An encrypted blob of a record, by the digest that the record commits to.

        Raises: RowTampered
        """
        record_id, sealed_digest = place
        query = select(BLOB).join(RECORD, RECORD.c.log_index == BLOB.c.log_index)
        query = query.where(RECORD.c.record_id == record_id, BLOB.c.sealed_digest == sealed_digest)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else cast(bytes, self._macs.check(BLOB, row)["ciphertext"])

    def _first(self, where: ColumnElement[bool]) -> StoredRecord | None:
        with self._database.reading() as connection:
            return next(iter(self._read(connection, select(RECORD).where(where))), None)

    def _read(self, connection: Connection, query: Select[Any]) -> list[StoredRecord]:
        rows = [self._macs.check(RECORD, row) for row in connection.execute(query)]
        return [self._stored(connection, row) for row in rows]

    def _stored(self, connection: Connection, row: Any) -> StoredRecord:
        batch = connection.execute(
            select(BATCH.c.number, BATCH.c.state)
            .where(BATCH.c.first_index <= row["log_index"], BATCH.c.first_index + BATCH.c.count > row["log_index"])
            .order_by(BATCH.c.first_index.desc())
            .limit(1)
        ).first()
        admitted = connection.execute(select(ADMISSION).where(ADMISSION.c.seq == row["admission_seq"])).first()
        if admitted is None:
            raise RowTampered(table=ADMISSION.name, row=row["admission_seq"])
        return StoredRecord(
            **{name: row[name] for name in _AS_STORED},
            index=Index(row["log_index"]),
            state=State(row["state"]),
            admission=admission_of(self._macs.check(ADMISSION, admitted), self._domain, self._log_id),
            receipt=receipt_of(row, self._domain, self._log_id),
            progress=Progress.JOURNALED if batch is None else _PROGRESS[batch.state],
            batch=None if batch is None else batch.number,
        )


def receipt_of(row: Any, domain: Domain, log_id: LogId) -> SignedReceipt:
    """The receipt that a record row holds."""
    return SignedReceipt(
        domain=domain,
        receipt=Receipt(
            log_id=log_id,
            index=row["log_index"],
            admission_seq=row["admission_seq"],
            leaf=Leaf(row["leaf"]),
            request_hash=row["request_hash"],
            response_hash=row["response_hash"],
            sender=Address(row["sender"]),
            issued_at=row["issued_at"],
            anchor_by=row["anchor_by"],
        ),
        signature=row["signature"],
    )


def admission_of(row: Any, domain: Domain, log_id: LogId) -> SignedAdmission:
    """The signed promise that an admission row holds."""
    return SignedAdmission(
        domain=domain,
        admission=AdmissionReceipt(
            log_id=log_id,
            admission_seq=row["seq"],
            sender_seq=row["sender_seq"],
            request_hash=row["request_hash"],
            sender=Address(row["sender"]),
            admitted_at=row["admitted_at"] // US_PER_S,
            record_by=row["record_by"],
        ),
        signature=row["signature"],
    )
