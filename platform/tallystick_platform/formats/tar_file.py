"""Tar files from strangers, plain or through gzip, member by member and forward only.

Source: POSIX.1-2024 pax (ustar headers, extended headers of type x and g), GNU tar for long names. Only files and folders are
known here; a link, a device or a sparse file is refused by its name. The library's reader knows far more, and each of the things
that it knows besides has at some time been an attack.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tallystick_platform.formats.errors import UnsafeArchive
from tallystick_platform.formats.limits import KIB, MAX_ARCHIVE_RATIO, MIN_RATIO_BYTES
from tallystick_platform.formats.names import shown

BLOCK_BYTES = 512
CHUNK_BYTES = 64 * KIB
MAX_EXTENDED_BYTES = 64 * KIB
MAX_EXTENDED_IN_A_ROW = 4
MAX_END_BYTES = 10 * CHUNK_BYTES  # zeros after the end mark; tar pads to twenty blocks
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_FILES, _FOLDER = frozenset({b"0", b"\0", b"7"}), b"5"
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "sparse",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """A file or folder that comes next in the archive. Units: bytes."""

    name: str
    is_folder: bool
    size: int


class Source(Protocol):
    """Bytes in order."""

    def read(self, size: int) -> bytes:
        """At most `size`; fewer at the end alone."""
        ...


class Gunzip:
    """What a gzip file holds, in pieces of the size that is asked for. Raises: UnsafeArchive."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._packed_bytes = self._unpacked_bytes = 0
        self._ended = False

    def read(self, size: int) -> bytes:
        """At most `size`; fewer at the end alone."""
        parts: list[bytes] = []
        wanted = size
        while wanted and not self._ended:
            part = self._some(wanted)
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _some(self, wanted: int) -> bytes:
        packed = self._inflate.unconsumed_tail
        if not packed:
            packed = self._file.read(CHUNK_BYTES)
            self._packed_bytes += len(packed)
        try:
            part = self._inflate.decompress(packed, wanted)
        except zlib.error as error:
            raise UnsafeArchive(name=self._path.name, reason="its gzip data are broken") from error
        if self._inflate.eof:
            self._ended = True
            if self._inflate.unused_data or self._file.read(1):
                raise UnsafeArchive(name=self._path.name, reason="bytes follow its gzip data")
        elif not packed and not part:
            raise UnsafeArchive(name=self._path.name, reason="truncated: its gzip data do not end")
        self._unpacked_bytes += len(part)
        if self._unpacked_bytes > max(MIN_RATIO_BYTES, MAX_ARCHIVE_RATIO * self._packed_bytes):
            reason = f"it unpacks to more than {MAX_ARCHIVE_RATIO} times its size"
            raise UnsafeArchive(name=self._path.name, reason=reason)
        return part


class TarReader:
    """Requires: of each member, `data` is exhausted before the next is asked for."""

    def __init__(self, source: Source, path: Path) -> None:
        self._source, self._path = source, path

    def members(self) -> Iterator[TarMember]:
        """Files and folders up to the end mark. Raises: UnsafeArchive."""
        name: str | None = None
        size: int | None = None
        extended = 0
        while (header := self._block()).strip(b"\0"):
            kind, field_size = header[156:157], self._checked(header)
            extended += 1
            if extended > MAX_EXTENDED_IN_A_ROW:
                raise self._fault(f"more than {MAX_EXTENDED_IN_A_ROW} headers for one member")
            if kind == b"L":
                name = self._text(self._extension(field_size).rstrip(b"\0"))
            elif kind in (b"x", b"g"):
                new_name, new_size = self._records(self._extension(field_size), of_all=kind == b"g")
                name, size = new_name or name, size if new_size is None else new_size
            else:
                yield self._member(header, kind, name, field_size if size is None else size)
                name, size, extended = None, None, 0
        self._end()

    def data(self, member: TarMember) -> Iterator[bytes]:
        """A file's content in pieces. Raises: UnsafeArchive."""
        left = member.size
        while left:
            piece = self._exactly(min(left, CHUNK_BYTES))
            left -= len(piece)
            yield piece
        self._exactly(-member.size % BLOCK_BYTES)

    def _member(self, header: bytes, kind: bytes, name: str | None, size: int) -> TarMember:
        if name is None:
            name = self._text(header[:100].split(b"\0")[0])
            prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
            name = f"{self._text(prefix)}/{name}" if prefix else name
        is_folder = kind == _FOLDER or (kind == b"\0" and name.endswith("/"))
        if kind not in _FILES and kind != _FOLDER:
            what = _REFUSED.get(kind, f"of type {kind!r}")
            raise UnsafeArchive(name=shown(name), reason=f"{what}; only files and folders are unpacked")
        if is_folder and size:
            raise UnsafeArchive(name=shown(name), reason="a folder with content")
        # `tar -C folder .` puts ./ before every name.
        plain = name.removeprefix("./").removesuffix("/" if is_folder else "")
        return TarMember(name=plain, is_folder=is_folder, size=size)

    def _records(self, data: bytes, *, of_all: bool) -> tuple[str | None, int | None]:
        """Path and size out of an extended header: records `length key=value` and a line feed."""
        name: str | None = None
        size: int | None = None
        position = 0
        while position < len(data):
            space = data.find(b" ", position, position + 8)
            length = _decimal(data[position:space]) if space > position else None
            end = position + (length or 0)
            key, equals, value = data[space + 1 : end - 1].partition(b"=")
            if not length or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
                raise self._fault("an extended header that is none")
            if key.startswith(b"GNU.sparse") or (of_all and key in (b"path", b"size", b"linkpath")):
                raise self._fault(f"an extended header with {shown(key.decode(errors='replace'))}")
            if key == b"path":
                name = self._text(value)
            elif key == b"size":
                size = _decimal(value)
                if size is None:
                    raise self._fault("a size that is no number")
            position = end
        return name, size

    def _extension(self, size: int) -> bytes:
        if size > MAX_EXTENDED_BYTES:
            raise self._fault(f"an extended header of {size} bytes, the limit is {MAX_EXTENDED_BYTES}")
        data = self._exactly(size)
        self._exactly(-size % BLOCK_BYTES)
        return data

    def _checked(self, header: bytes) -> int:
        """The size field of a header whose sum is right."""
        said = _octal(header[148:156])
        if said != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
            raise self._fault("not a tar file, or damaged")
        size = int.from_bytes(header[125:136]) if header[124] == 0x80 else _octal(header[124:136])
        if size is None:
            raise self._fault("a size that is no number")
        return size

    def _end(self) -> None:
        if self._block().strip(b"\0"):
            raise self._fault("half an end mark")
        for _ in range(MAX_END_BYTES // CHUNK_BYTES):
            rest = self._source.read(CHUNK_BYTES)
            if rest.strip(b"\0"):
                raise self._fault("bytes follow its end mark")
            if len(rest) < CHUNK_BYTES:
                return
        raise self._fault(f"more than {MAX_END_BYTES} bytes follow its end mark")

    def _block(self) -> bytes:
        return self._exactly(BLOCK_BYTES)

    def _exactly(self, size: int) -> bytes:
        data = self._source.read(size) if size else b""
        if len(data) != size:
            raise self._fault("truncated")
        return data

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._fault("a name that is not UTF-8") from error

    def _fault(self, reason: str) -> UnsafeArchive:
        return UnsafeArchive(name=self._path.name, reason=reason)


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else 0 if not digits else None


def _decimal(field: bytes) -> int | None:
    return int(field) if 0 < len(field) <= 19 and field.isdigit() else None
