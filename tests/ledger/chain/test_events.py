from dataclasses import replace

import pytest
from eth_abi import encode
from web3 import Web3

from tallystick.chain import events
from tallystick.chain.artifact import load_artifact
from tallystick.chain.events import (
    BatchAppended,
    BatchCommitted,
    EpochOpened,
    LogCreated,
    NumbersVoided,
    WriterRotated,
    decode_events,
)
from tallystick.chain.wire import MalformedAnswer
from tallystick.heads import LogTerms

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


BATCH_TYPES = ["uint64", "uint64", "uint32", "uint32", "bytes32", "bytes32", "bytes"]
WRAP = b"w" * 1_176


def batch_entry(number=7, records=b"records", **changes):
    data = encode(BATCH_TYPES, [3, 64, 10, 2, ROOT, HEAD, records])
    return entry(events.BATCH_APPENDED, [word(number)], data, **changes)


def epoch_entry(wraps, **changes):
    return entry(
        events.EPOCH_OPENED,
        [word(5)],
        encode(["uint32", "uint64", "bytes32", "bytes"], [2, 8, HEAD, wraps]),
        **changes,
    )


def created_entry(*, writer=WHO, keeper=OTHER, log_format=2, mode=1, promise=3_600, skew=60):
    types = ["bytes32", "address", "address", "uint16", "uint8", "uint32", "uint32"]
    return entry(
        events.LOG_CREATED, [word(WHO)], encode(types, [ROOT, writer, keeper, log_format, mode, promise, skew])
    )


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


def test_a_batch_is_read_with_its_records_and_its_position():
    event = decode_one(batch_entry())
    assert isinstance(event, BatchAppended)
    assert (event.log_id, event.entry, event.batch, event.first_index, event.count) == (LOG, 7, 3, 64, 10)
    assert (event.epoch, event.root, event.head, event.records) == (2, ROOT, HEAD, b"records")
    assert event.position == events.LogPosition(
        block_number=5, block_hash=b"\xbb" * 32, tx_hash=b"\xcc" * 32, log_index=2
    )


def test_a_committed_batch_is_read():
    event = decode_one(entry(events.BATCH_COMMITTED, [word(7)], encode(BATCH_TYPES[:-1], [3, 64, 10, 2, ROOT, HEAD])))
    assert isinstance(event, BatchCommitted)
    assert (event.entry, event.batch, event.first_index, event.count) == (7, 3, 64, 10)
    assert (event.epoch, event.root, event.head) == (2, ROOT, HEAD)


@pytest.mark.parametrize("count", [1, 2, events.MAX_WRAPS])
def test_an_epoch_is_read(count):
    event = decode_one(epoch_entry(WRAP * count))
    assert isinstance(event, EpochOpened)
    assert (event.entry, event.epoch, event.first_index, event.head, event.wraps) == (5, 2, 8, HEAD, WRAP * count)


@pytest.mark.parametrize("size", [0, 1, 1_175, 1_177, 1_176 * (events.MAX_WRAPS + 1)])
def test_wraps_that_the_contract_refuses_are_malformed(size):
    with pytest.raises(MalformedAnswer, match="wraps"):
        decode(epoch_entry(bytes(size)))


def test_a_creation_is_read():
    event = decode_one(created_entry())
    assert isinstance(event, LogCreated)
    assert event.terms == LogTerms(
        creator=WHO, salt=ROOT, writer=WHO, keeper=OTHER, format=2, mode=1, promise=3_600, skew=60
    )


@pytest.mark.parametrize(
    "term",
    [{"writer": bytes(20)}, {"log_format": 3}, {"mode": 3}, {"promise": 59}, {"promise": 2_592_001}, {"skew": 3_601}],
)
def test_terms_that_the_contract_refuses_are_malformed(term):
    with pytest.raises(MalformedAnswer):
        decode(created_entry(**term))


def test_another_writer_is_read():
    data = encode(["address", "address", "uint64", "uint64", "bytes32"], [WHO, OTHER, 40, 90, HEAD])
    event = decode_one(entry(events.WRITER_ROTATED, [word(9)], data))
    assert isinstance(event, WriterRotated)
    assert (event.entry, event.previous, event.writer) == (9, WHO, OTHER)
    assert (event.size, event.last_admission, event.head) == (40, 90, HEAD)


