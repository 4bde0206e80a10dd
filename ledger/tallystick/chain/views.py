"""The contract's views: what is asked of each, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from tallystick.chain import words
from tallystick.chain.wire import MalformedAnswer
from tallystick.ids import Address, Epoch, Head, Index, LogId, Root

T = TypeVar("T")

# The members of each answer stand in the order in which the contract returns them.


@dataclass(frozen=True, slots=True)
class LogState:
    """What the contract keeps of a log as it stands. `epoch_open` is false before the first epoch and after each new writer."""

    writer: Address
    size: int
    entries: int
    head: Head
    batch_count: int
    epoch: Epoch
    epoch_open: bool


@dataclass(frozen=True, slots=True)
class LogTermsOnChain:
    """What the contract keeps of a log's promises. Units: `promise` and `skew` in seconds, `created_at` in Unix seconds."""

    keeper: Address
    format: int
    mode: int
    promise: int
    skew: int
    created_at: int


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What the contract keeps of a batch. Units: `time`, that of its block, in Unix seconds."""

    first_index: Index
    count: int
    epoch: Epoch
    time: int
    root: Root


@dataclass(frozen=True, slots=True)
class WriterSpan:
    """From where on one writer wrote, until the next span begins. Units: `since`, a block's time, in Unix seconds."""

    writer: Address
    first_index: Index
    first_admission: int
    since: int


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """A function that changes nothing: its signature, the types of what it returns, and what is made of that."""

    signature: str
    returns: tuple[str, ...]
    make: Callable[..., T]

    def call(self, log_id: LogId, *numbers: int) -> bytes:
        """Calldata: every view asks about one log, and some about a batch, a record or a span of it."""
        return words.selector(self.signature) + words.fixed(log_id) + b"".join(map(words.uint, numbers))

    def read(self, returned: bytes) -> T:
        """Decode what it returned.

        Raises: MalformedAnswer.
        """
        try:
            values: list[Any] = words.read_all(self.returns, returned)
        except words.WordError as error:
            raise MalformedAnswer(self.signature.split("(")[0], str(error)) from error
        return self.make(*values)


LOG_STATE: Final = View(
    "logState(bytes32)", ("address", "uint64", "uint64", "bytes32", "uint64", "uint32", "bool"), LogState
)
LOG_TERMS: Final = View(
    "logTerms(bytes32)", ("address", "uint16", "uint8", "uint32", "uint32", "uint64"), LogTermsOnChain
)
BATCH_AT: Final = View("batchAt(bytes32,uint64)", ("uint64", "uint32", "uint32", "uint64", "bytes32"), BatchInfo)
BATCH_OF: Final = View("batchOf(bytes32,uint64)", ("uint64",), int)
WRITER_COUNT: Final = View("writerCount(bytes32)", ("uint64",), int)
WRITER_AT: Final = View("writerAt(bytes32,uint64)", ("address", "uint64", "uint64", "uint64"), WriterSpan)
