"""A slow tree straight from the words of RFC 9162 2.1.1 and 2.1.3: the oracle of the fast one, sharing nothing with it but keccak256."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.hashing import keccak256


def split_of(size: int) -> int:
    """The largest power of two below `size`."""
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def root_of(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = split_of(len(leaves))
    return keccak256(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:]))


def path_of(leaves: Sequence[bytes], position: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = split_of(len(leaves))
    if position < split:
        return [*path_of(leaves[:split], position), root_of(leaves[split:])]
    return [*path_of(leaves[split:], position - split), root_of(leaves[:split])]
