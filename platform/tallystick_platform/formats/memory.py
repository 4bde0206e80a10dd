"""How much memory a model takes, from its headers alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.formats.errors import FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """What a worker will hold. Units: bytes. `overhead_bytes` is the process, its libraries and the largest intermediate."""

    weights_bytes: int
    kv_bytes: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.overhead_bytes


def estimate(folder: Path, *, dtype: str = "float32", kv_tokens: int = 0) -> MemoryEstimate:
    """Weights in `dtype` (`file` for the file's own) and caches for `kv_tokens` tokens over all requests together.

    Raises: FormatError.
    """
    raise FormatError(path=folder, reason="folders are not read yet")
