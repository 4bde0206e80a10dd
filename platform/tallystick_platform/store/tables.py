"""The schema. Times are microseconds UTC; `record_by`, `issued_at` and `anchor_by` are Unix seconds, as in receipts.

Every table but `draft`, `kept_answer` and `inventory` carries `mac`, over all its other columns in their order here (row_macs.py), and is
counted in the inventory. The encryption of a draft and of a kept answer binds its columns, and the inventory's is inventory.py's.

A column is NOT NULL unless its annotation allows None. The store reads and writes through the tables at the end: a row that becomes an
object of its class costs about five times as much to read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Integer, String, Table, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

# A plain INTEGER primary key is SQLite's own row number; a BIGINT one would need a second index.
BigKey = BigInteger().with_variant(Integer, "sqlite")


def _key() -> Any:
    return Field(sa_type=BigKey, primary_key=True, sa_column_kwargs={"autoincrement": False})


def _int(*, unique: bool = False, index: bool = False) -> Any:
    return Field(sa_type=BigInteger, unique=unique, index=index)


def _text(length: int | None = None, *, primary_key: bool = False, index: bool = False) -> Any:
    return Field(sa_type=Text() if length is None else String(length), primary_key=primary_key, index=index)


class _Row(SQLModel):
    """What SQLModel gives every class with `table=True`, typed."""

    __table__: ClassVar[Table]


class ApiToken(_Row, table=True):
    """A bearer token, known only by its hash, bound to a sender address."""

    __tablename__ = "api_token"

    id: str = _text(36, primary_key=True)
    name: str = _text(128)
    token_hash: bytes = Field(unique=True)
    prefix: str = _text(16)
    address: bytes
    created_at: int = _int()
    expires_at: int | None = _int()
    revoked_at: int | None = _int()
    mac: bytes


class AdmissionRow(_Row, table=True):
    """The promise to record a request, with the writer's signature; durable before anything is computed."""

    __tablename__ = "admission"
    __table_args__ = (UniqueConstraint("sender", "sender_seq"),)

    seq: int = _key()
    record_id: bytes = Field(unique=True)
    sender: bytes
    sender_seq: int = _int()
    token_id: str = _text(36)
    task: str = _text(64)
    method: str = _text(16)
    path: str = _text(1024)
    model: str | None = _text(256)
    request_hash: bytes
    admitted_at: int = _int()
    record_by: int = _int()
    signature: bytes
    mac: bytes


class DraftRow(_Row, table=True):
    """The record that will stand if the process ends now, encrypted; deleted when the real one is committed."""

    __tablename__ = "draft"

    admission_seq: int = _key()
    epoch: int = _int()
    ciphertext: bytes


class RecordRow(_Row, table=True):
    """A sealed record and its receipt. `follows` is the accepted record whose work it ends."""

    __tablename__ = "record"
    __table_args__ = (UniqueConstraint("sender", "sender_seq"),)

    log_index: int = _key()
    record_id: bytes = Field(unique=True)
    admission_seq: int = _int(unique=True)
    follows: bytes | None = Field(unique=True)
    sender: bytes
    sender_seq: int = _int()
    state: str = _text(16)
    task: str = _text(64)
    model: str | None = _text(256)
    epoch: int = _int()
    fields_root: bytes
    sealed: bytes
    leaf: bytes
    request_hash: bytes
    response_hash: bytes
    issued_at: int = _int()
    anchor_by: int = _int()
    signature: bytes
    created_at: int = _int()
    mac: bytes


class BlobRow(_Row, table=True):
    """A field too large for the chain, encrypted; its record holds both digests."""

    __tablename__ = "blob"

    sealed_digest: bytes = Field(primary_key=True)
    log_index: int = _int(index=True)
    ciphertext: bytes
    mac: bytes


class _Anchored(_Row):
    """What becomes one entry of the log's head chain: `entry` is its number there and `head` the head after it, where it has its place."""

    number: int = _key()
    entry: int | None = _int(unique=True)
    head: bytes | None
    adopted: int = _int()
    state: str = _text(16)
    nonce: int | None = _int()
    tx_hash: bytes | None
    raw_tx: bytes | None
    mined_tx_hash: bytes | None
    block_number: int | None = _int()
    block_hash: bytes | None
    block_time: int | None = _int()
    gas_used: int | None = _int()
    sent_at: int | None = _int()
    mined_at: int | None = _int()
    mac: bytes


