"""The schema. Times are microseconds UTC; `record_by`, `issued_at` and `anchor_by` are Unix seconds, as in receipts.

Every table but `draft` and `inventory` carries `mac`, over all its other columns (row_macs.py), and is counted in the inventory. A draft's
encryption binds its columns, and the inventory's is inventory.py's.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

# A plain INTEGER primary key is SQLite's own row number; a BIGINT one would need a second index.
BigKey = BigInteger().with_variant(Integer, "sqlite")


def _key() -> Column[int]:
    return Column(BigKey, primary_key=True, autoincrement=False)


def _int(*, null: bool = False) -> Column[int]:
    return Column(BigInteger, nullable=null)


def _bytes(*, null: bool = False, unique: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=null, unique=unique)


def _text(length: int, *, null: bool = False) -> Column[str]:
    return Column(String(length), nullable=null)


class ApiToken(SQLModel, table=True):
    """A bearer token, known only by its hash, bound to a sender address."""

    __tablename__ = "api_token"

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    name: str = Field(sa_column=_text(128))
    token_hash: bytes = Field(sa_column=_bytes(unique=True))
    prefix: str = Field(sa_column=_text(16))
    address: bytes = Field(sa_column=_bytes())
    created_at: int = Field(sa_column=_int())
    expires_at: int | None = Field(default=None, sa_column=_int(null=True))
    revoked_at: int | None = Field(default=None, sa_column=_int(null=True))
    mac: bytes = Field(sa_column=_bytes())


class AdmissionRow(SQLModel, table=True):
    """The promise to record a request, with the writer's signature; durable before anything is computed."""

    __tablename__ = "admission"
    __table_args__ = (UniqueConstraint("sender", "sender_seq"),)

    seq: int = Field(sa_column=_key())
    record_id: bytes = Field(sa_column=_bytes(unique=True))
    sender: bytes = Field(sa_column=_bytes())
    sender_seq: int = Field(sa_column=_int())
    token_id: str = Field(sa_column=_text(36))
    task: str = Field(sa_column=_text(64))
    method: str = Field(sa_column=_text(16))
    path: str = Field(sa_column=_text(1024))
    model: str | None = Field(default=None, sa_column=_text(256, null=True))
    request_hash: bytes = Field(sa_column=_bytes())
    admitted_at: int = Field(sa_column=_int())
    record_by: int = Field(sa_column=_int())
    signature: bytes = Field(sa_column=_bytes())
    mac: bytes = Field(sa_column=_bytes())


class DraftRow(SQLModel, table=True):
    """The record that will stand if the process ends now, encrypted; deleted when the real one is committed."""

    __tablename__ = "draft"

    admission_seq: int = Field(sa_column=_key())
    epoch: int = Field(sa_column=_int())
    ciphertext: bytes = Field(sa_column=_bytes())


class RecordRow(SQLModel, table=True):
    """A sealed record and its receipt. `follows` is the accepted record whose work it ends."""

    __tablename__ = "record"
    __table_args__ = (UniqueConstraint("sender", "sender_seq"),)

    log_index: int = Field(sa_column=_key())
    record_id: bytes = Field(sa_column=_bytes(unique=True))
    admission_seq: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    follows: bytes | None = Field(default=None, sa_column=_bytes(null=True, unique=True))
    sender: bytes = Field(sa_column=_bytes())
    sender_seq: int = Field(sa_column=_int())
    state: str = Field(sa_column=_text(16))
    task: str = Field(sa_column=_text(64))
    model: str | None = Field(default=None, sa_column=_text(256, null=True))
    epoch: int = Field(sa_column=_int())
    fields_root: bytes = Field(sa_column=_bytes())
    sealed: bytes = Field(sa_column=_bytes())
    leaf: bytes = Field(sa_column=_bytes())
    request_hash: bytes = Field(sa_column=_bytes())
    response_hash: bytes = Field(sa_column=_bytes())
    issued_at: int = Field(sa_column=_int())
    anchor_by: int = Field(sa_column=_int())
    signature: bytes = Field(sa_column=_bytes())
    created_at: int = Field(sa_column=_int())
    mac: bytes = Field(sa_column=_bytes())


class BlobRow(SQLModel, table=True):
    """A field too large for the chain, encrypted; its record holds both digests."""

    __tablename__ = "blob"

    sealed_digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    log_index: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
    ciphertext: bytes = Field(sa_column=_bytes())
    mac: bytes = Field(sa_column=_bytes())


