"""The first schema: tokens, admissions, drafts, records, blobs, batches, epochs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
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


def _progress_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("mined_at", sa.BigInteger),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    ]


def upgrade() -> None:
    """Create every table."""
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
        sa.Column("path", sa.String(256), nullable=False),
        sa.Column("model", sa.String(256)),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("admitted_at", sa.BigInteger, nullable=False),
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
        "batch",
        sa.Column("number", _Key, primary_key=True, autoincrement=False),
        sa.Column("first_index", sa.BigInteger, nullable=False, unique=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        *_chain_columns(),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *_progress_columns(),
    )
    op.create_table(
        "epoch",
        sa.Column("number", _Key, primary_key=True, autoincrement=False),
        sa.Column("first_index", sa.BigInteger, nullable=False),
        sa.Column("wraps", sa.LargeBinary, nullable=False),
        *_chain_columns(),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        *_progress_columns(),
    )
