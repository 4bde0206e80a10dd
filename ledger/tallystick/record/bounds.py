"""The bounds of a record's fields.

Text is measured in bytes of UTF-8. Without its large fields, which can move to blobs, a record that passes these bounds always fits one
transaction: a request that was admitted can always be recorded.
"""

from __future__ import annotations

from typing import Final

MAX_RECORD_BYTES: Final = 262_144
"""The encoded record; while it has more, its largest field moves to a blob."""
MAX_PADDED_BYTES: Final = 122_880
"""The compressed and padded record: what one transaction of 128 KiB can carry."""
MIN_BLOB_BYTES: Final = 1_025
"""A smaller value never moves to a blob."""
MAX_BLOB_BYTES: Final = 32 * 1_048_576
"""The encoded value in a blob: twice the largest request body that the service accepts."""

MAX_INTEGER: Final = 2**53 - 1
"""Named integers stay exact in JSON and JavaScript."""
MIN_VALUE_INTEGER: Final = -(2**63)
MAX_VALUE_INTEGER: Final = 2**63 - 1
MAX_DEPTH: Final = 16
"""Containers inside containers within one field's value."""

MAX_NAME_BYTES: Final = 512
MAX_PATH_BYTES: Final = 1024
MAX_ERROR_MESSAGE_BYTES: Final = 2048
MAX_PARAMETERS: Final = 64
MAX_PARAMETERS_BYTES: Final = 8192
MAX_OUTPUTS: Final = 2048
MAX_USAGE_COUNTS: Final = 16
MAX_COUNT_NAME_BYTES: Final = 64
MAX_RATE_MICROS: Final = 10**14
MAX_TARGET_BYTES: Final = 4096
REQUEST_SALT_BYTES: Final = 16
SENDER_NONCE_BYTES: Final = 32
SENDER_SIGNATURE_BYTES: Final = 65
MAX_TOPLOC_BYTES: Final = 8192
MAX_GPU_COUNT: Final = 65_536
MAX_PER_HOUR_MICROS: Final = 10**14
MAX_DEVICE_TIME_US: Final = 10**11
"""About 28 hours; with MAX_PER_HOUR_MICROS it keeps every charge within MAX_INTEGER."""


def clip_text(text: str, max_bytes: int) -> str:
    """Shorten text to at most `max_bytes` of UTF-8, on a character's edge, with `?` for lone surrogates."""
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
