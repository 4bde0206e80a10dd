import pytest
from eth_abi import encode
from web3 import Web3

from tallystick.chain import calldata, load_artifact
from tallystick.chain.wire import MalformedAnswer

LOG = bytes(range(32))
WHO = bytes(range(20))
PATH = [bytes([n]) * 32 for n in range(3)]
CONTRACT = Web3().eth.contract(abi=list(load_artifact().abi))


def by_web3(name, *arguments):
    return bytes.fromhex(CONTRACT.encode_abi(name, list(arguments))[2:])


@pytest.mark.parametrize(
    ("ours", "name", "arguments"),
    [
        (calldata.create_log(WHO, LOG), "createLog", (Web3.to_checksum_address(WHO), LOG)),
        (calldata.open_epoch(LOG, 7, [b"wrap", b"", b"w" * 33]), "openEpoch", (LOG, 7, [b"wrap", b"", b"w" * 33])),
        (
            calldata.append(LOG, 5, PATH, [b"a", b"b" * 32, b"c" * 100]),
            "append",
            (LOG, 5, PATH, [b"a", b"b" * 32, b"c" * 100]),
        ),
        (calldata.append(LOG, 0, [], []), "append", (LOG, 0, [], [])),
        (calldata.verify(LOG, 1, 2, PATH[0], PATH), "verify", (LOG, 1, 2, PATH[0], PATH)),
        (calldata.propose_writer(LOG, WHO), "proposeWriter", (LOG, Web3.to_checksum_address(WHO))),
        (calldata.accept_writer(LOG), "acceptWriter", (LOG,)),
        (calldata.log_state(LOG), "logState", (LOG,)),
        (calldata.batch_at(LOG, 3), "batchAt", (LOG, 3)),
    ],
)
def test_calldata_equals_that_of_web3(ours, name, arguments):
    assert ours == by_web3(name, *arguments)


@pytest.mark.parametrize("sizes", [[], [1], [32], [33, 64, 1]])
def test_the_size_of_an_append_is_known_without_encoding_it(sizes):
    data = calldata.append(LOG, 0, [LOG] * len(sizes), [b"s" * size for size in sizes])
    assert calldata.append_size(sizes) == len(data)


def test_the_log_id_is_that_of_abi_encode():
    types = ["uint256", "address", "address", "bytes32"]
    expected = Web3.keccak(encode(types, [31337, Web3.to_checksum_address(WHO), Web3.to_checksum_address(WHO), LOG]))
    assert calldata.derive_log_id(31337, WHO, WHO, LOG) == expected


def test_a_log_state_is_read():
    types = ["address", "address", "uint64", "bytes32", "uint64", "uint32"]
    returned = encode(types, [WHO, bytes(20), 9, LOG, 2, 3])
    state = calldata.read_log_state(returned)
    assert (state.writer, state.pending_writer, state.size, state.head, state.batch_count, state.epoch) == (
        WHO,
        None,
        9,
        LOG,
        2,
        3,
    )


def test_a_pending_writer_is_read():
    returned = encode(["address", "address", "uint64", "bytes32", "uint64", "uint32"], [WHO, WHO, 9, LOG, 2, 3])
    assert calldata.read_log_state(returned).pending_writer == WHO


@pytest.mark.parametrize("position", [0, 2, 4, 5])
def test_a_log_state_with_a_value_out_of_range_is_malformed(position):
    returned = bytearray(
        encode(["address", "address", "uint64", "bytes32", "uint64", "uint32"], [WHO, WHO, 9, LOG, 2, 3])
    )
    returned[32 * position] = 1
    with pytest.raises(MalformedAnswer):
        calldata.read_log_state(bytes(returned))


@pytest.mark.parametrize("reader", [calldata.read_log_state, calldata.read_batch, calldata.read_verified])
@pytest.mark.parametrize("returned", [b"", bytes(31), bytes(33), bytes(320)])
def test_a_return_of_another_length_is_malformed(reader, returned):
    with pytest.raises(MalformedAnswer):
        reader(returned)


def test_a_batch_and_a_verdict_are_read():
    batch = calldata.read_batch(encode(["uint64", "uint32", "bytes32"], [64, 10, LOG]))
    assert (batch.first_index, batch.count, batch.root) == (64, 10, LOG)
    assert calldata.read_verified(encode(["bool"], [True])) is True
    assert calldata.read_verified(encode(["bool"], [False])) is False
