"""The contract's events, decoded by hand: an auditor reads one for each entry of a log.

An answer to `eth_getLogs` is believed in nothing: contract, log, topics, order, range and every length are checked, and an
event has exactly one encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.wire import (
    UINT32_MAX,
    UINT64_MAX,
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

LOG_CREATED: Final = keccak256(b"LogCreated(bytes32,address,bytes32,address,address,uint16,uint8,uint32,uint32)")
BATCH_APPENDED: Final = keccak256(b"BatchAppended(bytes32,uint64,uint64,uint64,uint32,uint32,bytes32,bytes32,bytes)")
BATCH_COMMITTED: Final = keccak256(b"BatchCommitted(bytes32,uint64,uint64,uint64,uint32,uint32,bytes32,bytes32)")
EPOCH_OPENED: Final = keccak256(b"EpochOpened(bytes32,uint64,uint32,uint64,bytes32,bytes)")
WRITER_ROTATED: Final = keccak256(b"WriterRotated(bytes32,uint64,address,address,uint64,uint64,bytes32)")
NUMBERS_VOIDED: Final = keccak256(b"NumbersVoided(bytes32,uint64,uint64,uint64,bytes32)")

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
class BatchAppended:
    """A batch whose sealed records stand in `records`, packed. `head` is the one after this entry, as in every event."""

    log_id: LogId
    entry: int
    batch: int
    first_index: Index
    count: int
    epoch: Epoch
    root: Root
    head: Head
    records: bytes
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCommitted:
    """A batch of which only the root stands on the chain."""

    log_id: LogId
    entry: int
    batch: int
    first_index: Index
    count: int
    epoch: Epoch
    root: Root
    head: Head
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOpened:
    """A new epoch key applies from `first_index`; `wraps` hold it, one after another, one for each auditor."""

    log_id: LogId
    entry: int
    epoch: Epoch
    first_index: Index
    head: Head
    wraps: bytes
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRotated:
    """The keeper named another writer. Admission numbers above `last_admission` are the new one's."""

    log_id: LogId
    entry: int
    previous: Address
    writer: Address
    size: int
    last_admission: int
    head: Head
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersVoided:
    """The writer does not know the admission numbers from `first` to `last`, both included."""

    log_id: LogId
    entry: int
    first: int
    last: int
    head: Head
    position: LogPosition


LedgerEntry = BatchAppended | BatchCommitted | EpochOpened | WriterRotated | NumbersVoided
LedgerEvent = LogCreated | LedgerEntry


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


def decode_receipt_events(entries: object, *, contract: Address, log_id: LogId) -> tuple[LedgerEvent, ...]:
    """Decode this log's events among a receipt's, and leave out those of other contracts and logs.

    Raises: MalformedAnswer.
    """
    shown_contract, shown_log = to_hex(contract), to_hex(log_id)
    events = []
    for item in read_list(entries, "receipt logs", MAX_EVENTS_PER_ANSWER):
        entry = read_object(item, "event")
        topics = entry.get("topics")
        if str(entry.get("address")).lower() == shown_contract and isinstance(topics, list) and shown_log in topics:
            events.append(_decode_entry(entry, shown_contract, shown_log, log_id))
    return tuple(events)


def _decode_entry(entry: Mapping[str, object], contract: str, shown_log: str, log_id: LogId) -> LedgerEvent:
    topics = read_list(entry.get("topics"), "event topics", 4)
    if str(entry.get("address")).lower() != contract:
        raise MalformedAnswer("event", "is another contract's")
    # Only an event that is no longer on the chain may say `removed`.
    if entry.get("removed"):
        raise MalformedAnswer("event", "was removed by a reorganisation")
    if len(topics) < 2 or topics[1] != shown_log:
        raise MalformedAnswer("event", "is another log's")
    decoder = _DECODERS.get(topics[0]) if isinstance(topics[0], str) else None
    if decoder is None:
        raise MalformedAnswer("event", "is none of the contract's")
    position = LogPosition(
        block_number=read_quantity(entry.get("blockNumber"), "event block number"),
        block_hash=Hash32(read_data(entry.get("blockHash"), "event block hash", 32)),
        tx_hash=Hash32(read_data(entry.get("transactionHash"), "event transaction hash", 32)),
        log_index=read_quantity(entry.get("logIndex"), "event index", UINT32_MAX),
    )
    data = read_data(entry.get("data"), "event data")
    try:
        return decoder(log_id, topics, data, position)
    except (words.WordError, HeadError) as error:
        raise MalformedAnswer("event data", str(error)) from error


