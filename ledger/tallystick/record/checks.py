"""Small checks from which the shape of a record is put together: each takes a value and raises, or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

from tallystick.errors import RecordError
from tallystick.ids import HASH_BYTES
from tallystick.record.bounds import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_NAME_BYTES,
    MAX_VALUE_INTEGER,
    MIN_VALUE_INTEGER,
)

Check: TypeAlias = Callable[[object], None]


def check_value(value: object, path: str, depth: int = MAX_DEPTH) -> None:
    """Check that a free value holds nothing but what the format can carry.

    Raises: RecordError.
    """
    if type(value) is str:
        utf8_length(value, path)
    elif type(value) is dict:
        if depth <= 0:
            raise RecordError(path, f"nests deeper than {MAX_DEPTH}")
        for key, item in value.items():
            if type(key) is not str:
                raise RecordError(path, "has a key that is not text")
            utf8_length(key, path)
            check_value(item, path, depth - 1)
    elif type(value) is list or type(value) is tuple:
        if depth <= 0:
            raise RecordError(path, f"nests deeper than {MAX_DEPTH}")
        for item in value:
            check_value(item, path, depth - 1)
    else:
        check_scalar(value, path)


def check_scalar(value: object, path: str) -> None:
    if type(value) is int:
        if not MIN_VALUE_INTEGER <= value <= MAX_VALUE_INTEGER:
            raise RecordError(path, "holds an integer beyond 64 bits")
    elif type(value) is float:
        if not math.isfinite(value):
            raise RecordError(path, "holds a number that is not finite")
    elif value is not None and type(value) is not bool and type(value) is not bytes:
        raise RecordError(path, f"holds a {type(value).__name__}")


def utf8_length(text: str, path: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise RecordError(path, "holds a lone surrogate") from error


def integer(path: str, low: int = 0, high: int = MAX_INTEGER) -> Check:
    def check(value: object) -> None:
        if type(value) is not int:
            raise RecordError(path, "is not an integer")
        if not low <= value <= high:
            raise RecordError(path, f"{value} is not within {low} to {high}")

    return check


def text(path: str, max_bytes: int | None = MAX_NAME_BYTES, *, min_bytes: int = 1) -> Check:
    def check(value: object) -> None:
        if type(value) is not str:
            raise RecordError(path, "is not text")
        length = utf8_length(value, path)
        if length < min_bytes or (max_bytes is not None and length > max_bytes):
            raise RecordError(path, f"has {length} bytes, not {min_bytes} to {max_bytes}")

    return check


def byte_string(path: str, low: int, high: int) -> Check:
    def check(value: object) -> None:
        if type(value) is not bytes:
            raise RecordError(path, "is not bytes")
        if not low <= len(value) <= high:
            raise RecordError(path, f"has {len(value)} bytes, not {low}" + (f" to {high}" if high > low else ""))

    return check


def hash32(path: str) -> Check:
    return byte_string(path, HASH_BYTES, HASH_BYTES)


def one_of(path: str, *allowed: str) -> Check:
    def check(value: object) -> None:
        if type(value) is not str or value not in allowed:
            raise RecordError(path, f"is not one of {', '.join(allowed)}")

    return check


def optional(check: Check) -> Check:
    def check_unless_null(value: object) -> None:
        if value is not None:
            check(value)

    return check_unless_null


def group(path: str, kind: type, /, **checks: Check) -> Check:
    """Check a nested structure: its class, then each of its attributes."""
    # With one name `attrgetter` gives the value itself, with several a tuple of them.
    read = attrgetter(*checks)
    values = read if len(checks) > 1 else lambda value: (read(value),)
    rules = tuple(checks.values())

    def check(value: object) -> None:
        if type(value) is not kind:
            raise RecordError(path, f"is not a {kind.__name__}")
        for rule, item in zip(rules, values(value), strict=True):
            rule(item)

    return check
