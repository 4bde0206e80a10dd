"""Every small lie that can be told about a log or a bundle, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from tallystick.chain.events import (
    BATCH_APPENDED,
    BATCH_COMMITTED,
    EPOCH_OPENED,
    LOG_CREATED,
    NUMBERS_VOIDED,
    WRITER_ROTATED,
)
from tallystick.chain.reader import LedgerReader
from tallystick.ids import to_hex
from tests.support.synthetic_log import SyntheticLog, SyntheticNode

Event = dict[str, object]
PLACE = ("blockNumber", "blockHash", "transactionHash", "transactionIndex", "logIndex")
KINDS = {
    to_hex(LOG_CREATED): "LogCreated",
    to_hex(BATCH_APPENDED): "BatchAppended",
    to_hex(BATCH_COMMITTED): "BatchCommitted",
    to_hex(EPOCH_OPENED): "EpochOpened",
    to_hex(WRITER_ROTATED): "WriterRotated",
    to_hex(NUMBERS_VOIDED): "NumbersVoided",
}

# Where each field of an event lies: in a topic, or at a byte of its data.
TOPICS = {
    "LogCreated": {"creator": 2},
    "BatchAppended": {"entry": 2},
    "BatchCommitted": {"entry": 2},
    "EpochOpened": {"entry": 2},
    "WriterRotated": {"entry": 2},
    "NumbersVoided": {"entry": 2},
}
_BATCH = {"batch": 31, "first_index": 63, "count": 95, "epoch": 127, "root": 140, "head": 170}
DATA = {
    "LogCreated": {"salt": 5, "writer": 63, "keeper": 95, "format": 127, "mode": 159, "promise": 191, "skew": 223},
    # after six words: 32 offset, 32 length, then length of the ciphertext, fields root, flags, admission number, nonce, ciphertext
    "BatchAppended": {
        **_BATCH,
        "records.length": 258,
        "records.fields_root": 270,
        "records.flags": 291,
        "records.admission_seq": 299,
        "records.nonce": 305,
        "records.ciphertext": 330,
    },
    "BatchCommitted": _BATCH,
    # 32 epoch, 32 first_index, 32 head, 32 offset, 32 length, then key id and encapsulation
    "EpochOpened": {"epoch": 31, "first_index": 63, "head": 70, "wraps.key_id": 160, "wraps.encapsulation": 400},
    "WriterRotated": {"previous": 31, "writer": 63, "size": 95, "last_admission": 127, "head": 140},
    "NumbersVoided": {"first": 31, "last": 63, "head": 70},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampered:
    """A log's events with one change, and what was changed."""

    change: str
    kind: str
    field: str
    events: list[Event]


class TamperedNode(SyntheticNode):
    """A node that tells the truth about blocks and state, and shows events of somebody's choosing."""

    def __init__(self, log: SyntheticLog, events: list[Event]) -> None:
        super().__init__(log, log.blocks, log.batches)
        numbers = [int(str(event["blockNumber"]), 16) for event in events]
        self._told = [
            (number, event) for number, event in zip(numbers, events, strict=True) if number < len(self.blocks)
        ]

    def _logs(self, query: object) -> list[Event]:
        assert isinstance(query, dict)
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [event for number, event in self._told if first <= number <= last and self.matches(event, query)]


def reader_of(log: SyntheticLog, events: list[Event]) -> LedgerReader:
    """A reader that is shown these events; the log's creation is still looked for in the first block."""
    honest = log.reader()
    reader = LedgerReader(TamperedNode(log, events), honest.contract, honest.log_id)
    reader.creation_block = lambda: 0  # type: ignore[method-assign]
    return reader


def kind_of(event: Event) -> str:
    """The event's name."""
    topics = event["topics"]
    assert isinstance(topics, list)
    return KINDS[topics[0]]


def moved(events: list[Event]) -> Iterator[Tampered]:
    """Each event left out, told twice, or swapped with the one after it: with places that look right."""
    for at, event in enumerate(events):
        kind = kind_of(event)
        yield Tampered(change="drop", kind=kind, field="", events=_renumbered(events[:at] + events[at + 1 :]))
        yield Tampered(change="repeat", kind=kind, field="", events=_renumbered(events[: at + 1] + events[at:]))
        if at + 1 < len(events):
            swapped = deepcopy(events)
            first, second = swapped[at], swapped[at + 1]
            for name in PLACE:
                first[name], second[name] = second[name], first[name]
            swapped[at], swapped[at + 1] = second, first
            kinds = f"{kind}, {kind_of(events[at + 1])}"
            yield Tampered(change="swap", kind=kinds, field="", events=swapped)


def changed(events: list[Event]) -> Iterator[Tampered]:
    """Each field of each event with one bit changed."""
    for at, event in enumerate(events):
        kind = kind_of(event)
        for field, number in TOPICS[kind].items():
            told = deepcopy(events)
            topics = told[at]["topics"]
            assert isinstance(topics, list)
            topics[number] = _flipped(topics[number], 31)
            yield Tampered(change="change", kind=kind, field=field, events=told)
        for field, byte in DATA[kind].items():
            told = deepcopy(events)
            told[at]["data"] = _flipped(told[at]["data"], byte)
            yield Tampered(change="change", kind=kind, field=field, events=told)
        for field in ("blockHash", "transactionHash"):
            told = deepcopy(events)
            told[at][field] = _flipped(told[at][field], 5)
            yield Tampered(change="change", kind=kind, field=field, events=told)


def members(document: bytes) -> list[str]:
    """For each byte of a canonical JSON document, the path of the value that it is in, or `""` for what is around the values."""
    paths = [""] * len(document)
    end = _mark(json.loads(document), 0, "", paths)
    assert end == len(document)
    return paths


def _mark(value: object, start: int, path: str, paths: list[str]) -> int:
    if isinstance(value, dict):
        at = start + 1
        for name in sorted(value):  # RFC 8785's order, for names in ASCII
            at = _mark(value[name], at + len(json.dumps(name)) + 1, f"{path}.{name}".lstrip("."), paths) + 1
        return max(at, start + 2)
    if isinstance(value, list):
        at = start + 1
        for number, item in enumerate(value):
            at = _mark(item, at, f"{path}[{number}]", paths) + 1
        return max(at, start + 2)
    end = start + len(json.dumps(value))
    for at in range(start, end):
        paths[at] = path
    return end


def _renumbered(events: list[Event]) -> list[Event]:
    told = [deepcopy(event) for event in events]  # one by one: an event that is told twice must become two
    last: dict[object, int] = {}
    for event in told:
        last[event["blockNumber"]] = last.get(event["blockNumber"], -1) + 1
        event["logIndex"] = hex(last[event["blockNumber"]])
    return told


def _flipped(text: object, byte: int) -> str:
    data = bytearray.fromhex(str(text)[2:])
    data[byte] ^= 1
    return to_hex(bytes(data))
