"""The contract's functions: their calldata, and what they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.wire import UINT32_MAX, UINT64_MAX, MalformedAnswer
from tallystick.hashing import keccak256
from tallystick.ids import Address, Epoch, FieldsRoot, Hash32, Head, Index, Leaf, LogId, Root

_CREATE_LOG: Final = keccak256(b"createLog(address,bytes32)")[:4]
_OPEN_EPOCH: Final = keccak256(b"openEpoch(bytes32,uint32,bytes[])")[:4]
_APPEND: Final = keccak256(b"append(bytes32,uint64,bytes32[],bytes[])")[:4]
_VERIFY: Final = keccak256(b"verify(bytes32,uint64,uint64,bytes32,bytes32[])")[:4]
_PROPOSE_WRITER: Final = keccak256(b"proposeWriter(bytes32,address)")[:4]
_ACCEPT_WRITER: Final = keccak256(b"acceptWriter(bytes32)")[:4]
_LOG_STATE: Final = keccak256(b"logState(bytes32)")[:4]
_BATCH_AT: Final = keccak256(b"batchAt(bytes32,uint64)")[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What the contract keeps of a log. `pending_writer` is None unless a rotation was proposed."""

    writer: Address
    pending_writer: Address | None
    size: int
    head: Head
    batch_count: int
    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInfo:
    """What the contract keeps of a batch."""

    first_index: Index
    count: int
    root: Root


def create_log(writer: Address, salt: bytes) -> bytes:
    """Calldata of `createLog`."""
    return _CREATE_LOG + words.address(writer) + words.fixed(salt)


def open_epoch(log_id: LogId, epoch: Epoch, wraps: Sequence[bytes]) -> bytes:
    """Calldata of `openEpoch`."""
    arguments = ((words.fixed(log_id), False), (words.uint(epoch), False), (words.dynamic_array(wraps), True))
    return _OPEN_EPOCH + words.with_tails(arguments)


def append(log_id: LogId, first_index: Index, fields_roots: Sequence[FieldsRoot], sealed: Sequence[bytes]) -> bytes:
    """Calldata of `append`."""
    arguments = (
        (words.fixed(log_id), False),
        (words.uint(first_index), False),
        (words.fixed_array(fields_roots), True),
        (words.dynamic_array(sealed), True),
    )
    return _APPEND + words.with_tails(arguments)


def append_size(sealed_sizes: Sequence[int]) -> int:
    """Count the calldata bytes of an `append` of records with these sealed sizes."""
    padded = sum(size + -size % words.WORD for size in sealed_sizes)
    # The selector; four head words; two lengths; then per record a root, an offset and a length.
    return 4 + words.WORD * (4 + 2 + 3 * len(sealed_sizes)) + padded


def verify(log_id: LogId, batch: int, index: Index, leaf: Leaf, path: Sequence[Hash32]) -> bytes:
    """Calldata of `verify`."""
    heads = (words.fixed(log_id), words.uint(batch), words.uint(index), words.fixed(leaf))
    return _VERIFY + words.with_tails((*((head, False) for head in heads), (words.fixed_array(path), True)))


def propose_writer(log_id: LogId, proposed: Address) -> bytes:
    """Calldata of `proposeWriter`."""
    return _PROPOSE_WRITER + words.fixed(log_id) + words.address(proposed)


def accept_writer(log_id: LogId) -> bytes:
    """Calldata of `acceptWriter`."""
    return _ACCEPT_WRITER + words.fixed(log_id)


def log_state(log_id: LogId) -> bytes:
    """Calldata of `logState`."""
    return _LOG_STATE + words.fixed(log_id)


def batch_at(log_id: LogId, batch: int) -> bytes:
    """Calldata of `batchAt`."""
    return _BATCH_AT + words.fixed(log_id) + words.uint(batch)


def derive_log_id(chain_id: int, contract: Address, creator: Address, salt: bytes) -> LogId:
    """Compute the id that `createLog` gives when `creator` calls it."""
    parts = (words.uint(chain_id), words.address(contract), words.address(creator), words.fixed(salt))
    return LogId(keccak256(b"".join(parts)))


def read_log_state(returned: bytes) -> LogState:
    """Decode what `logState` returns.

    Raises: MalformedAnswer.
    """
    try:
        words.require_end(returned, 6 * words.WORD)
        pending = words.read_address(returned, 32)
        return LogState(
            writer=Address(words.read_address(returned, 0)),
            pending_writer=Address(pending) if any(pending) else None,
            size=words.read_uint(returned, 64, UINT64_MAX),
            head=Head(words.read_fixed(returned, 96)),
            batch_count=words.read_uint(returned, 128, UINT64_MAX),
            epoch=Epoch(words.read_uint(returned, 160, UINT32_MAX)),
        )
    except words.WordError as error:
        raise MalformedAnswer("logState", str(error)) from error


def read_batch(returned: bytes) -> BatchInfo:
    """Decode what `batchAt` returns.

    Raises: MalformedAnswer.
    """
    try:
        words.require_end(returned, 3 * words.WORD)
        return BatchInfo(
            first_index=Index(words.read_uint(returned, 0, UINT64_MAX)),
            count=words.read_uint(returned, 32, UINT32_MAX),
            root=Root(words.read_fixed(returned, 64)),
        )
    except words.WordError as error:
        raise MalformedAnswer("batchAt", str(error)) from error


def read_verified(returned: bytes) -> bool:
    """Decode what `verify` returns.

    Raises: MalformedAnswer.
    """
    try:
        words.require_end(returned, words.WORD)
        return words.read_bool(returned, 0)
    except words.WordError as error:
        raise MalformedAnswer("verify", str(error)) from error
