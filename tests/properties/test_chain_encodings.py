import json
from contextlib import suppress

import rlp
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import calldata, words
from tallystick.chain.depth import is_shallow
from tallystick.chain.events import EVENT_TOPICS, decode_events
from tallystick.chain.reverts import decode_revert
from tallystick.chain.transaction import encode_rlp
from tallystick.chain.wire import MalformedAnswer

HASH = st.binary(min_size=32, max_size=32)
BLOB = st.binary(max_size=100)
BLOBS = st.lists(BLOB, max_size=8)
CONTRACT, LOG = b"\xc0" * 20, b"\x11" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["0x", "0x0", *EVENT_TOPICS]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["topics", "data", "address"]), inner),
    max_leaves=12,
)


@given(HASH, st.integers(0, 2**64 - 1), st.lists(HASH, max_size=6), BLOBS)
def test_an_append_is_encoded_as_eth_abi_does(log_id, first_index, roots, sealed):
    expected = encode(["bytes32", "uint64", "bytes32[]", "bytes[]"], [log_id, first_index, roots, sealed])
    assert calldata.append(log_id, first_index, roots, sealed)[4:] == expected


@given(BLOBS)
def test_an_array_reads_back_as_written(values):
    data = words.dynamic_array(values)
    assert words.read_dynamic_array(data, 0, 8) == (values, len(data))


@given(BLOBS, st.data())
def test_an_array_with_one_bit_flipped_is_refused_or_reads_as_what_it_now_encodes(values, data):
    encoded = bytearray(words.dynamic_array(values))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    try:
        found, end = words.read_dynamic_array(bytes(encoded), 0, 8)
    except words.WordError:
        return
    assert words.dynamic_array(found) == bytes(encoded[:end])


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_are_the_one_encoding_of_what_is_read(data):
    try:
        value, end = words.read_dynamic(data, 0)
    except words.WordError:
        return
    assert words.dynamic(value) == data[:end]


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
