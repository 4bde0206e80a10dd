from dataclasses import replace

import pytest
from eth_abi import encode
from web3 import Web3

from tallystick.chain import events, load_artifact
from tallystick.chain.events import (
    BatchAppended,
    EpochOpened,
    LogCreated,
    RecordAppended,
    WriterProposed,
    WriterRotated,
    decode_events,
    decode_receipt_events,
)
from tallystick.chain.wire import MalformedAnswer

CONTRACT = b"\xc0" * 20
LOG = bytes(range(32))
ROOT, HEAD = b"\x0a" * 32, b"\x0b" * 32
WHO, OTHER = b"\x01" * 20, b"\x02" * 20
POSITION = {
    "address": "0x" + CONTRACT.hex(),
    "blockNumber": "0x5",
    "blockHash": "0x" + "bb" * 32,
    "transactionHash": "0x" + "cc" * 32,
    "transactionIndex": "0x0",
    "logIndex": "0x2",
    "removed": False,
}


def entry(topic0, indexed=(), payload=b"", **changes):
    words = [topic0, LOG, *indexed]
    return POSITION | {"topics": ["0x" + word.hex() for word in words], "data": "0x" + payload.hex()} | changes


def word(value):
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(12) + value


def record_entry(index=7, sealed=b"sealed", **changes):
    return entry(events.RECORD_APPENDED, [word(index)], encode(["bytes32", "bytes"], [ROOT, sealed]), **changes)


def decode(*entries, from_block=0, to_block=9):
    return decode_events(list(entries), contract=CONTRACT, log_id=LOG, from_block=from_block, to_block=to_block)


def decode_one(item):
    (event,) = decode(item)
    return event


def test_the_topics_are_those_of_the_artifact():
    declared = {
        Web3.keccak(text=f"{e['name']}({','.join(i['type'] for i in e['inputs'])})").to_0x_hex()
        for e in load_artifact().abi
        if e["type"] == "event"
    }
    assert set(events.EVENT_TOPICS) == declared


def test_a_record_is_read_with_its_position():
    event = decode_one(record_entry())
    assert isinstance(event, RecordAppended)
    assert (event.log_id, event.index, event.fields_root, event.sealed) == (LOG, 7, ROOT, b"sealed")
    assert event.position == events.LogPosition(
        block_number=5, block_hash=b"\xbb" * 32, tx_hash=b"\xcc" * 32, log_index=2
    )


def test_a_batch_is_read():
    data = encode(["uint64", "uint32", "bytes32", "bytes32"], [64, 10, ROOT, HEAD])
    event = decode_one(entry(events.BATCH_APPENDED, [word(3)], data))
    assert isinstance(event, BatchAppended)
    assert (event.batch, event.first_index, event.count, event.root, event.head) == (3, 64, 10, ROOT, HEAD)


def test_an_epoch_is_read():
    data = encode(["uint64", "bytes[]"], [8, [b"wrap", b"", b"w" * 100]])
    event = decode_one(entry(events.EPOCH_OPENED, [word(2)], data))
    assert isinstance(event, EpochOpened)
    assert (event.epoch, event.first_index, event.wraps) == (2, 8, (b"wrap", b"", b"w" * 100))


def test_the_writers_events_are_read():
    created = decode_one(entry(events.LOG_CREATED, [word(WHO)]))
    proposed = decode_one(entry(events.WRITER_PROPOSED, [word(WHO), word(OTHER)]))
    rotated = decode_one(entry(events.WRITER_ROTATED, [word(WHO), word(OTHER)]))
    assert isinstance(created, LogCreated)
    assert isinstance(proposed, WriterProposed)
    assert isinstance(rotated, WriterRotated)
    assert created.writer == WHO
    assert (proposed.writer, proposed.proposed) == (WHO, OTHER)
    assert (rotated.previous, rotated.writer) == (WHO, OTHER)