class BatchRow(SQLModel, table=True):
    """Consecutive records as one `append` on the chain. States: planned, sent, mined, final.

    `entry` is its number in the head chain and `head` the head after it. `adopted` is 1 where another journal of this log made it
    and this one read it from the chain.
    """

    __tablename__ = "batch"

    number: int = Field(sa_column=_key())
    entry: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    epoch: int = Field(sa_column=_int())
    first_index: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    count: int = Field(sa_column=_int())
    root: bytes = Field(sa_column=_bytes())
    head: bytes = Field(sa_column=_bytes())
    adopted: int = Field(sa_column=_int())
    state: str = Field(sa_column=_text(16))
    nonce: int | None = Field(default=None, sa_column=_int(null=True))
    tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    raw_tx: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    mined_tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_number: int | None = Field(default=None, sa_column=_int(null=True))
    block_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_time: int | None = Field(default=None, sa_column=_int(null=True))
    gas_used: int | None = Field(default=None, sa_column=_int(null=True))
    created_at: int = Field(sa_column=_int())
    sent_at: int | None = Field(default=None, sa_column=_int(null=True))
    mined_at: int | None = Field(default=None, sa_column=_int(null=True))
    mac: bytes = Field(sa_column=_bytes())


class EpochRow(SQLModel, table=True):
    """A period with one epoch key, and its opening on the chain. `wraps`: MessagePack, one byte string per auditor.

    `entry` and `head` are null until its place among the log's entries is fixed.
    """

    __tablename__ = "epoch"

    number: int = Field(sa_column=_key())
    first_index: int = Field(sa_column=_int())
    wraps: bytes = Field(sa_column=_bytes())
    entry: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, unique=True))
    head: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    adopted: int = Field(default=0, sa_column=_int())
    state: str = Field(sa_column=_text(16))
    nonce: int | None = Field(default=None, sa_column=_int(null=True))
    tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    raw_tx: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    mined_tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_number: int | None = Field(default=None, sa_column=_int(null=True))
    block_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_time: int | None = Field(default=None, sa_column=_int(null=True))
    gas_used: int | None = Field(default=None, sa_column=_int(null=True))
    opened_at: int = Field(sa_column=_int())
    closed_at: int | None = Field(default=None, sa_column=_int(null=True))
    sent_at: int | None = Field(default=None, sa_column=_int(null=True))
    mined_at: int | None = Field(default=None, sa_column=_int(null=True))
    mac: bytes = Field(sa_column=_bytes())


class VoidRow(SQLModel, table=True):
    """Admission numbers that nobody knows any more, and their entry on the chain; `entry` and `head` as in `epoch`."""

    __tablename__ = "void"

    number: int = Field(sa_column=_key())
    first: int = Field(sa_column=_int())
    last: int = Field(sa_column=_int())
    entry: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True, unique=True))
    head: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    adopted: int = Field(sa_column=_int())
    state: str = Field(sa_column=_text(16))
    nonce: int | None = Field(default=None, sa_column=_int(null=True))
    tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    raw_tx: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    mined_tx_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_number: int | None = Field(default=None, sa_column=_int(null=True))
    block_hash: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    block_time: int | None = Field(default=None, sa_column=_int(null=True))
    gas_used: int | None = Field(default=None, sa_column=_int(null=True))
    created_at: int = Field(sa_column=_int())
    sent_at: int | None = Field(default=None, sa_column=_int(null=True))
    mined_at: int | None = Field(default=None, sa_column=_int(null=True))
    mac: bytes = Field(sa_column=_bytes())


class RotationRow(SQLModel, table=True):
    """An entry by which the keeper named another writer, read from the chain."""

    __tablename__ = "rotation"

    entry: int = Field(sa_column=_key())
    head: bytes = Field(sa_column=_bytes())
    previous: bytes = Field(sa_column=_bytes())
    writer: bytes = Field(sa_column=_bytes())
    size: int = Field(sa_column=_int())
    last_admission: int = Field(sa_column=_int())
    tx_hash: bytes = Field(sa_column=_bytes())
    block_number: int = Field(sa_column=_int())
    block_hash: bytes = Field(sa_column=_bytes())
    mac: bytes = Field(sa_column=_bytes())


class AdoptedRecordRow(SQLModel, table=True):
    """A record that stands on the chain and that this journal never had: enough to prove the records beside it."""

    __tablename__ = "adopted_record"

    log_index: int = Field(sa_column=_key())
    admission_seq: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    leaf: bytes = Field(sa_column=_bytes())
    mac: bytes = Field(sa_column=_bytes())


class InventoryRow(SQLModel, table=True):
    """What all tables hold and which numbers come next, encrypted: the one row with id 1 (inventory.py)."""

    __tablename__ = "inventory"

    id: int = Field(sa_column=_key())
    box: bytes = Field(sa_column=_bytes())


class ModelRow(SQLModel, table=True):
    """A model's name: who registered it and who may see it. `key` is the id in lower case: ids differ in more than case."""

    __tablename__ = "model"

    key: str = Field(sa_column=Column(String(96), primary_key=True))
    id: str = Field(sa_column=_text(96))
    owner: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    visibility: str = Field(sa_column=_text(16))
    task: str = Field(sa_column=_text(64))
    created_at: int = Field(sa_column=_int())
    mac: bytes = Field(sa_column=_bytes())


