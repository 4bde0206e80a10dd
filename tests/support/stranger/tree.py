"""Leaves, trees, packed records and heads (sections 5 and 6)."""

from dataclasses import dataclass

from tests.support.stranger.crypto import keccak
from tests.support.stranger.errors import MERKLE, OTHER_ROOT, PACKING, Refused
from tests.support.stranger.record import MAX_NUMBER
from tests.support.stranger.sealing import HEADER, header_of

MAX_BATCH = 1024


@dataclass(frozen=True)
class Packed:
    """One record as it stands on the chain."""

    fields_root: bytes
    sealed: bytes


def leaf_hash(log_id: bytes, index: int, fields_root: bytes, sealed: bytes) -> bytes:
    """The leaf of a sealed record."""
    if len(log_id) != 32 or len(fields_root) != 32 or not 0 <= index <= MAX_NUMBER:
        raise Refused(MERKLE, "no leaf has such a log, index or fields root")
    if not HEADER + 17 <= len(sealed) <= HEADER + 122_896:
        raise Refused(MERKLE, "no sealed record has this length")
    ciphertext = keccak(sealed[HEADER:])
    return keccak(b"\x00", log_id, index.to_bytes(8, "big"), fields_root, sealed[:HEADER], ciphertext)


def _node(left: bytes, right: bytes) -> bytes:
    return keccak(b"\x01", left, right)


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def tree_root(leaves: list[bytes]) -> bytes:
    """The root over leaves."""
    if not 1 <= len(leaves) <= MAX_BATCH:
        raise Refused(MERKLE, "no batch has such a size")
    if len(leaves) == 1:
        return leaves[0]
    at = _split(len(leaves))
    return _node(tree_root(leaves[:at]), tree_root(leaves[at:]))


def tree_path(leaves: list[bytes], position: int) -> list[bytes]:
    """The siblings of a leaf, nearest first."""
    if len(leaves) == 1:
        return []
    at = _split(len(leaves))
    if position < at:
        return [*tree_path(leaves[:at], position), tree_root(leaves[at:])]
    return [*tree_path(leaves[at:], position - at), tree_root(leaves[:at])]


def check_path(leaf: bytes, position: int, size: int, path: list[bytes], root: bytes) -> None:
    """That a path leads from a leaf to a root."""
    if not 1 <= size <= MAX_BATCH or not 0 <= position < size:
        raise Refused(MERKLE, "no batch has such a size or position")
    if any(len(part) != 32 for part in (leaf, root, *path)):
        raise Refused(MERKLE, "a part is no hash")
    sides = []
    while size > 1:
        at = _split(size)
        sides.append(position >= at)
        position, size = (position - at, size - at) if position >= at else (position, at)
    if len(sides) != len(path):
        raise Refused(MERKLE, "the path has not the length that it must have")
    node = leaf
    for on_the_right, part in zip(reversed(sides), path, strict=True):
        node = _node(part, node) if on_the_right else _node(node, part)
    if node != root:
        raise Refused(OTHER_ROOT, "the path leads to another root")


def unpack(packed: bytes) -> list[Packed]:
    """The records of a batch."""
    records, at = [], 0
    while at < len(packed):
        body = at + 3 + 32
        end = body + HEADER + int.from_bytes(packed[at : at + 3], "big")
        if end > len(packed) or len(records) == MAX_BATCH:
            raise Refused(PACKING, "the records end too early, or are too many")
        try:
            header_of(packed[body:end])
        except Refused as error:
            raise Refused(PACKING, error.text) from None
        records.append(Packed(packed[at + 3 : body], packed[body:end]))
        at = end
    if not records:
        raise Refused(PACKING, "no record")
    return records


def pack(records: list[Packed]) -> bytes:
    """The packed form of records."""
    return b"".join((len(r.sealed) - HEADER).to_bytes(3, "big") + r.fields_root + r.sealed for r in records)


def next_head(head: bytes, kind: int, entry: int, body: bytes) -> bytes:
    """The head after an entry."""
    return keccak(b"\x04", head, bytes([kind]), entry.to_bytes(8, "big"), body)


def batch_body(epoch: int, first_index: int, count: int, root: bytes) -> bytes:
    """The body of kinds 1 and 2."""
    return epoch.to_bytes(4, "big") + first_index.to_bytes(8, "big") + count.to_bytes(4, "big") + root


def epoch_body(epoch: int, first_index: int, wraps: bytes) -> bytes:
    """The body of kind 3."""
    return epoch.to_bytes(4, "big") + first_index.to_bytes(8, "big") + keccak(wraps)


def writer_body(previous: bytes, writer: bytes, size: int, last_admission: int) -> bytes:
    """The body of kind 4."""
    return previous + writer + size.to_bytes(8, "big") + last_admission.to_bytes(8, "big")


def void_body(first: int, last: int) -> bytes:
    """The body of kind 5."""
    return first.to_bytes(8, "big") + last.to_bytes(8, "big")


@dataclass(frozen=True)
class Terms:
    """What a log's identifier is the hash of, with chain and contract."""

    creator: bytes
    salt: bytes
    writer: bytes
    keeper: bytes
    format: int
    mode: int
    promise: int
    skew: int

    def log_id(self, chain_id: int, contract: bytes) -> bytes:
        """The identifier of the log with these terms."""
        words = (
            chain_id, contract, self.creator, self.salt, self.writer, self.keeper,
            self.format, self.mode, self.promise, self.skew,
        )  # fmt: skip
        return keccak(*(w.to_bytes(32, "big") if isinstance(w, int) else w.rjust(32, b"\0") for w in words))