def test_a_checksummed_address_is_the_same_contract():
    assert decode_one(record_entry(address=Web3.to_checksum_address(CONTRACT))).index == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "0x" + "00" * 20},
        {"address": None},
        {"removed": True},
        {"topics": []},
        {"topics": None},
        {"topics": ["0x" + events.RECORD_APPENDED.hex()]},
        {"topics": ["0x" + events.RECORD_APPENDED.hex(), "0x" + "00" * 32, "0x" + "00" * 32]},
        {"topics": ["0x" + events.RECORD_APPENDED.hex(), "0x" + LOG.hex()]},
        {"topics": ["0x" + events.RECORD_APPENDED.hex(), "0x" + LOG.hex(), "0x07"]},
        {"topics": ["0x" + "77" * 32, "0x" + LOG.hex(), "0x" + "00" * 32]},
        {"topics": [["nested"], "0x" + LOG.hex()]},
        {"blockNumber": None},
        {"blockNumber": "0xa"},
        {"blockHash": "0x"},
        {"transactionHash": "0x" + "cc" * 33},
        {"logIndex": "0x100000000"},
        {"data": None},
        {"data": "0x"},
        {"data": "0x0"},
    ],
)
def test_an_event_with_one_fault_is_malformed(changes):
    with pytest.raises(MalformedAnswer):
        decode(record_entry(**changes))


@pytest.mark.parametrize("position", [32, 63, 64, 94, 136, 159])  # offset, length and padding; the rest may be anything
def test_a_record_with_dirt_in_offset_length_or_padding_is_malformed(position):
    data = bytearray(encode(["bytes32", "bytes"], [ROOT, b"s" * 40]))
    data[position] ^= 1
    with pytest.raises(MalformedAnswer):
        decode(entry(events.RECORD_APPENDED, [word(1)], bytes(data)))


def test_bytes_after_an_event_are_malformed():
    data = encode(["bytes32", "bytes"], [ROOT, b"s"]) + bytes(32)
    with pytest.raises(MalformedAnswer, match="follow the last argument"):
        decode(entry(events.RECORD_APPENDED, [word(1)], data))


def test_a_sealed_record_at_the_bound_is_read_and_one_beyond_refused():
    assert decode_one(record_entry(sealed=bytes(events.MAX_SEALED_BYTES))).index == 7
    with pytest.raises(MalformedAnswer, match="longer than"):
        decode(record_entry(sealed=bytes(events.MAX_SEALED_BYTES + 1)))


def test_more_wraps_than_the_bound_are_refused():
    data = encode(["uint64", "bytes[]"], [0, [b""] * (events.MAX_WRAPS + 1)])
    with pytest.raises(MalformedAnswer):
        decode(entry(events.EPOCH_OPENED, [word(1)], data))


def test_events_in_order_are_read_and_out_of_order_refused():
    first, second = record_entry(1, logIndex="0x1"), record_entry(2, logIndex="0x2")
    assert [event.index for event in decode(first, second)] == [1, 2]
    with pytest.raises(MalformedAnswer, match="out of order"):
        decode(second, first)


def test_an_event_given_twice_is_refused():
    with pytest.raises(MalformedAnswer, match="repeated"):
        decode(record_entry(), record_entry())


@pytest.mark.parametrize(("from_block", "to_block"), [(6, 9), (0, 4)])
def test_an_event_outside_the_blocks_asked_for_is_refused(from_block, to_block):
    with pytest.raises(MalformedAnswer, match="outside"):
        decode(record_entry(), from_block=from_block, to_block=to_block)


@pytest.mark.parametrize("answer", [None, {}, "0x", [None], ["x"], [[]]])
def test_an_answer_that_is_no_list_of_events_is_malformed(answer):
    with pytest.raises(MalformedAnswer):
        decode_events(answer, contract=CONTRACT, log_id=LOG, from_block=0, to_block=9)


def test_more_events_than_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(events, "MAX_EVENTS_PER_ANSWER", 1)
    with pytest.raises(MalformedAnswer, match="more than 1"):
        decode(record_entry(), record_entry())


def test_a_receipt_shows_this_logs_events_among_others():
    other_log = record_entry(9)
    other_log["topics"] = [other_log["topics"][0], "0x" + "ee" * 32, other_log["topics"][2]]
    entries = [record_entry(8, address="0x" + "ee" * 20), other_log, record_entry(1)]
    found = decode_receipt_events(entries, contract=CONTRACT, log_id=LOG)
    assert [event.index for event in found] == [1]


def test_events_are_values():
    event = decode_one(record_entry())
    assert replace(event, index=8) != event == decode_one(record_entry())
