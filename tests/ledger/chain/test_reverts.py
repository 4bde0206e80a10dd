import pytest
from eth_abi import encode
from web3 import Web3

from tallystick.chain.artifact import load_artifact
from tallystick.chain.reverts import ERRORS, ContractReverted, decode_revert, explain
from tallystick.errors import ChainRejected

LOG = bytes(range(32))


def test_the_errors_are_those_of_the_artifact():
    declared = {
        entry["name"]: [(argument["name"], argument["type"]) for argument in entry["inputs"]]
        for entry in load_artifact().abi
        if entry["type"] == "error"
    }
    assert {shape.name: list(shape.arguments) for shape in ERRORS} == declared


def test_a_custom_error_is_named_with_its_arguments():
    data = Web3.keccak(text="StaleHead(bytes32,bytes32,bytes32)")[:4] + encode(
        ["bytes32", "bytes32", "bytes32"], [LOG, bytes(32), b"\x01" * 32]
    )
    error = explain(ChainRejected(3, "execution reverted", data))
    assert isinstance(error, ContractReverted)
    assert (error.name, error.arguments) == ("StaleHead", {"logId": LOG, "expected": bytes(32), "given": b"\x01" * 32})
    assert error.message == f"StaleHead(logId=0x{LOG.hex()}, expected=0x{'00' * 32}, given=0x{'01' * 32})"


def test_a_numeric_argument_is_read():
    data = Web3.keccak(text="BadCount(uint256,uint256)")[:4] + encode(["uint256", "uint256"], [1025, 1024])
    assert decode_revert(data) == ("BadCount", {"given": 1025, "max": 1024})
    data = Web3.keccak(text="BadMode(uint8)")[:4] + encode(["uint8"], [3])
    assert decode_revert(data) == ("BadMode", {"given": 3})


def test_an_address_argument_is_read():
    data = Web3.keccak(text="NotWriter(bytes32,address)")[:4] + encode(["bytes32", "address"], [LOG, "0x" + "11" * 20])
    assert decode_revert(data) == ("NotWriter", {"logId": LOG, "caller": b"\x11" * 20})


def test_a_reason_and_a_panic_of_the_language_are_named():
    assert decode_revert(Web3.keccak(text="Error(string)")[:4] + encode(["string"], ["no"])) == (
        "Error",
        {"reason": b"no"},
    )
    assert decode_revert(Web3.keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [17])) == ("Panic", {"code": 17})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x01\x02\x03\x04",
        Web3.keccak(text="NoOpenEpoch(bytes32)")[:4],
        Web3.keccak(text="ZeroWriter()")[:4] + b"\x00",
    ],
)
def test_what_is_none_of_the_errors_stays_as_it_is(data):
    error = ChainRejected(3, "execution reverted", data)
    assert explain(error) is error
