"""One row in each table of the registry, as the registry writes them."""

from __future__ import annotations

from sqlalchemy import Table

from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import insert_row
from tallystick_platform.store.tables import MODEL, PART, UPLOAD, VERSION

DIGEST = b"\x5d" * 32
OWNER = b"\xa1" * 20


def model_rows(database: Database, macs: RowMacs) -> None:
    """A model with one version, and an upload with one part."""
    rows: list[tuple[Table, dict[str, Value]]] = [
        (
            MODEL,
            {
                "key": "acme/tiny",
                "id": "Acme/Tiny",
                "owner": OWNER,
                "visibility": "private",
                "task": "chat",
                "created_at": 1,
            },
        ),
        (
            VERSION,
            {
                "id": f"acme/tiny@{DIGEST.hex()}",
                "model": "acme/tiny",
                "version": DIGEST.hex()[:12],
                "digest": DIGEST,
                "number": 1,
                "format": "safetensors",
                "architecture": "LlamaForCausalLM",
                "licence": "apache-2.0",
                "source": '{"kind":"folder"}',
                "base": None,
                "dtype": "float32",
                "parameters": 1_000,
                "context_length": 64,
                "size_bytes": 4_000,
                "signature": "none",
                "signature_digest": None,
                "signer": None,
                "price_per_hour_micros": 5,
                "currency": "USD",
                "stage": "staging",
                "pinned": 0,
                "created_at": 1,
            },
        ),
        (
            UPLOAD,
            {
                "id": "up_1",
                "owner": OWNER,
                "token_id": "tok_1",
                "model": "Acme/Tiny",
                "state": "open",
                "size_bytes": 4,
                "manifest": "[]",
                "created_at": 1,
                "expires_at": 2,
            },
        ),
        (
            PART,
            {
                "id": "up_1/0/0",
                "upload": "up_1",
                "file": 0,
                "part": 0,
                "size": 4,
                "sha256": b"\x07" * 32,
                "received_at": 1,
            },
        ),
    ]
    with database.writing() as connection:
        for table, values in rows:
            insert_row(connection, macs, table, values)
