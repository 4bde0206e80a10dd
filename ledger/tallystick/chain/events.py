"""The contract's events, decoded by hand: an auditor reads one for each entry of a log.

An answer to `eth_getLogs` is believed in nothing: contract, log, topics, order, range and every length are checked, and an
event has exactly one encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain import words
from tallystick.chain.wire import (
    UINT32_MAX,
    MalformedAnswer,
    read_data,
    read_list,
    read_object,
    read_quantity,
)
from tallystick.hashing import keccak256
from tallystick.heads import HeadError, LogTerms
from tallystick.ids import Address, Epoch, Hash32, Head, Index, LogId, Root, to_hex
from tallystick.keys import WRAP_BYTES

MAX_EVENTS_PER_ANSWER: Final = 100_000
MAX_RECORDS_BYTES: Final = 131_072
"""The records of a batch arrive in the calldata of one transaction, which public nodes carry up to this size."""
MAX_WRAPS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """Where an event stands in the chain."""

    block_number: int
    block_hash: Hash32
    tx_hash: Hash32
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCreated:
    """A log begins. That `log_id` follows from the terms is for the caller to check, who knows the chain."""

    log_id: LogId
    terms: LogTerms
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry of the log. `head` is the one after it."""

    log_id: LogId
    entry: int
    head: Head
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch(_Entry):
    """A batch of records."""

    batch: int
    first_index: Index
    count: int
    epoch: Epoch
    root: Root


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCommitted(_Batch):
    """A batch of which only the root stands on the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAppended(_Batch):
    """A batch whose sealed records stand in `records`, packed."""

    records: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOpened(_Entry):
    """A new epoch key applies from `first_index`; `wraps` hold it, one after another, one for each auditor."""

    epoch: Epoch
    first_index: Index
    wraps: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRotated(_Entry):
    """The keeper named another writer. Admission numbers above `last_admission` are the new one's."""

    previous: Address
    writer: Address
    size: int
    last_admission: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersVoided(_Entry):
    """The writer does not know the admission numbers from `first` to `last`, both included."""

    first: int
    last: int


LedgerEntry = BatchAppended | BatchCommitted | EpochOpened | WriterRotated | NumbersVoided
LedgerEvent = LogCreated | LedgerEntry

_EVENTS: Final[Mapping[type[LedgerEvent], words.Shape]] = {
    kind: words.Shape.of(text)
    for kind, text in {
        LogCreated: "LogCreated(bytes32 log_id,address creator,bytes32 salt,address writer,address keeper,uint16 format,uint8 mode,"
        "uint32 promise,uint32 skew)",
        BatchAppended: "BatchAppended(bytes32 log_id,uint64 entry,uint64 batch,uint64 first_index,uint32 count,uint32 epoch,"
        "bytes32 root,bytes32 head,bytes records)",
        BatchCommitted: "BatchCommitted(bytes32 log_id,uint64 entry,uint64 batch,uint64 first_index,uint32 count,uint32 epoch,"
        "bytes32 root,bytes32 head)",
        EpochOpened: "EpochOpened(bytes32 log_id,uint64 entry,uint32 epoch,uint64 first_index,bytes32 head,bytes wraps)",
        WriterRotated: "WriterRotated(bytes32 log_id,uint64 entry,address previous,address writer,uint64 size,uint64 last_admission,"
        "bytes32 head)",
        NumbersVoided: "NumbersVoided(bytes32 log_id,uint64 entry,uint64 first,uint64 last,bytes32 head)",
    }.items()
}
"""The first two arguments of each stand among its topics, the others in its data."""
_TOPICS: Final = {kind: keccak256(shape.signature.encode()) for kind, shape in _EVENTS.items()}
_BY_TOPIC: Final = {to_hex(topic): kind for kind, topic in _TOPICS.items()}
EVENT_TOPICS: Final = tuple(_BY_TOPIC)
"""The first topics to ask a node for: every event of the contract."""
LOG_CREATED, BATCH_APPENDED, BATCH_COMMITTED, EPOCH_OPENED, WRITER_ROTATED, NUMBERS_VOIDED = _TOPICS.values()


