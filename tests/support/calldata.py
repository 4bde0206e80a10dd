"""What a writer's or a keeper's transaction asks of the contract, encoded by hand.

data = append(log_id, head, packed)     # and open_epoch, commit, rotate_writer, void_numbers, create_log
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.chain import words

CREATE_LOG = words.selector("createLog(address,address,uint8,uint32,uint32,bytes32)")
OPEN_EPOCH = words.selector("openEpoch(bytes32,bytes32,uint32,bytes)")
APPEND = words.selector("append(bytes32,bytes32,bytes)")
COMMIT = words.selector("commit(bytes32,bytes32,uint32,bytes32)")
ROTATE_WRITER = words.selector("rotateWriter(bytes32,bytes32,address,uint64)")
VOID_NUMBERS = words.selector("voidNumbers(bytes32,bytes32,uint64,uint64)")
VERIFY = words.selector("verify(bytes32,uint64,uint64,bytes32,bytes32[])")


def address(value: bytes) -> bytes:
    """An address in one word."""
    assert len(value) == 20
    return bytes(12) + value


def dynamic(value: bytes) -> bytes:
    """Bytes: their length, then themselves padded to whole words."""
    return words.uint(len(value)) + value + bytes(-len(value) % words.WORD)


def create_log(writer: bytes, keeper: bytes, mode: int, promise: int, skew: int, salt: bytes) -> bytes:
    numbers = b"".join(map(words.uint, (mode, promise, skew)))
    return CREATE_LOG + address(writer) + address(keeper) + numbers + words.fixed(salt)


def open_epoch(log_id: bytes, head: bytes, epoch: int, wraps: bytes) -> bytes:
    place = words.uint(4 * words.WORD)
    return OPEN_EPOCH + words.fixed(log_id) + words.fixed(head) + words.uint(epoch) + place + dynamic(wraps)


def append(log_id: bytes, head: bytes, records: bytes) -> bytes:
    return APPEND + words.fixed(log_id) + words.fixed(head) + words.uint(3 * words.WORD) + dynamic(records)


def commit(log_id: bytes, head: bytes, count: int, root: bytes) -> bytes:
    return COMMIT + words.fixed(log_id) + words.fixed(head) + words.uint(count) + words.fixed(root)


def rotate_writer(log_id: bytes, head: bytes, writer: bytes, last_admission: int) -> bytes:
    return ROTATE_WRITER + words.fixed(log_id) + words.fixed(head) + address(writer) + words.uint(last_admission)


def void_numbers(log_id: bytes, head: bytes, first: int, last: int) -> bytes:
    return VOID_NUMBERS + words.fixed(log_id) + words.fixed(head) + words.uint(first) + words.uint(last)


def verify(log_id: bytes, batch: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    arguments = words.fixed(log_id) + words.uint(batch) + words.uint(index) + words.fixed(leaf)
    return VERIFY + arguments + words.uint(5 * words.WORD) + words.uint(len(path)) + b"".join(map(words.fixed, path))