def test_void_numbers_are_read():
    event = decode_one(entry(events.NUMBERS_VOIDED, [word(9)], encode(["uint64", "uint64", "bytes32"], [91, 99, HEAD])))
    assert isinstance(event, NumbersVoided)
    assert (event.entry, event.first, event.last, event.head) == (9, 91, 99, HEAD)


def test_a_checksummed_address_is_the_same_contract():
    assert decode_one(batch_entry(address=Web3.to_checksum_address(CONTRACT))).entry == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "0x" + "00" * 20},
        {"address": None},
        {"removed": True},
        {"topics": []},
        {"topics": None},
        {"topics": ["0x" + events.BATCH_APPENDED.hex()]},
        {"topics": ["0x" + events.BATCH_APPENDED.hex(), "0x" + "00" * 32, "0x" + "00" * 32]},
        {"topics": ["0x" + events.BATCH_APPENDED.hex(), "0x" + LOG.hex()]},
        {"topics": ["0x" + events.BATCH_APPENDED.hex(), "0x" + LOG.hex(), "0x07"]},
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
        decode(batch_entry(**changes))


# Dirt above each number, in the offset, the length and the padding; the hashes and the records may be anything.
@pytest.mark.parametrize("position", [0, 32, 64, 96, 192, 223, 224, 254, 296, 319])
def test_a_batch_with_dirt_in_a_number_offset_length_or_padding_is_malformed(position):
    data = bytearray(encode(BATCH_TYPES, [3, 64, 10, 2, ROOT, HEAD, b"s" * 40]))
    data[position] ^= 1
    with pytest.raises(MalformedAnswer):
        decode(entry(events.BATCH_APPENDED, [word(1)], bytes(data)))


@pytest.mark.parametrize(
    "topic0",
    [
        events.LOG_CREATED,
        events.BATCH_APPENDED,
        events.BATCH_COMMITTED,
        events.EPOCH_OPENED,
        events.WRITER_ROTATED,
        events.NUMBERS_VOIDED,
    ],
)
def test_an_event_of_any_kind_with_other_data_is_malformed(topic0):
    for size in (0, 31, 32, 33, 1024):
        with pytest.raises(MalformedAnswer):
            decode(entry(topic0, [word(1)], bytes(size)))


def test_bytes_after_an_event_are_malformed():
    data = encode(BATCH_TYPES, [3, 64, 10, 2, ROOT, HEAD, b"s"]) + bytes(32)
    with pytest.raises(MalformedAnswer, match="follow the last argument"):
        decode(entry(events.BATCH_APPENDED, [word(1)], data))


def test_records_at_the_bound_are_read_and_beyond_refused():
    assert decode_one(batch_entry(records=bytes(events.MAX_RECORDS_BYTES))).entry == 7
    with pytest.raises(MalformedAnswer, match="longer than"):
        decode(batch_entry(records=bytes(events.MAX_RECORDS_BYTES + 1)))


def test_events_in_order_are_read_and_out_of_order_refused():
    first, second = batch_entry(1, logIndex="0x1"), batch_entry(2, logIndex="0x2")
    assert [event.entry for event in decode(first, second)] == [1, 2]
    with pytest.raises(MalformedAnswer, match="out of order"):
        decode(second, first)


def test_an_event_given_twice_is_refused():
    with pytest.raises(MalformedAnswer, match="repeated"):
        decode(batch_entry(), batch_entry())


@pytest.mark.parametrize(("from_block", "to_block"), [(6, 9), (0, 4)])
def test_an_event_outside_the_blocks_asked_for_is_refused(from_block, to_block):
    with pytest.raises(MalformedAnswer, match="outside"):
        decode(batch_entry(), from_block=from_block, to_block=to_block)


@pytest.mark.parametrize("answer", [None, {}, "0x", [None], ["x"], [[]]])
def test_an_answer_that_is_no_list_of_events_is_malformed(answer):
    with pytest.raises(MalformedAnswer):
        decode_events(answer, contract=CONTRACT, log_id=LOG, from_block=0, to_block=9)


def test_more_events_than_the_bound_are_refused(monkeypatch):
    monkeypatch.setattr(events, "MAX_EVENTS_PER_ANSWER", 1)
    with pytest.raises(MalformedAnswer, match="more than 1"):
        decode(batch_entry(), batch_entry())


def test_events_are_values():
    event = decode_one(batch_entry())
    assert replace(event, entry=8) != event == decode_one(batch_entry())
