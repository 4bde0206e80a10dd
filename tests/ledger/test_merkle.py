import pytest

from tallystick.errors import MerkleError
from tallystick.hashing import keccak256
from tallystick.ids import FieldsRoot, LogId
from tallystick.merkle import (
    HEADER_BYTES,
    MAX_BATCH_RECORDS,
    MAX_CIPHERTEXT_BYTES,
    MAX_PATH_LENGTH,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_from_path,
    tree_root,
)
from tests.support.reference_tree import path_of, root_of

LOG = LogId(b"\x01" * 32)
FIELDS = FieldsRoot(b"\x02" * 32)
HEADER, CIPHERTEXT = b"\x20" + bytes(24), b"ciphertext and tag"
SEALED = HEADER + CIPHERTEXT
SIZES = [*range(1, 40), 63, 64, 65, 1023, 1024]


def leaves_of(size: int) -> list[bytes]:
    return [keccak256(n.to_bytes(4, "big")) for n in range(size)]


def test_a_leaf_is_the_hash_of_its_parts_in_order():
    expected = keccak256(b"\x00" + LOG + (7).to_bytes(8, "big") + FIELDS + HEADER + keccak256(CIPHERTEXT))
    assert leaf_hash(LOG, 7, FIELDS, SEALED) == expected


def test_a_leaf_depends_on_each_of_its_parts():
    leaves = {
        leaf_hash(LOG, 7, FIELDS, SEALED),
        leaf_hash(LogId(b"\x03" * 32), 7, FIELDS, SEALED),
        leaf_hash(LOG, 8, FIELDS, SEALED),
        leaf_hash(LOG, 7, FieldsRoot(b"\x03" * 32), SEALED),
        leaf_hash(LOG, 7, FIELDS, SEALED + b"!"),
        leaf_hash(LOG, 7, FIELDS, b"\x21" + SEALED[1:]),
        leaf_hash(LOG, 7, FIELDS, SEALED[:24] + b"!" + SEALED[25:]),
    }
    assert len(leaves) == 7


@pytest.mark.parametrize(
    ("log_id", "index", "fields_root", "sealed"),
    [
        (LOG[:31], 7, FIELDS, SEALED),
        (LOG, -1, FIELDS, SEALED),
        (LOG, 2**64, FIELDS, SEALED),
        (LOG, 7, FIELDS + b"\x00", SEALED),
        (LOG, 7, FIELDS, SEALED[: HEADER_BYTES + 16]),
        (LOG, 7, FIELDS, bytes(HEADER_BYTES + MAX_CIPHERTEXT_BYTES + 1)),
    ],
)
def test_a_leaf_of_parts_of_a_wrong_size_is_refused(log_id, index, fields_root, sealed):
    with pytest.raises(MerkleError):
        leaf_hash(LogId(log_id), index, FieldsRoot(fields_root), sealed)


def test_the_shortest_and_the_longest_sealed_record_have_leaves():
    assert leaf_hash(LOG, 0, FIELDS, bytes(HEADER_BYTES + 17)) != leaf_hash(
        LOG, 0, FIELDS, bytes(HEADER_BYTES + MAX_CIPHERTEXT_BYTES)
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_the_oracles(size):
    leaves = leaves_of(size)
    assert tree_root(leaves) == root_of(leaves)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 33])
def test_every_path_is_the_oracles_and_leads_to_the_root(size):
    leaves = leaves_of(size)
    for position in range(size):
        path = inclusion_path(leaves, position)
        assert path == path_of(leaves, position)
        assert root_from_path(leaves[position], position, size, path) == root_of(leaves)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 13])
def test_no_path_leads_to_the_root_from_another_place(size):
    leaves, root = leaves_of(size), root_of(leaves_of(size))
    for position in range(size):
        path = inclusion_path(leaves, position)
        for claimed in range(size):
            for leaf in leaves:
                if (claimed, leaf) == (position, leaves[position]):
                    continue
                try:
                    assert root_from_path(leaf, claimed, size, path) != root
                except MerkleError:
                    continue


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_a_path_with_any_part_changed_leads_elsewhere(size):
    leaves, root = leaves_of(size), root_of(leaves_of(size))
    path = inclusion_path(leaves, 1)
    for at in range(len(path)):
        changed = [*path[:at], keccak256(path[at]), *path[at + 1 :]]
        assert root_from_path(leaves[1], 1, size, changed) != root


def test_a_node_cannot_pass_for_a_leaf():
    leaves = leaves_of(4)
    inner = [node_hash(*leaves[:2]), node_hash(*leaves[2:])]
    assert tree_root(inner) == tree_root(leaves)  # why a leaf's own prefix and the size belong to the proof:
    with pytest.raises(MerkleError, match="needs 2"):
        root_from_path(inner[0], 0, 4, [inner[1], leaves[0], leaves[1]])
    assert leaf_hash(LOG, 0, FIELDS, SEALED) not in inner


@pytest.mark.parametrize(
    ("position", "size", "path_length"),
    [(0, 0, 0), (0, MAX_BATCH_RECORDS + 1, 11), (-1, 4, 2), (4, 4, 2), (0, 4, 1), (0, 4, 3), (0, 1, 1)],
)
def test_a_path_that_no_tree_has_is_refused(position, size, path_length):
    with pytest.raises(MerkleError):
        root_from_path(bytes(32), position, size, [bytes(32)] * path_length)


@pytest.mark.parametrize("size", [31, 33])
def test_a_hash_of_another_size_is_refused_everywhere(size):
    odd = bytes(size)
    for refused in (
        lambda: tree_root([odd]),
        lambda: inclusion_path([bytes(32), odd], 0),
        lambda: root_from_path(odd, 0, 1, []),
        lambda: root_from_path(bytes(32), 0, 2, [odd]),
    ):
        with pytest.raises(MerkleError):
            refused()


def test_a_batch_holds_1_to_1024_records():
    full = leaves_of(MAX_BATCH_RECORDS)
    assert len(inclusion_path(full, 0)) == MAX_PATH_LENGTH
    for refused in (
        lambda: tree_root([*full, bytes(32)]),
        lambda: tree_root([]),
        lambda: inclusion_path([], 0),
        lambda: inclusion_path(full, MAX_BATCH_RECORDS),
    ):
        with pytest.raises(MerkleError):
            refused()
