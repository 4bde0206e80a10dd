"""Vectors of leaves and trees (SPEC 5)."""

from __future__ import annotations

from typing import Any

from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot
from tallystick.merkle import inclusion_path, leaf_hash, tree_root
from tests.support.vectors.cast import LOG_ID


def leaf_vectors() -> dict[str, Any]:
    """Leaves, and parts that no leaf has."""
    leaves = []
    for index in (0, 1, 255, 2**32, 2**53 - 1):
        fields_root = FieldsRoot(keccak256(f"fields {index}".encode()))
        header = b"\x20" + min(index + 1, 2**53 - 1).to_bytes(8, "big") + keccak256(f"nonce {index}".encode())[:16]
        sealed = header + f"a ciphertext of record {index}".encode()
        leaf = leaf_hash(LOG_ID, index, fields_root, sealed)
        leaves.append({"index": index, "fields_root": fields_root.hex(), "sealed": sealed.hex(), "leaf": leaf.hex()})
    good = leaves[0]
    faults = [
        ("a ciphertext of 16 bytes", {"sealed": good["sealed"][: 2 * (25 + 16)]}),
        ("a fields root of 31 bytes", {"fields_root": bytes(31).hex()}),
    ]
    return {
        "log_id": LOG_ID.hex(),
        "leaves": leaves,
        "invalid": [{"fault": fault, **good, **changes, "error": "MerkleError"} for fault, changes in faults],
    }


def tree_vectors() -> dict[str, Any]:
    """Roots and paths, and paths with one fault."""
    valid: list[dict[str, Any]] = []
    invalid: list[dict[str, Any]] = []
    for size in (1, 2, 3, 4, 5, 7, 8, 9, 16, 33):
        leaves = [keccak256(b"leaf" + bytes((n,))) for n in range(size)]
        root = tree_root(leaves)
        paths = [[part.hex() for part in inclusion_path(leaves, at)] for at in range(size)]
        valid.append({"size": size, "leaves": [leaf.hex() for leaf in leaves], "root": root.hex(), "paths": paths})
    leaves = [keccak256(b"leaf" + bytes((n,))) for n in range(7)]
    path = inclusion_path(leaves, 4)
    probe = {
        "leaf": leaves[4].hex(),
        "position": 4,
        "size": 7,
        "path": [p.hex() for p in path],
        "root": tree_root(leaves).hex(),
    }
    faults: list[tuple[str, dict[str, Any], str]] = [
        ("another leaf", {"leaf": leaves[5].hex()}, "another root"),
        ("another position", {"position": 5}, "another root"),
        ("a size with a longer path", {"size": 9}, "MerkleError"),
        ("a size with a shorter path", {"size": 5}, "MerkleError"),
        ("position outside the tree", {"position": 7}, "MerkleError"),
        ("size zero", {"size": 0, "position": 0}, "MerkleError"),
        ("size beyond a batch", {"size": 1025}, "MerkleError"),
        ("a part missing", {"path": [p.hex() for p in path[:-1]]}, "MerkleError"),
        ("a part too many", {"path": [p.hex() for p in [*path, leaves[0]]]}, "MerkleError"),
        ("two parts swapped", {"path": [p.hex() for p in [path[1], path[0], *path[2:]]]}, "another root"),
        ("a part of 31 bytes", {"path": [path[0][:31].hex(), *[p.hex() for p in path[1:]]]}, "MerkleError"),
    ]
    for fault, changes, error in faults:
        invalid.append({"fault": fault, **probe, **changes, "error": error})
    return {"valid": valid, "invalid": invalid}
