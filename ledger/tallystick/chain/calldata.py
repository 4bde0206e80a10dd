"""The contract's functions: the calldata of each, and what the views return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.packing import packed_size
from tallystick.chain.wire import UINT32_MAX, UINT64_MAX, MalformedAnswer
from tallystick.hashing import keccak256
from tallystick.ids import Address, Epoch, Hash32, Head, Index, Leaf, LogId, Root

SELECTOR_BYTES: Final = 4
CREATE_LOG: Final = keccak256(b"createLog(address,address,uint8,uint32,uint32,bytes32)")[:SELECTOR_BYTES]
OPEN_EPOCH: Final = keccak256(b"openEpoch(bytes32,bytes32,uint32,bytes)")[:SELECTOR_BYTES]
APPEND: Final = keccak256(b"append(bytes32,bytes32,bytes)")[:SELECTOR_BYTES]
COMMIT: Final = keccak256(b"commit(bytes32,bytes32,uint32,bytes32)")[:SELECTOR_BYTES]
ROTATE_WRITER: Final = keccak256(b"rotateWriter(bytes32,bytes32,address,uint64)")[:SELECTOR_BYTES]
VOID_NUMBERS: Final = keccak256(b"voidNumbers(bytes32,bytes32,uint64,uint64)")[:SELECTOR_BYTES]
_LOG_STATE: Final = keccak256(b"logState(bytes32)")[:SELECTOR_BYTES]
_LOG_TERMS: Final = keccak256(b"logTerms(bytes32)")[:SELECTOR_BYTES]
_BATCH_AT: Final = keccak256(b"batchAt(bytes32,uint64)")[:SELECTOR_BYTES]
_BATCH_OF: Final = keccak256(b"batchOf(bytes32,uint64)")[:SELECTOR_BYTES]
_WRITER_COUNT: Final = keccak256(b"writerCount(bytes32)")[:SELECTOR_BYTES]
_WRITER_AT: Final = keccak256(b"writerAt(bytes32,uint64)")[:SELECTOR_BYTES]
_VERIFY: Final = keccak256(b"verify(bytes32,uint64,uint64,bytes32,bytes32[])")[:SELECTOR_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What the contract keeps of a log as it stands. `epoch_open` is false before the first epoch and after each new writer."""

    writer: Address
    size: int
    entries: int
    head: Head
    batch_count: int
    epoch: Epoch
    epoch_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTermsOnChain:
    """What the contract keeps of a log's promises. Units: `promise` and `skew` in seconds, `created_at` in Unix seconds."""

    keeper: Address
    format: int
    mode: int
    promise: int
    skew: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInfo:
    """What the contract keeps of a batch. Units: `time`, that of its block, in Unix seconds."""

    first_index: Index
    count: int
    epoch: Epoch
    time: int
    root: Root


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSpan:
    """From where on one writer wrote, until the next span begins. Units: `since`, a block's time, in Unix seconds."""

    writer: Address
    first_index: Index
    first_admission: int
    since: int


def create_log(writer: Address, keeper: Address, mode: int, promise: int, skew: int, salt: bytes) -> bytes:
    """Calldata of `createLog`. Units: `promise` and `skew` in seconds."""
    numbers = b"".join(map(words.uint, (mode, promise, skew)))
    return CREATE_LOG + words.address(writer) + words.address(keeper) + numbers + words.fixed(salt)


def open_epoch(log_id: LogId, head: Head, epoch: Epoch, wraps: bytes) -> bytes:
    """Calldata of `openEpoch`."""
    return (
        OPEN_EPOCH
        + words.fixed(log_id)
        + words.fixed(head)
        + words.uint(epoch)
        + words.uint(4 * words.WORD)
        + words.dynamic(wraps)
    )


def append(log_id: LogId, head: Head, records: bytes) -> bytes:
    """Calldata of `append`, whose records are packed."""
    return APPEND + words.fixed(log_id) + words.fixed(head) + words.uint(3 * words.WORD) + words.dynamic(records)


def append_size(sealed_sizes: Sequence[int]) -> int:
    """Count the calldata bytes of an `append` of records with these sealed sizes."""
    records = sum(map(packed_size, sealed_sizes))
    # The selector; log, head and offset; the length.
    return SELECTOR_BYTES + 4 * words.WORD + records + -records % words.WORD


def commit(log_id: LogId, head: Head, count: int, root: Root) -> bytes:
    """Calldata of `commit`."""
    return COMMIT + words.fixed(log_id) + words.fixed(head) + words.uint(count) + words.fixed(root)


def rotate_writer(log_id: LogId, head: Head, writer: Address, last_admission: int) -> bytes:
    """Calldata of `rotateWriter`."""
    return ROTATE_WRITER + words.fixed(log_id) + words.fixed(head) + words.address(writer) + words.uint(last_admission)


