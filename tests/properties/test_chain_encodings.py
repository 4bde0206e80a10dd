import json
from contextlib import suppress

import rlp
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import words
from tallystick.chain.answers import read_answer
from tallystick.chain.calls import AppendCall, CallError, OpenEpochCall, read_call
from tallystick.chain.entries import EntryWalk
from tallystick.chain.events import EVENT_TOPICS, decode_events
from tallystick.chain.faults import EventsWithheld
from tallystick.chain.reverts import decode_revert
from tallystick.chain.transaction import TransactionUnreadable, encode_rlp, read_transaction
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainError, SignatureError
from tallystick.strict_json import is_shallow
from tests.support import calldata
from tests.support.nodes import EventsNode

HASH = st.binary(min_size=32, max_size=32)
BLOB = st.binary(max_size=100)
CONTRACT, LOG = b"\xc0" * 20, b"\x11" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["0x", "0x0", *EVENT_TOPICS]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["topics", "data", "address"]), inner),
    max_leaves=12,
)


@given(HASH, HASH, BLOB)
def test_an_append_is_encoded_as_eth_abi_does_and_reads_back(log_id, head, records):
    data = calldata.append(log_id, head, records)
    assert data[4:] == encode(["bytes32", "bytes32", "bytes"], [log_id, head, records])
    assert read_call(data) == AppendCall(log_id=log_id, head=head, records=records)


@given(HASH, HASH, st.integers(0, 2**32 - 1), BLOB)
def test_an_epoch_is_encoded_as_eth_abi_does_and_reads_back(log_id, head, epoch, wraps):
    data = calldata.open_epoch(log_id, head, epoch, wraps)
    assert data[4:] == encode(["bytes32", "bytes32", "uint32", "bytes"], [log_id, head, epoch, wraps])
    assert read_call(data) == OpenEpochCall(log_id=log_id, head=head, epoch=epoch, wraps=wraps)


@given(st.sampled_from([calldata.APPEND, calldata.COMMIT, calldata.OPEN_EPOCH, b"none"]), st.binary(max_size=300))
def test_any_calldata_is_a_call_or_refused(selector, arguments):
    with suppress(CallError):
        read_call(selector + arguments)


@given(
    st.dictionaries(
        st.sampled_from(["type", "nonce", "gas", "value", "input", "to", "v", "r", "s", "gasPrice", "accessList"]),
        st.sampled_from(["0x0", "0x2", "0x1b", "0x", "0x" + "22" * 20, None, 5, [], {}]),
    )
)
def test_any_transaction_is_read_or_it_is_said_why_not(shown):
    try:
        transaction = read_transaction(shown)
    except (TransactionUnreadable, MalformedAnswer):
        return
    with suppress(SignatureError):
        transaction.signer()


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_answer_or_refused(body):
    with suppress(ChainError):
        read_answer(b'{"id":1,"result":' + body + b"}", 1, "method")
    with suppress(ChainError):
        read_answer(b'{"id":1,"error":' + body + b"}", 1, "method")


@given(st.sets(st.integers(0, 40)), st.integers(1, 12), st.integers(1, 50))
def test_a_walk_gives_every_entry_once_or_names_the_first_that_is_withheld(withheld, most, span):
    blocks = [entry // 3 * span for entry in range(40)]

    def show(events, first, last):
        return [event for event in events if int(event["topics"][2], 16) not in withheld][:most]

    walk = EntryWalk(transport=EventsNode(CONTRACT, LOG, blocks, show), contract=CONTRACT, log_id=LOG)
    missing = min((entry for entry in withheld if entry < 40), default=40)
    seen, told = [], None
    try:
        seen.extend(walk.entries(0, blocks[-1] + span, 0, 40))
    except EventsWithheld as error:
        told = error.what
    assert [event.entry for event in seen] == list(range(missing))
    assert told == (f"entry {missing}" if withheld & set(range(40)) else None)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_are_the_one_encoding_of_what_is_read(data):
    try:
        value, end = words.read_dynamic(data, 0)
    except words.WordError:
        return
    assert calldata.dynamic(value) == data[:end]


@given(st.binary(max_size=200))
def test_any_revert_data_is_read_or_left(data):
    decode_revert(data)


@given(JSON)
def test_any_answer_is_events_or_malformed(answer):
    with suppress(MalformedAnswer):
        assert decode_events(answer, contract=CONTRACT, log_id=LOG, from_block=0, to_block=9) == []


@given(st.recursive(BLOB | st.integers(0, 2**256), lambda inner: st.lists(inner, max_size=5), max_leaves=20))
def test_rlp_equals_the_librarys(value):
    assert encode_rlp(value) == rlp.encode(value)


@given(JSON | st.text(alphabet='[]{}"\\a'))
def test_depth_is_that_of_the_document(value):
    def depth(item):
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        return 0 if children is None else 1 + max(map(depth, children), default=0)

    document = json.dumps(value).encode()
    for bound in range(6):
        assert is_shallow(document, bound) == (depth(value) <= bound)