class BatchRow(_Anchored, table=True):
    """Consecutive records as one `append` on the chain."""

    __tablename__ = "batch"

    entry: int = _int(unique=True)
    head: bytes
    epoch: int = _int()
    first_index: int = _int(unique=True)
    count: int = _int()
    root: bytes
    created_at: int = _int()


class EpochRow(_Anchored, table=True):
    """A period with one epoch key, and its opening on the chain. `wraps`: MessagePack, one byte string per auditor."""

    __tablename__ = "epoch"

    first_index: int = _int()
    wraps: bytes
    opened_at: int = _int()
    closed_at: int | None = _int()


class VoidRow(_Anchored, table=True):
    """Admission numbers that nobody knows any more, and their entry on the chain."""

    __tablename__ = "void"

    first: int = _int()
    last: int = _int()
    created_at: int = _int()


class RotationRow(_Row, table=True):
    """An entry by which the keeper named another writer, read from the chain."""

    __tablename__ = "rotation"

    entry: int = _key()
    head: bytes
    previous: bytes
    writer: bytes
    size: int = _int()
    last_admission: int = _int()
    tx_hash: bytes
    block_number: int = _int()
    block_hash: bytes
    mac: bytes


class AdoptedRecordRow(_Row, table=True):
    """A record that stands on the chain and that this journal never had: enough to prove the records beside it."""

    __tablename__ = "adopted_record"

    log_index: int = _key()
    admission_seq: int = _int(unique=True)
    leaf: bytes
    mac: bytes


class InventoryRow(_Row, table=True):
    """What all tables hold and which numbers come next, encrypted: the one row with id 1 (inventory.py)."""

    __tablename__ = "inventory"

    id: int = _key()
    box: bytes


class ModelRow(_Row, table=True):
    """A model's name: who registered it and who may see it. `key` is the id in lower case: ids differ in more than case."""

    __tablename__ = "model"

    key: str = _text(96, primary_key=True)
    id: str = _text(96)
    owner: bytes | None
    visibility: str = _text(16)
    task: str = _text(64)
    created_at: int = _int()
    mac: bytes


