"""The contract's events, decoded by hand: an auditor reads one for every record of a log.

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
from tallystick.ids import Address, Epoch, FieldsRoot, Hash32, Head, Index, LogId, Root, to_hex

LOG_CREATED: Final = keccak256(b"LogCreated(bytes32,address)")
WRITER_PROPOSED: Final = keccak256(b"WriterProposed(bytes32,address,address)")
WRITER_ROTATED: Final = keccak256(b"WriterRotated(bytes32,address,address)")
EPOCH_OPENED: Final = keccak256(b"EpochOpened(bytes32,uint32,uint64,bytes[])")
RECORD_APPENDED: Final = keccak256(b"RecordAppended(bytes32,uint64,bytes32,bytes)")
BATCH_APPENDED: Final = keccak256(b"BatchAppended(bytes32,uint64,uint64,uint32,bytes32,bytes32)")

MAX_EVENTS_PER_ANSWER: Final = 100_000
MAX_SEALED_BYTES: Final = 131_072
"""A sealed record arrives in the calldata of one transaction, so it is never longer than one."""
MAX_WRAPS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """Where an event stands in the chain."""

    block_number: int
    block_hash: Hash32
    tx_hash: Hash32
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCreated:
    """A log begins."""

    log_id: LogId
    writer: Address
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterProposed:
    """The writer named who shall follow it."""

    log_id: LogId
    writer: Address
    proposed: Address
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRotated:
    """The proposed writer took over."""

    log_id: LogId
    previous: Address
    writer: Address
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochOpened:
    """A new epoch key applies from `first_index`; `wraps` hold it, one for each auditor."""

    log_id: LogId
    epoch: Epoch
    first_index: Index
    wraps: tuple[bytes, ...]
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAppended:
    """One sealed record."""

    log_id: LogId
    index: Index
    fields_root: FieldsRoot
    sealed: bytes
    position: LogPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAppended:
    """The end of a batch, after its records."""

    log_id: LogId
    batch: int
    first_index: Index
    count: int
    root: Root
    head: Head
    position: LogPosition


LedgerEvent = LogCreated | WriterProposed | WriterRotated | EpochOpened | RecordAppended | BatchAppended


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
    except words.WordError as error:
        raise MalformedAnswer("event data", str(error)) from error


def _topic(topics: list[object], number: int, count: int) -> bytes:
    if len(topics) != count:
        raise MalformedAnswer("event topics", f"are {len(topics)}, not {count}")
    return read_data(topics[number], "event topic", 32)


def _log_created(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 0)
    return LogCreated(log_id=log_id, writer=Address(words.read_address(_topic(topics, 2, 3), 0)), position=position)


def _writer_proposed(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 0)
    return WriterProposed(
        log_id=log_id,
        writer=Address(words.read_address(_topic(topics, 2, 4), 0)),
        proposed=Address(words.read_address(_topic(topics, 3, 4), 0)),
        position=position,
    )


def _writer_rotated(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 0)
    return WriterRotated(
        log_id=log_id,
        previous=Address(words.read_address(_topic(topics, 2, 4), 0)),
        writer=Address(words.read_address(_topic(topics, 3, 4), 0)),
        position=position,
    )


def _epoch_opened(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_offset(data, 32, 64)
    wraps, end = words.read_dynamic_array(data, 64, MAX_WRAPS)
    words.require_end(data, end)
    return EpochOpened(
        log_id=log_id,
        epoch=Epoch(words.read_uint(_topic(topics, 2, 3), 0, UINT32_MAX)),
        first_index=Index(words.read_uint(data, 0, UINT64_MAX)),
        wraps=tuple(wraps),
        position=position,
    )


def _record_appended(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_offset(data, 32, 64)
    sealed, end = words.read_dynamic(data, 64)
    words.require_end(data, end)
    if len(sealed) > MAX_SEALED_BYTES:
        raise words.WordError(f"a sealed record of {len(sealed)} bytes is longer than {MAX_SEALED_BYTES}")
    return RecordAppended(
        log_id=log_id,
        index=Index(words.read_uint(_topic(topics, 2, 3), 0, UINT64_MAX)),
        fields_root=FieldsRoot(data[:32]),
        sealed=sealed,
        position=position,
    )


def _batch_appended(log_id: LogId, topics: list[object], data: bytes, position: LogPosition) -> LedgerEvent:
    words.require_end(data, 128)
    return BatchAppended(
        log_id=log_id,
        batch=words.read_uint(_topic(topics, 2, 3), 0, UINT64_MAX),
        first_index=Index(words.read_uint(data, 0, UINT64_MAX)),
        count=words.read_uint(data, 32, UINT32_MAX),
        root=Root(words.read_fixed(data, 64)),
        head=Head(words.read_fixed(data, 96)),
        position=position,
    )


_Decoder = Callable[[LogId, list[object], bytes, LogPosition], LedgerEvent]
_DECODERS: Final[dict[str, _Decoder]] = {
    to_hex(LOG_CREATED): _log_created,
    to_hex(WRITER_PROPOSED): _writer_proposed,
    to_hex(WRITER_ROTATED): _writer_rotated,
    to_hex(EPOCH_OPENED): _epoch_opened,
    to_hex(RECORD_APPENDED): _record_appended,
    to_hex(BATCH_APPENDED): _batch_appended,
}
EVENT_TOPICS: Final = tuple(_DECODERS)
"""The first topics to ask a node for: every event of the contract."""
