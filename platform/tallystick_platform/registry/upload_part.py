"""One part of an upload on its way to disk: written to its place in its file, hashed as it comes, flushed before it counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from tallystick_platform.registry.errors import UploadRefused


class Part:
    """One part on its way to disk; `finish` makes it count."""

    def __init__(self, path: Path, *, offset: int, size: int, finish: Callable[[int, bytes], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            path.chmod(0o600)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._offset = offset
        self.size = size
        self._done = 0
        self._hash = hashlib.sha256()
        self._finish = finish

    def write(self, data: bytes) -> None:
        """The next bytes. Raises: UploadRefused where there are too many, OSError"""
        if self._done + len(data) > self.size:
            raise UploadRefused(file=None, reason=f"the part is longer than its {self.size} bytes")
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, self._offset + self._done)
            self._hash.update(view[:count])
            self._done += count
            view = view[count:]

    def finish(self, sha256: bytes | None) -> bytes:
        """Durable and noted on return; gives its SHA-256. `sha256`: what the sender says of it. Raises: UploadRefused"""
        if self._done != self.size:
            raise UploadRefused(file=None, reason=f"the part has {self._done} bytes; {self.size} were announced")
        found = self._hash.digest()
        if sha256 is not None and sha256 != found:
            raise UploadRefused(file=None, reason=f"the part arrived damaged: its SHA-256 is {found.hex()}")
        os.fsync(self._fd)
        self._finish(self.size, found)
        return found

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