class ModelVersionRow(_Row, table=True):
    """One immutable content of a model. `id` is `<model key>@<digest in hex>`; `source` is JSON; money is per hour."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "number"), UniqueConstraint("model", "version"))

    id: str = _text(164, primary_key=True)
    model: str = _text(96)
    version: str = _text(12)
    digest: bytes = Field(index=True)
    number: int = _int()
    format: str = _text(16)
    architecture: str | None = _text(128)
    licence: str | None = _text(128)
    source: str = _text()
    base: str | None = _text(164)
    dtype: str | None = _text(32)
    parameters: int | None = _int()
    context_length: int | None = _int()
    size_bytes: int = _int()
    signature: str = _text(16)
    signature_digest: bytes | None
    signer: str | None = _text(64)
    price_per_hour_micros: int | None = _int()
    currency: str | None = _text(3)
    stage: str = _text(16)
    pinned: int = _int()
    created_at: int = _int()
    mac: bytes


class UploadRow(_Row, table=True):
    """A model on its way in. `manifest` is JSON: every file with size and digest; it is visible to its owner alone."""

    __tablename__ = "upload"

    id: str = _text(36, primary_key=True)
    owner: bytes = Field(index=True)
    token_id: str = _text(36)
    model: str = _text(96)
    state: str = _text(16)
    size_bytes: int = _int()
    manifest: str = _text()
    created_at: int = _int()
    expires_at: int = _int()
    mac: bytes


class UploadPartRow(_Row, table=True):
    """A part of an upload that is on disk for good. `id` is `<upload>/<file number>/<part number>`."""

    __tablename__ = "upload_part"

    id: str = _text(64, primary_key=True)
    upload: str = _text(36, index=True)
    file: int = _int()
    part: int = _int()
    size: int = _int()
    sha256: bytes
    received_at: int = _int()
    mac: bytes


class ExportJobRow(_Row, table=True):
    """A model on its way out. `error`, `files`, `signature` and `parity` are JSON; `progress` counts in thousandths.

    `record_id` is the record that accepted it, `ended_by` the one that says what became of it.
    """

    __tablename__ = "export_job"

    id: str = _text(36, primary_key=True)
    number: int = _int(unique=True)
    owner: bytes = Field(index=True)
    model_owner: bytes | None = Field(index=True)
    token_id: str = _text(36)
    path: str = _text(256)
    model: str = _text(96)
    version: str = _text(12)
    source_digest: bytes
    dtype: str | None = _text(32)
    format: str = _text(16)
    quantization: str | None = _text(32)
    state: str = _text(16)
    stage: str | None = _text(64)
    progress: int = _int()
    attempts: int = _int()
    record_id: bytes
    ended_by: bytes | None
    error: str | None = _text()
    files: str = _text()
    signature: str | None = _text()
    digest: bytes | None
    parity: str | None = _text()
    created_at: int = _int()
    due_by: int = _int()
    finished_at: int | None = _int()
    mac: bytes


class WorkRow(_Row, table=True):
    """A job of several requests for answers. `asked`, what is asked for beside them, is encrypted (at_rest.py); `error` is JSON.

    `record_id` is the record that accepted it, `ended_by` the one that says what became of it; after `keep_until` it is forgotten.
    """

    __tablename__ = "work"

    id: str = _text(48, primary_key=True)
    number: int = _int(unique=True)
    kind: str = _text(16)
    owner: bytes = Field(index=True)
    token_id: str = _text(36)
    path: str = _text(256)
    state: str = _text(16)
    lines: int = _int()
    completed: int = _int()
    failed: int = _int()
    record_id: bytes
    ended_by: bytes | None
    error: str | None = _text()
    asked: bytes
    created_at: int = _int()
    due_by: int = _int()
    started_at: int | None = _int()
    finished_at: int | None = _int()
    keep_until: int | None = _int(index=True)
    mac: bytes


class WorkLineRow(_Row, table=True):
    """One request of a job, and its answer once it is recorded, both encrypted. `record_id` is announced before it is admitted."""

    __tablename__ = "work_line"

    id: str = _text(64, primary_key=True)
    work: str = _text(48, index=True)
    number: int = _int()
    attempts: int = _int()
    record_id: bytes | None
    status: int | None = _int()
    asked: bytes
    answer: bytes | None
    mac: bytes


class KeptFileRow(_Row, table=True):
    """A file of requests, or of their answers. `name` is encrypted, as is what it holds (KeptContentRow)."""

    __tablename__ = "kept_file"

    id: str = _text(48, primary_key=True)
    number: int = _int(unique=True)
    owner: bytes = Field(index=True)
    purpose: str = _text(16)
    name: bytes
    size_bytes: int = _int()
    digest: bytes
    created_at: int = _int()
    keep_until: int = _int(index=True)
    mac: bytes


class KeptContentRow(_Row, table=True):
    """What a file holds."""

    __tablename__ = "kept_content"

    id: str = _text(48, primary_key=True)
    content: bytes
    mac: bytes


class KeptAnswerRow(_Row, table=True):
    """An answer that is given again to whoever repeats its request, encrypted under what the sender said (answers.py)."""

    __tablename__ = "kept_answer"

    name: bytes = Field(primary_key=True)
    token_id: str = _text(36, index=True)
    expires_at: int = _int(index=True)
    ciphertext: bytes


METADATA = SQLModel.metadata
TOKEN = ApiToken.__table__
ADMISSION = AdmissionRow.__table__
DRAFT = DraftRow.__table__
RECORD = RecordRow.__table__
BLOB = BlobRow.__table__
BATCH = BatchRow.__table__
EPOCH = EpochRow.__table__
VOID = VoidRow.__table__
ROTATION = RotationRow.__table__
ADOPTED = AdoptedRecordRow.__table__
INVENTORY = InventoryRow.__table__
KEPT_ANSWER = KeptAnswerRow.__table__
MODEL = ModelRow.__table__
VERSION = ModelVersionRow.__table__
UPLOAD = UploadRow.__table__
PART = UploadPartRow.__table__
JOB = ExportJobRow.__table__
WORK = WorkRow.__table__
WORK_LINE = WorkLineRow.__table__
KEPT_FILE = KeptFileRow.__table__
KEPT_CONTENT = KeptContentRow.__table__

MARKED = tuple(table for table in METADATA.tables.values() if "mac" in table.columns)
"""The tables whose rows carry a MAC and are counted in the inventory."""
