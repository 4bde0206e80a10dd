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

    Raises: FormatError, also for whatever the operating system says while the file is read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FormatError(path=path, reason="not a regular file")
            yield file, status.st_size
    except OSError as error:
        raise FormatError(path=path, reason=error.strerror or "it cannot be read") from error


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
