"""Single values in deterministic CBOR, each checked against its bound as it is written.

Checking and writing are one step, so a rule stands in one place and a record is walked once. Types are compared exactly: True is no
integer here, and a subclass of str would be another value after decoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, TypeAlias

import cbor2

from tallystick.errors import RecordError
from tallystick.ids import HASH_BYTES
from tallystick.record import MAX_DEPTH, MAX_INTEGER, MAX_NAME_BYTES, MAX_VALUE_INTEGER, MIN_VALUE_INTEGER

KeyOrder: TypeAlias = tuple[tuple[str, bytes], ...]
Writer: TypeAlias = Callable[[Any, str], bytes]
"""From a value, and the path that messages call it by, to its bytes. Raises: RecordError."""

MAX_KEY_ORDERS: Final = 256
MAX_KNOWN_KEYS: Final = 32
MAX_KNOWN_KEY_BYTES: Final = 64
# Requests repeat the same few sets of keys, and sorting them anew costs more than all else about a map.
_key_orders: dict[tuple[str, ...], KeyOrder] = {}

NULL: Final = b"\xf6"
FALSE: Final = b"\xf4"
TRUE: Final = b"\xf5"

UNSIGNED: Final = 0x00
NEGATIVE: Final = 0x20
BYTES: Final = 0x40
TEXT: Final = 0x60
ARRAY: Final = 0x80
MAP: Final = 0xA0

_pack_16: Final = Struct(">BH").pack
_pack_32: Final = Struct(">BI").pack
_pack_64: Final = Struct(">BQ").pack


def head(major: int, number: int) -> bytes:
    """The shortest head of an item: its major type and a count or value, below 2^64. Source: RFC 8949 3, 4.2.1."""
    return _SMALL_HEADS[major][number] if number < 256 else _long_head(major, number)


def _long_head(major: int, number: int) -> bytes:
    if number < 1 << 16:
        return _pack_16(major | 25, number)
    if number < 1 << 32:
        return _pack_32(major | 26, number)
    return _pack_64(major | 27, number)


def _short_heads(major: int) -> tuple[bytes, ...]:
    within = tuple(bytes((major | number,)) for number in range(24))
    return within + tuple(bytes((major | 24, number)) for number in range(24, 256))


_SMALL_HEADS: Final = {major: _short_heads(major) for major in (UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP)}
_TEXT_HEADS: Final = _SMALL_HEADS[TEXT]
_BYTES_HEADS: Final = _SMALL_HEADS[BYTES]
_UNSIGNED_HEADS: Final = _SMALL_HEADS[UNSIGNED]


def integer(value: object, path: str, low: int = 0, high: int = MAX_INTEGER) -> bytes:
    """An integer from `low`, which is not negative, to `high`. Raises: RecordError."""
    if type(value) is not int:
        raise RecordError(path, "is not an integer")
    if not low <= value <= high:
        raise RecordError(path, f"{value} is not within {low} to {high}")
    return _UNSIGNED_HEADS[value] if value < 256 else head(UNSIGNED, value)


def text(value: object, path: str, most: int = MAX_NAME_BYTES, least: int = 1) -> bytes:
    """Text of `least` to `most` bytes of UTF-8. Raises: RecordError."""
    if type(value) is not str:
        raise RecordError(path, "is not text")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise RecordError(path, "holds a lone surrogate") from error
    size = len(data)
    if not least <= size <= most:
        raise RecordError(path, f"has {size} bytes, not {least} to {most}")
    return (_TEXT_HEADS[size] if size < 256 else head(TEXT, size)) + data


def or_null(write: Writer) -> Writer:
    """Null, or what this writer writes."""
    return lambda value, path: NULL if value is None else write(value, path)


def byte_string(value: object, path: str, least: int, most: int) -> bytes:
    """Bytes, `least` to `most` of them. Raises: RecordError."""
    if type(value) is not bytes:
        raise RecordError(path, "is not bytes")
    size = len(value)
    if not least <= size <= most:
        raise RecordError(path, f"has {size} bytes, not {least}" + (f" to {most}" if most > least else ""))
    return (_BYTES_HEADS[size] if size < 256 else head(BYTES, size)) + value


def hash32(value: object, path: str) -> bytes:
    """A hash. Raises: RecordError."""
    if type(value) is bytes and len(value) == HASH_BYTES:
        return b"\x58\x20" + value
    return byte_string(value, path, HASH_BYTES, HASH_BYTES)


def one_of(value: object, path: str, encoded: dict[str, bytes]) -> bytes:
    """One of a few words, whose encodings are given. Raises: RecordError."""
    found = encoded.get(value) if type(value) is str else None
    if found is None:
        raise RecordError(path, f"is not one of {', '.join(encoded)}")
    return found


def words(*allowed: str) -> dict[str, bytes]:
    """The encodings of a few words."""
    return {word: text(word, "word") for word in allowed}


def flag(value: object, path: str) -> bytes:
    """True or false. Raises: RecordError."""
    if type(value) is not bool:
        raise RecordError(path, "is not true or false")
    return TRUE if value else FALSE


def free_value(value: object, path: str, depth: int = MAX_DEPTH) -> bytes:
    """A value of any shape: null, true, false, an integer, a float, text, bytes, a list or a map of these.

    Raises: RecordError if it holds anything else, a number that is not finite or beyond 64 bits, or nests deeper than `depth`.
    """
    if type(value) is str:
        try:
            data = value.encode()
        except UnicodeEncodeError as error:
            raise RecordError(path, "holds a lone surrogate") from error
        size = len(data)
        return (_TEXT_HEADS[size] if size < 256 else head(TEXT, size)) + data
    if type(value) is dict or type(value) is list or type(value) is tuple:
        return _container(value, path, depth - 1)
    if type(value) is bytes:
        return head(BYTES, len(value)) + value
    return scalar(value, path)


def _container(value: dict[str, object] | list[object] | tuple[object, ...], path: str, depth: int) -> bytes:
    if depth < 0:
        raise RecordError(path, f"nests deeper than {MAX_DEPTH}")
    if type(value) is dict:
        items = [encoded + free_value(value[key], path, depth) for key, encoded in ordered_keys(value, path)]
        return head(MAP, len(items)) + b"".join(items)
    return head(ARRAY, len(value)) + b"".join([free_value(item, path, depth) for item in value])


def ordered_keys(members: dict[str, object], path: str, most: int = MAX_INTEGER, least: int = 0) -> KeyOrder:
    """The keys of a map in the bytewise order of their encodings, with their encodings.

    Requires: `least` and `most` bound a key's bytes.
    Raises: RecordError for a key that is not text.
    """
    names = tuple(members)
    known = _key_orders.get(names)
    if known is not None:
        return known
    # A key equals no other, so the sort never compares the names.
    found = tuple((key, encoded) for encoded, key in sorted([(text(key, path, most, least), key) for key in names]))
    # Only keys that every rule accepts are kept: an empty one may stand in a prompt, but not among the parameters.
    if len(names) <= MAX_KNOWN_KEYS and all(1 < len(encoded) <= MAX_KNOWN_KEY_BYTES for _, encoded in found):
        if len(_key_orders) >= MAX_KEY_ORDERS:
            _key_orders.clear()
        _key_orders[names] = found
    return found


def scalar(value: object, path: str) -> bytes:
    """Null, true, false, an integer or a float. Raises: RecordError."""
    if value is None:
        return NULL
    if type(value) is bool:
        return TRUE if value else FALSE
    if type(value) is int:
        if not MIN_VALUE_INTEGER <= value <= MAX_VALUE_INTEGER:
            raise RecordError(path, "holds an integer beyond 64 bits")
        return head(UNSIGNED, value) if value >= 0 else head(NEGATIVE, -1 - value)
    if type(value) is float:
        if not math.isfinite(value):
            raise RecordError(path, "holds a number that is not finite")
        return cbor2.dumps(value, canonical=True)
    raise RecordError(path, f"holds a {type(value).__name__}")


def expect(part: object, kind: type, path: str) -> None:
    """Hold a part to its class. Raises: RecordError."""
    if type(part) is not kind:
        raise RecordError(path, "is null" if part is None else f"is not a {kind.__name__}")
