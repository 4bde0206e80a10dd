"""The first schema of format version 2: tokens, the journal, the anchorer's rows, the registry, exports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2001"
down_revision = None

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _chain_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("nonce", sa.BigInteger),
        sa.Column("tx_hash", sa.LargeBinary),
        sa.Column("raw_tx", sa.LargeBinary),
        sa.Column("mined_tx_hash", sa.LargeBinary),
        sa.Column("block_number", sa.BigInteger),
        sa.Column("block_hash", sa.LargeBinary),
        sa.Column("block_time", sa.BigInteger),
        sa.Column("gas_used", sa.BigInteger),
    ]


def _place_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("entry", sa.BigInteger, unique=True),
        sa.Column("head", sa.LargeBinary),
        sa.Column("adopted", sa.BigInteger, nullable=False),
    ]


def _progress_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("mined_at", sa.BigInteger),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    ]


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.BigInteger, nullable=False)


def _mac() -> sa.Column[object]:
    return sa.Column("mac", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Create every table."""
    _create_journal()
    _create_anchoring()
    _create_registry()
    _create_exports()


def _create_journal() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "admission",
        sa.Column("seq", _Key, primary_key=True, autoincrement=False),
        sa.Column("record_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("sender", sa.LargeBinary, nullable=False),
        sa.Column("sender_seq", sa.BigInteger, nullable=False),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("model", sa.String(256)),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("admitted_at", sa.BigInteger, nullable=False),
        sa.Column("record_by", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("sender", "sender_seq"),
    )
    op.create_table(
        "draft",
        sa.Column("admission_seq", _Key, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "record",
        sa.Column("log_index", _Key, primary_key=True, autoincrement=False),
        sa.Column("record_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("admission_seq", sa.BigInteger, nullable=False, unique=True),
        sa.Column("follows", sa.LargeBinary, unique=True),
        sa.Column("sender", sa.LargeBinary, nullable=False),
        sa.Column("sender_seq", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("model", sa.String(256)),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("fields_root", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("response_hash", sa.LargeBinary, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("anchor_by", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("sender", "sender_seq"),
    )
    op.create_table(
        "blob",
        sa.Column("sealed_digest", sa.LargeBinary, primary_key=True),
        sa.Column("log_index", sa.BigInteger, nullable=False, index=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "inventory",
        sa.Column("id", _Key, primary_key=True, autoincrement=False),
        sa.Column("box", sa.LargeBinary, nullable=False),
    )


def _create_anchoring() -> None:
    op.create_table(
        "batch",
        sa.Column("number", _Key, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.BigInteger, nullable=False, unique=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("first_index", sa.BigInteger, nullable=False, unique=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("adopted", sa.BigInteger, nullable=False),
        *_chain_columns(),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *_progress_columns(),
    )
    op.create_table(
        "epoch",
        sa.Column("number", _Key, primary_key=True, autoincrement=False),
        sa.Column("first_index", sa.BigInteger, nullable=False),
        sa.Column("wraps", sa.LargeBinary, nullable=False),
        *_place_columns(),
        *_chain_columns(),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        *_progress_columns(),
    )
    op.create_table(
        "void",
        sa.Column("number", _Key, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        *_place_columns(),
        *_chain_columns(),
        _created(),
        *_progress_columns(),
    )
    op.create_table(
        "rotation",
        sa.Column("entry", _Key, primary_key=True, autoincrement=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.LargeBinary, nullable=False),
        sa.Column("writer", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("last_admission", sa.BigInteger, nullable=False),
        sa.Column("tx_hash", sa.LargeBinary, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("block_hash", sa.LargeBinary, nullable=False),
        _mac(),
    )
    op.create_table(
        "adopted_record",
        sa.Column("log_index", _Key, primary_key=True, autoincrement=False),
        sa.Column("admission_seq", sa.BigInteger, nullable=False, unique=True),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        _mac(),
    )


def _create_registry() -> None:
    op.create_table(
        "model",
        sa.Column("key", sa.String(96), primary_key=True),
        sa.Column("id", sa.String(96), nullable=False),
        sa.Column("owner", sa.LargeBinary),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        _created(),
        _mac(),
    )
    op.create_table(
        "model_version",
        sa.Column("id", sa.String(164), primary_key=True),
        sa.Column("model", sa.String(96), nullable=False),
        sa.Column("version", sa.String(12), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, index=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("architecture", sa.String(128)),
        sa.Column("licence", sa.String(128)),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("base", sa.String(164)),
        sa.Column("dtype", sa.String(32)),
        sa.Column("parameters", sa.BigInteger),
        sa.Column("context_length", sa.BigInteger),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.String(16), nullable=False),
        sa.Column("signature_digest", sa.LargeBinary),
        sa.Column("signer", sa.String(64)),
        sa.Column("price_per_hour_micros", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("pinned", sa.BigInteger, nullable=False),
        _created(),
        _mac(),
        sa.UniqueConstraint("model", "number"),
        sa.UniqueConstraint("model", "version"),
    )
    op.create_table(
        "upload",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("owner", sa.LargeBinary, nullable=False, index=True),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("model", sa.String(96), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        _created(),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        _mac(),
    )
    op.create_table(
        "upload_part",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("upload", sa.String(36), nullable=False, index=True),
        sa.Column("file", sa.BigInteger, nullable=False),
        sa.Column("part", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        _mac(),
    )


def _create_exports() -> None:
    op.create_table(
        "export_job",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("owner", sa.LargeBinary, nullable=False, index=True),
        sa.Column("model_owner", sa.LargeBinary, index=True),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("path", sa.String(256), nullable=False),
        sa.Column("model", sa.String(96), nullable=False),
        sa.Column("version", sa.String(12), nullable=False),
        sa.Column("source_digest", sa.LargeBinary, nullable=False),
        sa.Column("dtype", sa.String(32)),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("quantization", sa.String(32)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("stage", sa.String(64)),
        sa.Column("progress", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("record_id", sa.LargeBinary, nullable=False),
        sa.Column("ended_by", sa.LargeBinary),
        sa.Column("error", sa.Text),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("signature", sa.Text),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("parity", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_by", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
