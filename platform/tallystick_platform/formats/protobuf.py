"""Protobuf's wire format, read from a file field by field, so that a message of gigabytes costs a page of memory.

Source: the encoding page of the protobuf documentation. Groups, which no current schema uses, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import KIB, MAX_ONNX_FIELDS

WINDOW_BYTES = 64 * KIB
MAX_VARINT_BYTES = 10
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message. `value` is that of a number; other fields lie between `begin` and `end` in the file."""

    number: int
    kind: int
    value: int
    begin: int
    end: int


class ProtobufFile:
    """Random access to messages in an open file. Raises: FormatError from every method."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self._file, self.size, self._path = file, size, path
        self._window, self._window_begin = b"", 0
        self._fields = 0

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """The fields of the message between two positions."""
        position = begin
        while position < end:
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            value = 0
            start = position
            if kind == VARINT:
                value, position = self._varint(position, end)
            elif kind == DELIMITED:
                length, start = self._varint(position, end)
                position = start + length
            elif kind in (FIXED64, FIXED32):
                position += 8 if kind == FIXED64 else 4
            else:
                raise self.fault(f"a protobuf field of kind {kind}")
            if number == 0 or position > end:
                raise self.fault("truncated, or not a protobuf message")
            self._fields += 1
            if self._fields > MAX_ONNX_FIELDS:
                raise self.fault(f"more than {MAX_ONNX_FIELDS} protobuf fields")
            yield Field(number, kind, value, start, position)

    def message(self, field: Field) -> Iterator[Field]:
        """The fields of a message inside another."""
        if field.kind != DELIMITED:
            raise self.fault("a number stands where a message belongs")
        return self.fields(field.begin, field.end)

    def text(self, field: Field, limit: int) -> str:
        """A string field."""
        if field.kind != DELIMITED or field.end - field.begin > limit:
            raise self.fault(f"a text that is none, or of more than {limit} bytes")
        try:
            return self._read(field.begin, field.end - field.begin).decode()
        except UnicodeDecodeError as error:
            raise self.fault("a text that is not UTF-8") from error

    def numbers(self, field: Field, limit: int) -> list[int]:
        """A repeated varint field, packed or not; as signed 64-bit numbers."""
        if field.kind == VARINT:
            return [_signed(field.value)]
        found: list[int] = []
        position = field.begin
        if field.kind != DELIMITED or field.end - field.begin > limit * MAX_VARINT_BYTES:
            raise self.fault(f"more than {limit} numbers where there are few")
        while position < field.end:
            value, position = self._varint(position, field.end)
            found.append(_signed(value))
        return found

    def fault(self, reason: str) -> FormatError:
        """An error that names this file."""
        return FormatError(path=self._path, reason=reason)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        offset = position - self._window_begin
        if 0 <= offset < len(self._window) and position < end and self._window[offset] < 0x80:
            return self._window[offset], position + 1  # nearly all of them
        data = self._read(position, min(MAX_VARINT_BYTES, end - position))
        value = shift = 0
        for count, byte in enumerate(data, 1):
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position + count
            shift += 7
        raise self.fault("truncated, or a number of more than 64 bits")

    def _read(self, position: int, size: int) -> bytes:
        offset = position - self._window_begin
        if not 0 <= offset <= len(self._window) - size:
            self._file.seek(position)
            self._window, self._window_begin, offset = self._file.read(max(size, WINDOW_BYTES)), position, 0
            if len(self._window) < size:
                raise self.fault("it changed while it was read")
        return self._window[offset : offset + size]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