def decode_events(
    answer: object, *, contract: Address, log_id: LogId, from_block: int, to_block: int
) -> list[LedgerEvent]:
    """Decode the answer to a log query about one log and a range of blocks, in chain order.

    Raises: MalformedAnswer, also for events that were not asked for, stand twice, or stand out of order.
    """
    events: list[LedgerEvent] = []
    latest = (-1, -1)
    shown_contract, shown_log = to_hex(contract), to_hex(log_id)
    for entry in read_list(answer, "eth_getLogs", MAX_EVENTS_PER_ANSWER):
        event = _decode_entry(read_object(entry, "event"), shown_contract, shown_log, log_id)
        place = (event.position.block_number, event.position.log_index)
        if not from_block <= place[0] <= to_block:
            raise MalformedAnswer("event", f"stands in block {place[0]}, outside {from_block} to {to_block}")
        if place <= latest:
            raise MalformedAnswer("event", f"{place} follows {latest}: out of order, or repeated")
        latest = place
        events.append(event)
    return events


def _decode_entry(entry: Mapping[str, object], contract: str, shown_log: str, log_id: LogId) -> LedgerEvent:
    topics = read_list(entry.get("topics"), "event topics", 4)
    if str(entry.get("address")).lower() != contract:
        raise MalformedAnswer("event", "is another contract's")
    # Only an event that is no longer on the chain may say `removed`.
    if entry.get("removed"):
        raise MalformedAnswer("event", "was removed by a reorganisation")
    if len(topics) < 2 or topics[1] != shown_log:
        raise MalformedAnswer("event", "is another log's")
    kind = _BY_TOPIC.get(topics[0]) if isinstance(topics[0], str) else None
    if kind is None:
        raise MalformedAnswer("event", "is none of the contract's")
    if len(topics) != 3:
        raise MalformedAnswer("event topics", f"are {len(topics)}, not 3")
    topic = read_data(topics[2], "event topic", words.WORD)
    position = LogPosition(
        block_number=read_quantity(entry.get("blockNumber"), "event block number"),
        block_hash=Hash32(read_data(entry.get("blockHash"), "event block hash", 32)),
        tx_hash=Hash32(read_data(entry.get("transactionHash"), "event transaction hash", 32)),
        log_index=read_quantity(entry.get("logIndex"), "event index", UINT32_MAX),
    )
    data = read_data(entry.get("data"), "event data")
    try:
        return _event(kind, log_id, topic, data, position)
    except (words.WordError, HeadError) as error:
        raise MalformedAnswer("event data", str(error)) from error


def _event(kind: type[LedgerEvent], log_id: LogId, topic: bytes, data: bytes, position: LogPosition) -> LedgerEvent:
    (indexed, of), *rest = _EVENTS[kind].arguments[1:]
    read = words.read_all([each for _, each in rest], data)
    values: dict[str, Any] = dict(zip((name for name, _ in rest), read, strict=True))
    values[indexed] = words.read_word(of, topic, 0)
    if kind is LogCreated:
        return LogCreated(log_id=log_id, terms=LogTerms(**values), position=position)
    event = kind(log_id=log_id, position=position, **values)
    if isinstance(event, BatchAppended) and len(event.records) > MAX_RECORDS_BYTES:
        raise words.WordError(f"records of {len(event.records)} bytes are longer than {MAX_RECORDS_BYTES}")
    if isinstance(event, EpochOpened) and (
        not 1 <= len(event.wraps) <= MAX_WRAPS * WRAP_BYTES or len(event.wraps) % WRAP_BYTES
    ):
        raise words.WordError(f"wraps of {len(event.wraps)} bytes are not 1 to {MAX_WRAPS} of {WRAP_BYTES}")
    return event
