"""Leaves and batch trees: pure functions, no state, no input or output.

The tree has the shape of RFC 9162 2.1.1 over keccak256: a node over n leaves splits at the largest power of two below n, so a
position is bound by the shape and no leaf can pass for a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.errors import MerkleError
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES, FieldsRoot, Leaf, LogId, Root

LEAF_PREFIX: Final = b"\x00"
NODE_PREFIX: Final = b"\x01"
HEADER_BYTES: Final = 25
"""What stands in clear before a ciphertext: flags, admission number, nonce."""
MIN_CIPHERTEXT_BYTES: Final = 17
MAX_CIPHERTEXT_BYTES: Final = 122_896
MAX_BATCH_RECORDS: Final = 1024
MAX_PATH_LENGTH: Final = 10
"""The depth of a tree over MAX_BATCH_RECORDS leaves."""


def leaf_hash(log_id: LogId, index: int, fields_root: FieldsRoot, sealed: bytes) -> Leaf:
    """The leaf of one record: log, position, field commitments, header and ciphertext.

    Requires: `sealed` is the header followed by the ciphertext.
    Raises: MerkleError for parts of a wrong size.
    Source: SPEC 5.
    """
    if len(log_id) != HASH_BYTES or len(fields_root) != HASH_BYTES:
        raise MerkleError("a log id and a fields root have 32 bytes each")
    if not HEADER_BYTES + MIN_CIPHERTEXT_BYTES <= len(sealed) <= HEADER_BYTES + MAX_CIPHERTEXT_BYTES:
        raise MerkleError(f"a sealed record has {len(sealed)} bytes")
    header, ciphertext = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    return Leaf(keccak256(LEAF_PREFIX + log_id + _uint64(index) + fields_root + header + keccak256(ciphertext)))


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return keccak256(NODE_PREFIX + left + right)


def tree_root(leaves: Sequence[bytes]) -> Root:
    """The root over leaves that are hashed already.

    Requires: 1 to MAX_BATCH_RECORDS leaves of 32 bytes.
    Raises: MerkleError.
    Source: SPEC 5; RFC 9162 2.1.1.
    """
    level = _checked(leaves)
    # Pairing neighbours and carrying an odd last node up unhashed gives the RFC's shape: below a split at the largest power of
    # two the left side is a perfect tree, whose pairs never cross the split.
    while len(level) > 1:
        level = _parents(level)
    return Root(level[0])


def inclusion_path(leaves: Sequence[bytes], position: int) -> list[bytes]:
    """The siblings from a leaf up to the root, nearest first.

    Raises: MerkleError if the position is outside the leaves.
    Source: RFC 9162 2.1.3.1.
    """
    level = _checked(leaves)
    if not 0 <= position < len(level):
        raise MerkleError(f"position {position} is outside a tree of {len(level)}")
    path = []
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, position = _parents(level), position // 2
    return path


def root_from_path(leaf: bytes, position: int, size: int, path: Sequence[bytes]) -> Root:
    """The root that a path leads to; the caller compares it.

    Requires: `path` as `inclusion_path` gives it for that position and size.
    Raises: MerkleError if no tree of that size has such a path.
    Source: RFC 9162 2.1.3.2.
    """
    if not 1 <= size <= MAX_BATCH_RECORDS:
        raise MerkleError(f"a batch holds 1 to {MAX_BATCH_RECORDS} records, not {size}")
    if not 0 <= position < size:
        raise MerkleError(f"position {position} is outside a tree of {size}")
    if any(len(part) != HASH_BYTES for part in (leaf, *path)):
        raise MerkleError("a leaf and each part of a path have 32 bytes")
    here, last, used = leaf, size - 1, 0
    while last > 0:
        if position % 2 or position < last:  # otherwise this node is carried up without a sibling
            if used == len(path):
                raise MerkleError(f"the path ends after {used} parts, below the root of a tree of {size}")
            sibling = path[used]
            used += 1
            here = node_hash(sibling, here) if position % 2 else node_hash(here, sibling)
        position //= 2
        last //= 2
    if used != len(path):
        raise MerkleError(f"the path has {len(path)} parts, a tree of {size} needs {used}")
    return Root(here)


def _checked(leaves: Sequence[bytes]) -> Sequence[bytes]:
    if not 1 <= len(leaves) <= MAX_BATCH_RECORDS:
        raise MerkleError(f"a batch holds 1 to {MAX_BATCH_RECORDS} records, not {len(leaves)}")
    if set(map(len, leaves)) != {HASH_BYTES}:
        raise MerkleError("a leaf has 32 bytes")
    return leaves


def _parents(level: Sequence[bytes]) -> list[bytes]:
    nodes = iter(level)
    # The iterator beside itself gives neighbours; an odd last node finds none and is left for below.
    parents = [keccak256(NODE_PREFIX + left + right) for left, right in zip(nodes, nodes, strict=False)]
    if len(level) % 2:
        parents.append(level[-1])
    return parents


def _uint64(value: int) -> bytes:
    if not 0 <= value < 1 << 64:
        raise MerkleError(f"{value} does not fit 64 bits")
    return value.to_bytes(8, "big")
