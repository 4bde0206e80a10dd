"""What a version will take of memory; how much there is stands in `engine/cpu.py`, because workers ask it too."""

from __future__ import annotations

from tallystick_platform.dispatch.catalog import Servable
from tallystick_platform.engine.cpu import RESERVED_BYTES, available_bytes
from tallystick_platform.formats.memory import estimate

__all__ = ["KV_TOKENS", "RESERVED_BYTES", "available_bytes", "needed_bytes"]

KV_TOKENS = 8_192  # caches that a worker is expected to fill: eight requests of a thousand tokens


def needed_bytes(servable: Servable) -> int:
    """What a worker of this version will take, from its files' headers. An adapter comes on top of its base.

    Weights count as float32, which is what a machine without a GPU computes in. Raises: FormatError.
    """
    if servable.base_folder is None:
        return estimate(servable.folder, kv_tokens=KV_TOKENS).total_bytes
    base = estimate(servable.base_folder, kv_tokens=KV_TOKENS).total_bytes
    return base + sum(path.stat().st_size for path in servable.folder.rglob("*") if path.is_file())