def void_numbers(log_id: LogId, head: Head, first: int, last: int) -> bytes:
    """Calldata of `voidNumbers`."""
    return VOID_NUMBERS + words.fixed(log_id) + words.fixed(head) + words.uint(first) + words.uint(last)


def log_state(log_id: LogId) -> bytes:
    """Calldata of `logState`."""
    return _LOG_STATE + words.fixed(log_id)


def log_terms(log_id: LogId) -> bytes:
    """Calldata of `logTerms`."""
    return _LOG_TERMS + words.fixed(log_id)


def batch_at(log_id: LogId, batch: int) -> bytes:
    """Calldata of `batchAt`."""
    return _BATCH_AT + words.fixed(log_id) + words.uint(batch)


def batch_of(log_id: LogId, index: int) -> bytes:
    """Calldata of `batchOf`."""
    return _BATCH_OF + words.fixed(log_id) + words.uint(index)


def writer_count(log_id: LogId) -> bytes:
    """Calldata of `writerCount`."""
    return _WRITER_COUNT + words.fixed(log_id)


def writer_at(log_id: LogId, span: int) -> bytes:
    """Calldata of `writerAt`."""
    return _WRITER_AT + words.fixed(log_id) + words.uint(span)


def verify(log_id: LogId, batch: int, index: Index, leaf: Leaf, path: Sequence[Hash32]) -> bytes:
    """Calldata of `verify`."""
    arguments = words.fixed(log_id) + words.uint(batch) + words.uint(index) + words.fixed(leaf)
    return _VERIFY + arguments + words.uint(5 * words.WORD) + words.fixed_array(path)


def read_log_state(returned: bytes) -> LogState:
    """Decode what `logState` returns.

    Raises: MalformedAnswer, as every function below.
    """
    with _answer_of("logState", returned, 7):
        return LogState(
            writer=Address(words.read_address(returned, 0)),
            size=words.read_uint(returned, 32, UINT64_MAX),
            entries=words.read_uint(returned, 64, UINT64_MAX),
            head=Head(words.read_fixed(returned, 96)),
            batch_count=words.read_uint(returned, 128, UINT64_MAX),
            epoch=Epoch(words.read_uint(returned, 160, UINT32_MAX)),
            epoch_open=words.read_bool(returned, 192),
        )


def read_log_terms(returned: bytes) -> LogTermsOnChain:
    """Decode what `logTerms` returns."""
    with _answer_of("logTerms", returned, 6):
        return LogTermsOnChain(
            keeper=Address(words.read_address(returned, 0)),
            format=words.read_uint(returned, 32, 2**16 - 1),
            mode=words.read_uint(returned, 64, 2**8 - 1),
            promise=words.read_uint(returned, 96, UINT32_MAX),
            skew=words.read_uint(returned, 128, UINT32_MAX),
            created_at=words.read_uint(returned, 160, UINT64_MAX),
        )


def read_batch(returned: bytes) -> BatchInfo:
    """Decode what `batchAt` returns."""
    with _answer_of("batchAt", returned, 5):
        return BatchInfo(
            first_index=Index(words.read_uint(returned, 0, UINT64_MAX)),
            count=words.read_uint(returned, 32, UINT32_MAX),
            epoch=Epoch(words.read_uint(returned, 64, UINT32_MAX)),
            time=words.read_uint(returned, 96, UINT64_MAX),
            root=Root(words.read_fixed(returned, 128)),
        )


def read_batch_number(returned: bytes) -> int:
    """Decode what `batchOf` returns."""
    with _answer_of("batchOf", returned, 1):
        return words.read_uint(returned, 0, UINT64_MAX)


def read_writer_count(returned: bytes) -> int:
    """Decode what `writerCount` returns."""
    with _answer_of("writerCount", returned, 1):
        return words.read_uint(returned, 0, UINT64_MAX)


def read_writer_span(returned: bytes) -> WriterSpan:
    """Decode what `writerAt` returns."""
    with _answer_of("writerAt", returned, 4):
        return WriterSpan(
            writer=Address(words.read_address(returned, 0)),
            first_index=Index(words.read_uint(returned, 32, UINT64_MAX)),
            first_admission=words.read_uint(returned, 64, UINT64_MAX),
            since=words.read_uint(returned, 96, UINT64_MAX),
        )


def read_verified(returned: bytes) -> bool:
    """Decode what `verify` returns."""
    with _answer_of("verify", returned, 1):
        return words.read_bool(returned, 0)


@contextmanager
def _answer_of(view: str, returned: bytes, word_count: int) -> Iterator[None]:
    try:
        words.require_end(returned, word_count * words.WORD)
        yield
    except words.WordError as error:
        raise MalformedAnswer(view, str(error)) from error
