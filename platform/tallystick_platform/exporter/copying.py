"""Bytes from one file to another, hashed on the way and compared afterwards; never more than a few chunks in memory."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from tallystick_platform.exporter.errors import ExportFailed, ExportRefused

CHUNK_BYTES = 4 * 1_048_576
EARLY_SYNC_BYTES = 8 * 1_048_576  # smaller files are made durable at the end, all at once

Told = Callable[[int], None]
"""Called with the number of bytes that were just dealt with."""


@contextmanager
def reading(path: Path) -> Iterator[int]:
    """A descriptor of a regular file; links and devices are not followed. Raises: ExportRefused, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ExportRefused(reason=f"{path.name!a} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


class HashedFile:
    """A new file whose SHA-256 is computed beside the writing, in a thread of its own: hashing leaves the lock alone.

    A file that exists is never written over. Requires: what is written stays as it is until the next write returns.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        self._hasher = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hashing")
        self._pending: Future[None] | None = None
        self._durable: Future[None] | None = None
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown(wait=True)
        os.close(self._descriptor)
        if self._durable is not None and kind is None:
            self._durable.result()

    def write(self, data: memoryview | bytes) -> None:
        """Append. Raises: OSError."""
        self._settle()
        self._pending = self._thread.submit(self._hasher.update, data)
        write_all(self._descriptor, data)
        self.size += len(data)

    def finish(self) -> bytes:
        """The SHA-256 of what was written. A large file becomes durable meanwhile; leaving waits for that. Raises: OSError."""
        self._settle()
        if self.size >= EARLY_SYNC_BYTES:
            self._durable = self._thread.submit(os.fsync, self._descriptor)
        return self._hasher.digest()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()


def write_all(descriptor: int, data: memoryview | bytes) -> None:
    """Write everything; the system may take it in pieces. Raises: OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def copy_range(source: int, start: int, size: int, target: HashedFile, told: Told) -> None:
    """Append `size` bytes from `start` of a file. Raises: ExportFailed where the file ends before, OSError."""
    for chunk in chunks(source, start, size):
        target.write(chunk)
        told(len(chunk))


def chunks(source: int, start: int, size: int) -> Iterator[memoryview]:
    """A range of a file, piece by piece; a piece is good until the second next one is asked for.

    Raises: ExportFailed, OSError.
    """
    buffers = [memoryview(bytearray(min(CHUNK_BYTES, size))) for _ in range(2)]
    done = 0
    while done < size:
        buffers.reverse()
        count = os.preadv(source, [buffers[0][: size - done]], start + done)
        if count == 0:
            raise ExportFailed(reason=f"a file ended after {start + done} bytes, {start + size} were expected")
        done += count
        yield buffers[0][:count]


def file_sha256(path: Path) -> bytes:
    """Hash a file as it lies there. Raises: OSError, ExportRefused."""
    with reading(path) as source, os.fdopen(source, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").digest()


def require_same(source: int, source_start: int, target: int, target_start: int, size: int, name: str) -> None:
    """Read both ranges back from their files and compare them. Raises: ExportFailed, OSError."""
    pairs = zip(chunks(source, source_start, size), chunks(target, target_start, size), strict=False)
    done = 0
    for left, right in pairs:
        if len(left) != len(right) or not np.array_equal(np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8)):
            raise ExportFailed(reason=f"{name}: what was written is not what lies in the source, near byte {done}")
        done += len(left)
    if done != size:
        raise ExportFailed(reason=f"{name}: {done} bytes could be compared of {size}")