class ModelVersionRow(SQLModel, table=True):
    """One immutable content of a model. `id` is `<model key>@<digest in hex>`; `source` is JSON; money is per hour."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model", "number"), UniqueConstraint("model", "version"))

    id: str = Field(sa_column=Column(String(164), primary_key=True))
    model: str = Field(sa_column=_text(96))
    version: str = Field(sa_column=_text(12))
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    number: int = Field(sa_column=_int())
    format: str = Field(sa_column=_text(16))
    architecture: str | None = Field(default=None, sa_column=_text(128, null=True))
    licence: str | None = Field(default=None, sa_column=_text(128, null=True))
    source: str = Field(sa_column=Column(Text, nullable=False))
    base: str | None = Field(default=None, sa_column=_text(164, null=True))
    dtype: str | None = Field(default=None, sa_column=_text(32, null=True))
    parameters: int | None = Field(default=None, sa_column=_int(null=True))
    context_length: int | None = Field(default=None, sa_column=_int(null=True))
    size_bytes: int = Field(sa_column=_int())
    signature: str = Field(sa_column=_text(16))
    signature_digest: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    signer: str | None = Field(default=None, sa_column=_text(64, null=True))
    price_per_hour_micros: int | None = Field(default=None, sa_column=_int(null=True))
    currency: str | None = Field(default=None, sa_column=_text(3, null=True))
    stage: str = Field(sa_column=_text(16))
    pinned: int = Field(sa_column=_int())
    created_at: int = Field(sa_column=_int())
    mac: bytes = Field(sa_column=_bytes())


class UploadRow(SQLModel, table=True):
    """A model on its way in. `manifest` is JSON: every file with size and digest; it is visible to its owner alone."""

    __tablename__ = "upload"

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    owner: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    token_id: str = Field(sa_column=_text(36))
    model: str = Field(sa_column=_text(96))
    state: str = Field(sa_column=_text(16))
    size_bytes: int = Field(sa_column=_int())
    manifest: str = Field(sa_column=Column(Text, nullable=False))
    created_at: int = Field(sa_column=_int())
    expires_at: int = Field(sa_column=_int())
    mac: bytes = Field(sa_column=_bytes())


class UploadPartRow(SQLModel, table=True):
    """A part of an upload that is on disk for good. `id` is `<upload>/<file number>/<part number>`."""

    __tablename__ = "upload_part"

    id: str = Field(sa_column=Column(String(64), primary_key=True))
    upload: str = Field(sa_column=Column(String(36), nullable=False, index=True))
    file: int = Field(sa_column=_int())
    part: int = Field(sa_column=_int())
    size: int = Field(sa_column=_int())
    sha256: bytes = Field(sa_column=_bytes())
    received_at: int = Field(sa_column=_int())
    mac: bytes = Field(sa_column=_bytes())


class ExportJobRow(SQLModel, table=True):
    """A model on its way out. `error`, `files`, `signature` and `parity` are JSON; `progress` counts in thousandths.

    `record_id` is the record that accepted it, `ended_by` the one that says what became of it.
    """

    __tablename__ = "export_job"

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    number: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    owner: bytes = Field(sa_column=Column(LargeBinary, nullable=False, index=True))
    model_owner: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True, index=True))
    token_id: str = Field(sa_column=_text(36))
    path: str = Field(sa_column=_text(256))
    model: str = Field(sa_column=_text(96))
    version: str = Field(sa_column=_text(12))
    source_digest: bytes = Field(sa_column=_bytes())
    dtype: str | None = Field(default=None, sa_column=_text(32, null=True))
    format: str = Field(sa_column=_text(16))
    quantization: str | None = Field(default=None, sa_column=_text(32, null=True))
    state: str = Field(sa_column=_text(16))
    stage: str | None = Field(default=None, sa_column=_text(64, null=True))
    progress: int = Field(sa_column=_int())
    attempts: int = Field(sa_column=_int())
    record_id: bytes = Field(sa_column=_bytes())
    ended_by: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    error: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    files: str = Field(sa_column=Column(Text, nullable=False))
    signature: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    digest: bytes | None = Field(default=None, sa_column=_bytes(null=True))
    parity: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    created_at: int = Field(sa_column=_int())
    due_by: int = Field(sa_column=_int())
    finished_at: int | None = Field(default=None, sa_column=_int(null=True))
    mac: bytes = Field(sa_column=_bytes())


METADATA = SQLModel.metadata


def table_of(model: type[SQLModel]) -> Table:
    """The SQLAlchemy table of a model."""
    return METADATA.tables[str(model.__tablename__)]
