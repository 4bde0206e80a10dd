"""What keeps a request cheap: random bytes without a system call each, and a collector of cycles that leaves alone what stays."""

from __future__ import annotations

import gc
import os

POOL_BYTES = 8_192
YOUNG_OBJECTS = 10_000  # between looks at the young; the default of 700 looks once for every few requests


def settle_memory() -> None:
    """Leave out of every later collection what exists now: it was made at the start and stays to the end.

    A request makes hundreds of objects and hardly a cycle; looking for cycles that often took a twentieth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


class RandomPool:
    """Hands out the system's random bytes, each once. Used from one thread.

    Asking the system takes a microsecond, and hands the interpreter's lock to another thread each time.
    """

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
