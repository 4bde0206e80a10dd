"""Unpredictable bytes without a system call for each handful.

Asking the system takes a microsecond, and hands the interpreter's lock to another thread each time.
"""

from __future__ import annotations

import os

POOL_BYTES = 8_192


class RandomPool:
    """Hands out the system's random bytes, each once. Used from one thread."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._pool):
            self._pool = os.urandom(max(POOL_BYTES, size))
            end = size
        found = self._pool[end - size : end]
        self._at = end
        return found
