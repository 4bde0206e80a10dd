"""Zip files from strangers: every member is known and within bounds before the first is unpacked."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tallystick_platform.formats.errors import FormatError, UnsafeArchive
from tallystick_platform.formats.limits import MAX_ARCHIVE_RATIO, MAX_ARCHIVE_READ_BYTES, MIN_RATIO_BYTES
from tallystick_platform.formats.names import NameTable, shown
from tallystick_platform.formats.reading import BoundedReads, open_regular

LOCAL_HEADER_BYTES = 30
ENCRYPTED_OR_PATCHED = 0x1 | 0x20 | 0x40 | 0x2000
# What the library raises for a file that is not what it should be; it has no root of its own.
ZIP_FAULTS = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    IndexError,
    OverflowError,
)


@contextmanager
def open_zip(path: Path, *, max_files: int, max_bytes: int) -> Iterator[tuple[ZipFile, tuple[ZipInfo, ...]]]:
    """The archive and its members, checked against each other and the bounds.

    Raises: UnsafeArchive, also for a broken file while the caller reads members; FormatError where it cannot be opened.
    """
    with open_regular(path) as (file, _):
        try:
            bounded = cast("BinaryIO", BoundedReads(file, MAX_ARCHIVE_READ_BYTES, path))
            with ZipFile(bounded) as archive:
                members = tuple(archive.infolist())
                _check_members(archive, members, path, max_files=max_files, max_bytes=max_bytes)
                yield archive, members
        except ZIP_FAULTS as error:
            raise UnsafeArchive(name=path.name, reason=f"not a whole zip file ({type(error).__name__})") from error
        except FormatError as error:
            raise UnsafeArchive(name=path.name, reason=error.reason) from error


def _check_members(
    archive: ZipFile, members: tuple[ZipInfo, ...], path: Path, *, max_files: int, max_bytes: int
) -> None:
    if len(members) > max_files:
        raise UnsafeArchive(name=path.name, reason=f"{len(members)} members, the limit is {max_files}")
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise UnsafeArchive(name=path.name, reason=f"it claims to unpack to {total} bytes, the limit is {max_bytes}")
    names = NameTable()
    for member in members:
        _check_member(member)
        name = member.orig_filename
        fault = names.add_folder(name[:-1]) if member.is_dir() else names.add(name)
        if fault:
            raise UnsafeArchive(name=shown(name), reason=fault)
    # Members that share bytes unpack to more than the file holds, and two readers may see two different archives.
    placed = sorted(members, key=lambda member: member.header_offset)
    ends = [m.header_offset + LOCAL_HEADER_BYTES + len(m.orig_filename) + m.compress_size for m in placed]
    overlaps = any(following.header_offset < end for end, (_, following) in zip(ends, pairwise(placed), strict=False))
    if overlaps or (ends and ends[-1] > archive.start_dir):
        raise UnsafeArchive(name=path.name, reason="its members overlap")


def _check_member(member: ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    reason = None
    if member.flag_bits & ENCRYPTED_OR_PATCHED:
        reason = "encrypted or a patch"
    elif member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        reason = f"compressed by method {member.compress_type}; store it plainly or deflate it"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "a link or device, not a file"
    elif (kind == stat.S_IFDIR) != member.is_dir() and kind != 0:
        reason = "a folder by one of its fields and a file by another"
    elif member.is_dir() and member.file_size:
        reason = "a folder with content"
    elif member.file_size > max(MIN_RATIO_BYTES, MAX_ARCHIVE_RATIO * member.compress_size):
        reason = f"it claims to unpack to more than {MAX_ARCHIVE_RATIO} times its size"
    if reason:
        raise UnsafeArchive(name=shown(member.orig_filename), reason=reason)
