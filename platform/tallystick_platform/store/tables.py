"""The schema. Times are microseconds UTC; `record_by`, `issued_at` and `anchor_by` are Unix seconds, as in receipts.

Every table but `draft` and `inventory` carries `mac`, over all its other columns (row_macs.py), and is counted in the inventory. A draft's
encryption binds its columns, and the inventory's is inventory.py's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

# A plain INTEGER primary key is SQLite's own row number; a BIGINT one would need a second index.
BigKey = BigInteger().with_variant(Integer, "sqlite")


def _key(name: str) -> Column[int]:
    return Column(name, BigKey, primary_key=True, autoincrement=False)


def _text_key(name: str, length: int) -> Column[str]:
    return Column(name, String(length), primary_key=True)


def _int(name: str, *, null: bool = False, unique: bool | None = None, index: bool | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=null, unique=unique, index=index)


def _bytes(name: str, *, null: bool = False, unique: bool | None = None, index: bool | None = None) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null, unique=unique, index=index)


def _text(name: str, length: int | None = None, *, null: bool = False, index: bool | None = None) -> Column[str]:
    return Column(name, Text() if length is None else String(length), nullable=null, index=index)


def _place() -> tuple[Column[Any], ...]:
    """Null until the row's place among the log's entries is fixed; `adopted` is 1 where another journal of this log made the row."""
    return _int("entry", null=True, unique=True), _bytes("head", null=True), _int("adopted")


def _on_chain() -> tuple[Column[Any], ...]:
    """How far a row has come: planned, sent, mined or final; the transaction last signed for it, and where it stands."""
    return (
        _text("state", 16),
        _int("nonce", null=True),
        _bytes("tx_hash", null=True),
        _bytes("raw_tx", null=True),
        _bytes("mined_tx_hash", null=True),
        _int("block_number", null=True),
        _bytes("block_hash", null=True),
        _int("block_time", null=True),
        _int("gas_used", null=True),
    )


def _since() -> tuple[Column[Any], ...]:
    return _int("sent_at", null=True), _int("mined_at", null=True), _bytes("mac")


TOKEN = Table(
    "api_token",
    METADATA,
    _text_key("id", 36),
    _text("name", 128),
    _bytes("token_hash", unique=True),
    _text("prefix", 16),
    _bytes("address"),
    _int("created_at"),
    _int("expires_at", null=True),
    _int("revoked_at", null=True),
    _bytes("mac"),
)
"""A bearer token, known only by its hash, bound to a sender address."""

ADMISSION = Table(
    "admission",
    METADATA,
    _key("seq"),
    _bytes("record_id", unique=True),
    _bytes("sender"),
    _int("sender_seq"),
    _text("token_id", 36),
    _text("task", 64),
    _text("method", 16),
    _text("path", 1024),
    _text("model", 256, null=True),
    _bytes("request_hash"),
    _int("admitted_at"),
    _int("record_by"),
    _bytes("signature"),
    _bytes("mac"),
    UniqueConstraint("sender", "sender_seq"),
)
"""The promise to record a request, with the writer's signature; durable before anything is computed."""

DRAFT = Table("draft", METADATA, _key("admission_seq"), _int("epoch"), _bytes("ciphertext"))
"""The record that will stand if the process ends now, encrypted; deleted when the real one is committed."""

RECORD = Table(
    "record",
    METADATA,
    _key("log_index"),
    _bytes("record_id", unique=True),
    _int("admission_seq", unique=True),
    _bytes("follows", null=True, unique=True),
    _bytes("sender"),
    _int("sender_seq"),
    _text("state", 16),
    _text("task", 64),
    _text("model", 256, null=True),
    _int("epoch"),
    _bytes("fields_root"),
    _bytes("sealed"),
    _bytes("leaf"),
    _bytes("request_hash"),
    _bytes("response_hash"),
    _int("issued_at"),
    _int("anchor_by"),
    _bytes("signature"),
    _int("created_at"),
    _bytes("mac"),
    UniqueConstraint("sender", "sender_seq"),
)
"""A sealed record and its receipt. `follows` is the accepted record whose work it ends."""

BLOB = Table(
    "blob",
    METADATA,
    Column("sealed_digest", LargeBinary, primary_key=True),
    _int("log_index", index=True),
    _bytes("ciphertext"),
    _bytes("mac"),
)
"""A field too large for the chain, encrypted; its record holds both digests."""

BATCH = Table(
    "batch",
    METADATA,
    _key("number"),
    _int("entry", unique=True),
    _int("epoch"),
    _int("first_index", unique=True),
    _int("count"),
    _bytes("root"),
    _bytes("head"),
    _int("adopted"),
    *_on_chain(),
    _int("created_at"),
    *_since(),
)
"""Consecutive records as one `append` on the chain. `entry` is its number in the head chain and `head` the head after it."""

