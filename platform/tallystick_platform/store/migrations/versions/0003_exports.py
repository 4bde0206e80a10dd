"""Export jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of the export jobs."""
    op.create_table(
        "export_job",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, unique=True),
        sa.Column("owner", sa.LargeBinary, nullable=False, index=True),
        sa.Column("model_owner", sa.LargeBinary, index=True),
        sa.Column("token_id", sa.String(36), nullable=False),
        sa.Column("path", sa.String(256), nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
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
        sa.Column("error", sa.Text),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("signature", sa.Text),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("parity", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
