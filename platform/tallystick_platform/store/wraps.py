"""An epoch's wraps in one column: a MessagePack array of byte strings, one per auditor."""

from __future__ import annotations

import msgspec


def pack_wraps(wraps: tuple[bytes, ...]) -> bytes:
    """An epoch's wraps as its row stores them."""
    return msgspec.msgpack.encode(wraps)


def unpack_wraps(data: bytes) -> tuple[bytes, ...]:
    """What `pack_wraps` made."""
    return msgspec.msgpack.decode(data, type=tuple[bytes, ...])
