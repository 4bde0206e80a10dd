import pytest
from eth_abi import encode
from web3 import Web3

from tallystick.chain.artifact import load_artifact
from tallystick.chain.packing import append_size, pack_records
from tallystick.chain.views import BATCH_AT, BATCH_OF, LOG_STATE, LOG_TERMS, WRITER_AT, WRITER_COUNT
from tallystick.chain.wire import MalformedAnswer
from tests.support import calldata

LOG, HEAD = bytes(range(32)), b"\x0b" * 32
WHO, KEEPER = bytes(range(20)), b"\x07" * 20
PATH = [bytes([n]) * 32 for n in range(3)]
CONTRACT = Web3().eth.contract(abi=list(load_artifact().abi))
STATE = (["address", "uint64", "uint64", "bytes32", "uint64", "uint32", "bool"], [WHO, 9, 14, HEAD, 2, 3, True])
TERMS = (["address", "uint16", "uint8", "uint32", "uint32", "uint64"], [KEEPER, 2, 1, 3_600, 60, 1_760_000_000])
BATCH = (["uint64", "uint32", "uint32", "uint64", "bytes32"], [64, 10, 3, 1_760_000_000, HEAD])
SPAN = (["address", "uint64", "uint64", "uint64"], [WHO, 40, 91, 1_760_000_000])


def checksummed(address):
    return Web3.to_checksum_address(address)


def by_web3(name, *arguments):
    return bytes.fromhex(CONTRACT.encode_abi(name, list(arguments))[2:])


@pytest.mark.parametrize(
    ("ours", "name", "arguments"),
    [
        (
            calldata.create_log(WHO, KEEPER, 1, 3_600, 60, LOG),
            "createLog",
            (checksummed(WHO), checksummed(KEEPER), 1, 3_600, 60, LOG),
        ),
        (calldata.open_epoch(LOG, HEAD, 7, b"w" * 33), "openEpoch", (LOG, HEAD, 7, b"w" * 33)),
        (calldata.open_epoch(LOG, HEAD, 7, b""), "openEpoch", (LOG, HEAD, 7, b"")),
        (calldata.append(LOG, HEAD, b"r" * 64), "append", (LOG, HEAD, b"r" * 64)),
        (calldata.append(LOG, HEAD, b"r" * 65), "append", (LOG, HEAD, b"r" * 65)),
        (calldata.commit(LOG, HEAD, 5, PATH[1]), "commit", (LOG, HEAD, 5, PATH[1])),
        (calldata.rotate_writer(LOG, HEAD, WHO, 90), "rotateWriter", (LOG, HEAD, checksummed(WHO), 90)),
        (calldata.void_numbers(LOG, HEAD, 91, 99), "voidNumbers", (LOG, HEAD, 91, 99)),
        (LOG_STATE.call(LOG), "logState", (LOG,)),
        (LOG_TERMS.call(LOG), "logTerms", (LOG,)),
        (BATCH_AT.call(LOG, 3), "batchAt", (LOG, 3)),
        (BATCH_OF.call(LOG, 41), "batchOf", (LOG, 41)),
        (WRITER_COUNT.call(LOG), "writerCount", (LOG,)),
        (WRITER_AT.call(LOG, 1), "writerAt", (LOG, 1)),
        (calldata.verify(LOG, 1, 2, PATH[0], PATH), "verify", (LOG, 1, 2, PATH[0], PATH)),
    ],
)
def test_calldata_equals_that_of_web3(ours, name, arguments):
    assert ours == by_web3(name, *arguments)


def test_every_function_of_the_contract_is_encoded():
    functions = {entry["name"] for entry in load_artifact().abi if entry["type"] == "function"}
    encoded = {case["name"] for case in _parameters(test_calldata_equals_that_of_web3)}
    assert encoded == functions


def _parameters(test):
    (mark,) = (mark for mark in test.pytestmark if mark.name == "parametrize")
    return [dict(zip(mark.args[0], values, strict=True)) for values in mark.args[1]]


@pytest.mark.parametrize("sizes", [[42], [43, 64], [57, 200, 42]])
def test_the_size_of_an_append_is_known_without_encoding_it(sizes):
    header = b"\x20" + (1).to_bytes(8, "big")
    records = pack_records([(LOG, header + bytes(size - len(header))) for size in sizes])
    assert append_size(sizes) == len(calldata.append(LOG, HEAD, records))


def test_a_log_state_is_read():
    state = LOG_STATE.read(encode(*STATE))
    assert (state.writer, state.size, state.entries, state.head) == (WHO, 9, 14, HEAD)
    assert (state.batch_count, state.epoch, state.epoch_open) == (2, 3, True)


def test_the_terms_are_read():
    terms = LOG_TERMS.read(encode(*TERMS))
    assert (terms.keeper, terms.format, terms.mode) == (KEEPER, 2, 1)
    assert (terms.promise, terms.skew, terms.created_at) == (3_600, 60, 1_760_000_000)


def test_a_batch_is_read():
    batch = BATCH_AT.read(encode(*BATCH))
    assert (batch.first_index, batch.count, batch.epoch, batch.time, batch.root) == (64, 10, 3, 1_760_000_000, HEAD)


def test_a_span_is_read():
    span = WRITER_AT.read(encode(*SPAN))
    assert (span.writer, span.first_index, span.first_admission, span.since) == (WHO, 40, 91, 1_760_000_000)


def test_a_number_is_read():
    assert BATCH_OF.read(encode(["uint64"], [7])) == 7
    assert WRITER_COUNT.read(encode(["uint64"], [2])) == 2


@pytest.mark.parametrize(
    ("reader", "returned", "position"),
    [
        *((LOG_STATE.read, encode(*STATE), position) for position in (0, 1, 2, 4, 5, 6)),
        *((LOG_TERMS.read, encode(*TERMS), position) for position in range(6)),
        *((BATCH_AT.read, encode(*BATCH), position) for position in range(4)),
        *((WRITER_AT.read, encode(*SPAN), position) for position in range(4)),
        (BATCH_OF.read, encode(["uint64"], [7]), 0),
        (WRITER_COUNT.read, encode(["uint64"], [7]), 0),
    ],
)
def test_an_answer_with_a_value_out_of_range_is_malformed(reader, returned, position):
    changed = bytearray(returned)
    changed[32 * position] = 1
    with pytest.raises(MalformedAnswer):
        reader(bytes(changed))


@pytest.mark.parametrize(
    "reader",
    [
        LOG_STATE.read,
        LOG_TERMS.read,
        BATCH_AT.read,
        BATCH_OF.read,
        WRITER_COUNT.read,
        WRITER_AT.read,
    ],
)
@pytest.mark.parametrize("returned", [b"", bytes(31), bytes(33), bytes(320)])
def test_an_answer_of_another_length_is_malformed(reader, returned):
    with pytest.raises(MalformedAnswer):
        reader(returned)