EPOCH = Table(
    "epoch",
    METADATA,
    _key("number"),
    _int("first_index"),
    _bytes("wraps"),
    *_place(),
    *_on_chain(),
    _int("opened_at"),
    _int("closed_at", null=True),
    *_since(),
)
"""A period with one epoch key, and its opening on the chain. `wraps`: MessagePack, one byte string per auditor."""

VOID = Table(
    "void",
    METADATA,
    _key("number"),
    _int("first"),
    _int("last"),
    *_place(),
    *_on_chain(),
    _int("created_at"),
    *_since(),
)
"""Admission numbers that nobody knows any more, and their entry on the chain."""

ROTATION = Table(
    "rotation",
    METADATA,
    _key("entry"),
    _bytes("head"),
    _bytes("previous"),
    _bytes("writer"),
    _int("size"),
    _int("last_admission"),
    _bytes("tx_hash"),
    _int("block_number"),
    _bytes("block_hash"),
    _bytes("mac"),
)
"""An entry by which the keeper named another writer, read from the chain."""

ADOPTED = Table(
    "adopted_record",
    METADATA,
    _key("log_index"),
    _int("admission_seq", unique=True),
    _bytes("leaf"),
    _bytes("mac"),
)
"""A record that stands on the chain and that this journal never had: enough to prove the records beside it."""

INVENTORY = Table("inventory", METADATA, _key("id"), _bytes("box"))
"""What all tables hold and which numbers come next, encrypted: the one row with id 1 (inventory.py)."""

MODEL = Table(
    "model",
    METADATA,
    _text_key("key", 96),
    _text("id", 96),
    _bytes("owner", null=True),
    _text("visibility", 16),
    _text("task", 64),
    _int("created_at"),
    _bytes("mac"),
)
"""A model's name: who registered it and who may see it. `key` is the id in lower case: ids differ in more than case."""

VERSION = Table(
    "model_version",
    METADATA,
    _text_key("id", 164),
    _text("model", 96),
    _text("version", 12),
    _bytes("digest", index=True),
    _int("number"),
    _text("format", 16),
    _text("architecture", 128, null=True),
    _text("licence", 128, null=True),
    _text("source"),
    _text("base", 164, null=True),
    _text("dtype", 32, null=True),
    _int("parameters", null=True),
    _int("context_length", null=True),
    _int("size_bytes"),
    _text("signature", 16),
    _bytes("signature_digest", null=True),
    _text("signer", 64, null=True),
    _int("price_per_hour_micros", null=True),
    _text("currency", 3, null=True),
    _text("stage", 16),
    _int("pinned"),
    _int("created_at"),
    _bytes("mac"),
    UniqueConstraint("model", "number"),
    UniqueConstraint("model", "version"),
)
"""One immutable content of a model. `id` is `<model key>@<digest in hex>`; `source` is JSON; money is per hour."""

UPLOAD = Table(
    "upload",
    METADATA,
    _text_key("id", 36),
    _bytes("owner", index=True),
    _text("token_id", 36),
    _text("model", 96),
    _text("state", 16),
    _int("size_bytes"),
    _text("manifest"),
    _int("created_at"),
    _int("expires_at"),
    _bytes("mac"),
)
"""A model on its way in. `manifest` is JSON: every file with size and digest; it is visible to its owner alone."""

PART = Table(
    "upload_part",
    METADATA,
    _text_key("id", 64),
    _text("upload", 36, index=True),
    _int("file"),
    _int("part"),
    _int("size"),
    _bytes("sha256"),
    _int("received_at"),
    _bytes("mac"),
)
"""A part of an upload that is on disk for good. `id` is `<upload>/<file number>/<part number>`."""

JOB = Table(
    "export_job",
    METADATA,
    _text_key("id", 36),
    _int("number", unique=True),
    _bytes("owner", index=True),
    _bytes("model_owner", null=True, index=True),
    _text("token_id", 36),
    _text("path", 256),
    _text("model", 96),
    _text("version", 12),
    _bytes("source_digest"),
    _text("dtype", 32, null=True),
    _text("format", 16),
    _text("quantization", 32, null=True),
    _text("state", 16),
    _text("stage", 64, null=True),
    _int("progress"),
    _int("attempts"),
    _bytes("record_id"),
    _bytes("ended_by", null=True),
    _text("error", null=True),
    _text("files"),
    _text("signature", null=True),
    _bytes("digest", null=True),
    _text("parity", null=True),
    _int("created_at"),
    _int("due_by"),
    _int("finished_at", null=True),
    _bytes("mac"),
)
"""A model on its way out. `error`, `files`, `signature` and `parity` are JSON; `progress` counts in thousandths.

`record_id` is the record that accepted it, `ended_by` the one that says what became of it.
"""

MARKED = tuple(table for table in METADATA.tables.values() if "mac" in table.columns)
"""The tables whose rows carry a MAC and are counted in the inventory."""
