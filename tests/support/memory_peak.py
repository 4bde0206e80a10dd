"""How much memory a piece of code asks Python for."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 1_048_576


@contextmanager
def peak_below(limit_bytes: int) -> Iterator[None]:
    """Fail where the code inside allocates more at once."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit_bytes, f"{peak / MIB:.1f} MiB"