def _topic(topics: list[object]) -> bytes:
    """An indexed argument. Each event has three topics: itself, the log, and one more."""
    if len(topics) != 3:
        raise MalformedAnswer("event topics", f"are {len(topics)}, not 3")
    return read_data(topics[2], "event topic", words.WORD)


def _entry(topics: list[object]) -> int:
    return words.read_uint(_topic(topics), 0, UINT64_MAX)


def _log_created(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 7 * words.WORD)
    terms = LogTerms(
        creator=Address(words.read_address(_topic(topics), 0)),
        salt=words.read_fixed(data, 0),
        writer=Address(words.read_address(data, 32)),
        keeper=Address(words.read_address(data, 64)),
        format=words.read_uint(data, 96, 2**16 - 1),
        mode=words.read_uint(data, 128, 2**8 - 1),
        promise=words.read_uint(data, 160, UINT32_MAX),
        skew=words.read_uint(data, 192, UINT32_MAX),
    )
    return LogCreated(log_id=log_id, terms=terms, position=position)


def _batch_appended(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_offset(data, 192, 7 * words.WORD)
    records, end = words.read_dynamic(data, 7 * words.WORD)
    words.require_end(data, end)
    if len(records) > MAX_RECORDS_BYTES:
        raise words.WordError(f"records of {len(records)} bytes are longer than {MAX_RECORDS_BYTES}")
    return BatchAppended(
        log_id=log_id,
        entry=_entry(topics),
        batch=words.read_uint(data, 0, UINT64_MAX),
        first_index=Index(words.read_uint(data, 32, UINT64_MAX)),
        count=words.read_uint(data, 64, UINT32_MAX),
        epoch=Epoch(words.read_uint(data, 96, UINT32_MAX)),
        root=Root(words.read_fixed(data, 128)),
        head=Head(words.read_fixed(data, 160)),
        records=records,
        position=position,
    )


def _batch_committed(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 6 * words.WORD)
    return BatchCommitted(
        log_id=log_id,
        entry=_entry(topics),
        batch=words.read_uint(data, 0, UINT64_MAX),
        first_index=Index(words.read_uint(data, 32, UINT64_MAX)),
        count=words.read_uint(data, 64, UINT32_MAX),
        epoch=Epoch(words.read_uint(data, 96, UINT32_MAX)),
        root=Root(words.read_fixed(data, 128)),
        head=Head(words.read_fixed(data, 160)),
        position=position,
    )


def _epoch_opened(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_offset(data, 96, 4 * words.WORD)
    wraps, end = words.read_dynamic(data, 4 * words.WORD)
    words.require_end(data, end)
    if not 1 <= len(wraps) <= MAX_WRAPS * WRAP_BYTES or len(wraps) % WRAP_BYTES:
        raise words.WordError(f"wraps of {len(wraps)} bytes are not 1 to {MAX_WRAPS} of {WRAP_BYTES}")
    return EpochOpened(
        log_id=log_id,
        entry=_entry(topics),
        epoch=Epoch(words.read_uint(data, 0, UINT32_MAX)),
        first_index=Index(words.read_uint(data, 32, UINT64_MAX)),
        head=Head(words.read_fixed(data, 64)),
        wraps=wraps,
        position=position,
    )


def _writer_rotated(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 5 * words.WORD)
    return WriterRotated(
        log_id=log_id,
        entry=_entry(topics),
        previous=Address(words.read_address(data, 0)),
        writer=Address(words.read_address(data, 32)),
        size=words.read_uint(data, 64, UINT64_MAX),
        last_admission=words.read_uint(data, 96, UINT64_MAX),
        head=Head(words.read_fixed(data, 128)),
        position=position,
    )


def _numbers_voided(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 3 * words.WORD)
    return NumbersVoided(
        log_id=log_id,
        entry=_entry(topics),
        first=words.read_uint(data, 0, UINT64_MAX),
        last=words.read_uint(data, 32, UINT64_MAX),
        head=Head(words.read_fixed(data, 64)),
        position=position,
    )


_Decoder = Callable[[LogId, list[object], bytes, LogPosition], LedgerEvent]
_DECODERS: Final[dict[str, _Decoder]] = {
    to_hex(LOG_CREATED): _log_created,
    to_hex(BATCH_APPENDED): _batch_appended,
    to_hex(BATCH_COMMITTED): _batch_committed,
    to_hex(EPOCH_OPENED): _epoch_opened,
    to_hex(WRITER_ROTATED): _writer_rotated,
    to_hex(NUMBERS_VOIDED): _numbers_voided,
}
EVENT_TOPICS: Final = tuple(_DECODERS)
"""The first topics to ask a node for: every event of the contract."""
