"""The bounds of a record's fields, and the arithmetic that they allow.

Text is measured in bytes of UTF-8. Together the bounds keep a sealed record under one batch's 96 KiB.
"""

from __future__ import annotations

from typing import Final

MAX_INTEGER: Final = 2**53 - 1
"""Named integers stay exact in JSON and JavaScript."""
MIN_VALUE_INTEGER: Final = -(2**63)
MAX_VALUE_INTEGER: Final = 2**63 - 1
MAX_NAME_BYTES: Final = 128
MAX_PATH_BYTES: Final = 1024
MAX_ERROR_MESSAGE_BYTES: Final = 1024
MAX_PARAMETERS: Final = 64
MAX_PARAMETERS_BYTES: Final = 4096
MAX_CHOICES: Final = 128
MAX_SIGNATURE_BYTES: Final = 1024
MAX_TOPLOC_BYTES: Final = 8192
MAX_DEPTH: Final = 16
"""Containers inside containers within one field's value."""
MAX_GPU_COUNT: Final = 65_536
MAX_PER_HOUR_MICROS: Final = 10**14
MAX_DEVICE_TIME_US: Final = 10**11
MAX_INLINE_BYTES: Final = 24_576
MAX_BLOB_BYTES: Final = 64 * 1024 * 1024

MICROSECONDS_PER_HOUR: Final = 3_600_000_000


def charge_micros(per_hour_micros: int, device_time_us: int) -> int:
    """Compute the charge, rounded up. Units: micro-units of the currency. Source: SPEC 1."""
    return -(-per_hour_micros * device_time_us // MICROSECONDS_PER_HOUR)


def clip_text(text: str, max_bytes: int) -> str:
    """Shorten text to at most `max_bytes` of UTF-8, on a character's edge, replacing lone surrogates."""
    data = text.encode("utf-8", "replace")
    return data[:max_bytes].decode("utf-8", "ignore")
