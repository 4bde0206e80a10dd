"""Regular files only, in pieces whose size was checked before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tallystick_platform.formats.errors import FormatError


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The open file and its size. Links are not followed, pipes and devices are not waited for.

    Raises: FormatError where it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FormatError(path=path, reason=error.strerror or "it cannot be opened") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(path=path, reason="not a regular file")
        yield file, status.st_size


def read_exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    """Requires: `size` is bounded. Raises: FormatError where the file ends before."""
    data = file.read(size)
    if len(data) != size:
        raise FormatError(path=path, reason=f"truncated: {size} bytes were to follow, {len(data)} did")
    return data


def read_whole(path: Path, limit: int) -> bytes:
    """A small file. Raises: FormatError where it is larger than the limit."""
    with open_regular(path) as (file, size):
        if size > limit:
            raise FormatError(path=path, reason=f"{size} bytes, the limit is {limit}")
        data = file.read(limit + 1)
    if len(data) != size:
        raise FormatError(path=path, reason="it changed while it was read")
    return data


class BoundedReads:
    """A file for libraries that trust what a header says: one read never takes more than the limit.

    Raises: FormatError from `read`.
    """

    def __init__(self, file: BinaryIO, limit: int, path: Path) -> None:
        self._file, self._limit, self._path = file, limit, path

    def read(self, size: int = -1) -> bytes:
        """At most the limit."""
        data = self._file.read(min(size, self._limit + 1) if size >= 0 else self._limit + 1)
        if len(data) > self._limit:
            raise FormatError(path=self._path, reason=f"a directory of more than {self._limit} bytes")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's, but a place before the beginning is the header's fault, not the operating system's."""
        if whence == os.SEEK_SET and offset < 0:
            raise ValueError("a place before the beginning of the file")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Always."""
        return True
