"""Deterministic CBOR (RFC 8949 4.2.1), as far as section 1 uses it."""

import math
import struct
from typing import Any

from tests.support.stranger.errors import ENCODING, RECORD, Refused

MAX_DEPTH = 16


class _Undefined:
    """Undefined, or another simple value that no record may hold but which is well-formed CBOR."""


UNDEFINED = _Undefined()


def encode(value: Any) -> bytes:
    """The one encoding of a value."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(3, len(text)) + text
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        members = sorted((encode(key), encode(member)) for key, member in value.items())
        return _head(5, len(members)) + b"".join(key + member for key, member in members)
    raise Refused(RECORD, f"a value of the type {type(value).__name__} has no encoding")


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
    raise Refused(RECORD, "an integer beyond 64 bits")


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for lead, layout in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(layout, value)
        except OverflowError:
            continue
        if struct.unpack(layout, packed)[0] == value:
            return lead + packed
    return b"\xfb" + struct.pack(">d", value)


class _Decoder:
    """Reads one value; refuses whatever is not its one encoding, and counts items before it builds them."""

    def __init__(self, data: bytes, depth: int, items: int | None) -> None:
        self.data = data
        self.at = 0
        self.depth = depth
        self.items = items

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise Refused(ENCODING, "the bytes end too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise Refused(ENCODING, "an indefinite or reserved length")
        size = 1 << info - 24
        number = int.from_bytes(self.take(size), "big")
        if number < (24 if size == 1 else 1 << 4 * size):
            raise Refused(ENCODING, "a number is not in its shortest form")
        return number

    def value(self, level: int) -> Any:
        if self.items is not None:
            self.items -= 1
            if self.items < 0:
                raise Refused(RECORD, "more items than a value in a blob may have")
        lead = self.take(1)[0]
        major, info = lead >> 5, lead & 31
        if major == 7:
            return self.simple(info)
        if major == 6:
            raise Refused(ENCODING, "a tag")
        number = self.argument(info)
        if major < 2:
            return number if major == 0 else -1 - number
        if major == 2:
            return self.take(number)
        if major == 3:
            return self.text(number)
        if number > (len(self.data) - self.at) // (major - 3):
            raise Refused(ENCODING, "the bytes end too early")
        if level > self.depth:
            raise Refused(ENCODING, "nested deeper than a field may be")
        return [self.value(level + 1) for _ in range(number)] if major == 4 else self.mapping(number, level)

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise Refused(ENCODING, "text that is not UTF-8") from None

    def simple(self, info: int) -> Any:
        if info in (20, 21, 22, 23):
            return {20: False, 21: True, 22: None, 23: UNDEFINED}[info]
        if info > 27:
            raise Refused(ENCODING, "a break, or a reserved form")
        if info not in (25, 26, 27):
            if info == 24 and self.take(1)[0] < 32:
                raise Refused(ENCODING, "a simple value is not in its shortest form")
            return UNDEFINED
        size, layout = {25: (2, ">e"), 26: (4, ">f"), 27: (8, ">d")}[info]
        raw = self.take(size)
        value: float = struct.unpack(layout, raw)[0]
        if not math.isnan(value) and _float(value) != bytes([0xE0 | info]) + raw:
            raise Refused(ENCODING, "a float is not in its shortest form")
        return value

    def mapping(self, count: int, level: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        before = b""
        for _ in range(count):
            start = self.at
            key = self.value(level + 1)
            if not isinstance(key, str):
                raise Refused(ENCODING, "a key that is not text")
            encoded = self.data[start : self.at]
            if encoded <= before:
                raise Refused(ENCODING, "keys out of order, or one twice")
            before = encoded
            result[key] = self.value(level + 1)
        return result


def decode(data: bytes, *, depth: int = MAX_DEPTH, items: int | None = None) -> Any:
    """The value of bytes that are its one encoding. Undefined, NaN and infinity are left to the caller, which names the field."""
    decoder = _Decoder(data, depth, items)
    value = decoder.value(1)
    if decoder.at != len(data):
        raise Refused(ENCODING, "bytes after the value")
    return value
