"""Reading records: by id, and a sender's own, newest first. Every row that is read has its MAC checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, select

from tallystick.ids import Address, Epoch, FieldsRoot, Index, Leaf, LogId, RecordId
from tallystick.receipts import Domain, Receipt, SignedReceipt
from tallystick.record import State
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.tables import AdmissionRow, BatchRow, BlobRow, RecordRow, table_of

MAX_PAGE = 100

RECORD, ADMISSION, BATCH, BLOB = (table_of(model) for model in (RecordRow, AdmissionRow, BatchRow, BlobRow))


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
    epoch: Epoch
    fields_root: FieldsRoot
    sealed: bytes = field(repr=False)
    leaf: Leaf
    receipt: SignedReceipt
    created_at: int
    progress: Progress
    batch: int | None


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
        with self._database.reading() as connection:
            found = self._read(connection, select(RECORD).where(RECORD.c.record_id == record_id))
        return found[0] if found else None

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

    def blob(self, sealed_digest: bytes) -> bytes | None:
        """An encrypted blob by the digest that its record commits to."""
        with self._database.reading() as connection:
            return connection.execute(select(BLOB.c.ciphertext).where(BLOB.c.sealed_digest == sealed_digest)).scalar()

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
        return StoredRecord(
            record_id=RecordId(row["record_id"]),
            index=Index(row["log_index"]),
            admission_seq=row["admission_seq"],
            sender=Address(row["sender"]),
            sender_seq=row["sender_seq"],
            state=State(row["state"]),
            task=row["task"],
            model=row["model"],
            epoch=Epoch(row["epoch"]),
            fields_root=FieldsRoot(row["fields_root"]),
            sealed=row["sealed"],
            leaf=Leaf(row["leaf"]),
            receipt=receipt_of(row, self._domain, self._log_id),
            created_at=row["created_at"],
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
            leaf=Leaf(row["leaf"]),
            request_hash=row["request_hash"],
            response_hash=row["response_hash"],
            issued_at=row["issued_at"],
            anchor_by=row["anchor_by"],
        ),
        signature=row["signature"],
    )
