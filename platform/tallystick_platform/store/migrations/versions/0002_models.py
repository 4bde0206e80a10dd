"""Models, their versions, and uploads on their way in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.BigInteger, nullable=False)


def _mac() -> sa.Column[object]:
    return sa.Column("mac", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    """Create the tables of the registry."""
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
