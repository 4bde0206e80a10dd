import pytest

from tallystick_platform.embedded_chain.errors import INVALID_PARAMS, BadParams
from tallystick_platform.embedded_chain.execution import CALL_GAS_CAP
from tallystick_platform.embedded_chain.params import (
    MAX_ACCESS_ENTRIES,
    MAX_FILTER_CHOICES,
    Params,
    read_addresses,
    read_call,
    read_topics,
)

ADDRESS = "0x" + "0a" * 20
TOPIC = "0x" + "0b" * 32


def test_parameters_are_positional_and_bounded():
    params = Params([ADDRESS, True], 2)
    assert params.address(0) == b"\x0a" * 20
    assert params.flag(1, "full") is True
    assert params.optional(5) is None
    with pytest.raises(BadParams, match="at most 1"):
        Params([1, 2], 1)


@pytest.mark.parametrize("values", [{}, "x", 5])
def test_parameters_that_are_no_array_are_refused(values):
    with pytest.raises(BadParams, match="must be an array"):
        Params(values, 2)


def test_absent_parameters_are_none_and_a_required_one_is_named():
    assert Params(None, 2).optional(0) is None
    with pytest.raises(BadParams, match="address: missing value for required argument 0") as caught:
        Params([], 2).address(0)
    assert caught.value.rpc_code == INVALID_PARAMS


@pytest.mark.parametrize("value", [5, "0x", "0x0a", "0a" * 20, "0x" + "0g" * 20, []])
def test_what_is_no_address_is_refused(value):
    with pytest.raises(BadParams, match=r"^address"):
        Params([value], 1).address(0)


def test_a_flag_must_be_a_boolean():
    with pytest.raises(BadParams, match="must be a boolean"):
        Params(["true"], 1).flag(0, "full")


def test_a_call_is_read_with_its_defaults():
    call = read_call({"to": ADDRESS})
    assert (call.to, call.sender, call.data, call.value, call.gas, call.gas_price) == (
        b"\x0a" * 20,
        bytes(20),
        b"",
        0,
        CALL_GAS_CAP,
        0,
    )


def test_a_call_is_read_in_full():
    call = read_call(
        {
            "from": ADDRESS,
            "to": None,
            "gas": "0x5208",
            "maxFeePerGas": "0x5",
            "value": "0x7",
            "input": "0x0102",
            "accessList": [{"address": ADDRESS, "storageKeys": ["0x" + "00" * 31 + "09"]}],
        }
    )
    assert (call.sender, call.to, call.gas, call.gas_price, call.value, call.data) == (
        b"\x0a" * 20,
        None,
        21_000,
        5,
        7,
        b"\x01\x02",
    )
    assert call.access == ((b"\x0a" * 20, (9,)),)


def test_gas_beyond_the_cap_is_cut_to_it():
    assert read_call({"gas": hex(2**63)}).gas == CALL_GAS_CAP


@pytest.mark.parametrize(
    "call",
    [
        5,
        {"to": "0x00"},
        {"unknown": 1},
        {"data": "0x01", "input": "0x02"},
        {"data": "0x0"},
        {"value": 5},
        {"gas": "five"},
        {"accessList": {}},
        {"accessList": ["x"]},
        {"accessList": [{"address": ADDRESS, "storageKeys": "x"}]},
        {"accessList": [{"address": ADDRESS, "storageKeys": ["0x01"]}]},
        {"accessList": [{}]},
        {"accessList": [{"address": ADDRESS}] * (MAX_ACCESS_ENTRIES + 1)},
        {"accessList": [{"address": ADDRESS, "storageKeys": [TOPIC] * (MAX_ACCESS_ENTRIES + 1)}]},
    ],
)
def test_a_call_with_one_fault_is_refused(call):
    with pytest.raises(BadParams):
        read_call(call)


def test_equal_data_and_input_are_one():
    assert read_call({"data": "0x01", "input": "0x01"}).data == b"\x01"


def test_a_filters_addresses_are_none_one_or_several():
    assert read_addresses(None) == ()
    assert read_addresses(ADDRESS) == (b"\x0a" * 20,)
    assert read_addresses([ADDRESS, ADDRESS]) == (b"\x0a" * 20, b"\x0a" * 20)


def test_a_filters_topics_are_by_position_with_choices_and_gaps():
    topic = b"\x0b" * 32
    assert read_topics([None, TOPIC, [TOPIC, TOPIC], [TOPIC, None]]) == ((), (topic,), (topic, topic), ())
    assert read_topics(None) == ()


@pytest.mark.parametrize("topics", ["x", [None] * 5, ["0x00"], [[TOPIC] * (MAX_FILTER_CHOICES + 1)], [5]])
def test_topics_with_one_fault_are_refused(topics):
    with pytest.raises(BadParams):
        read_topics(topics)


def test_more_addresses_than_the_bound_are_refused():
    read_addresses([ADDRESS] * MAX_FILTER_CHOICES)
    with pytest.raises(BadParams, match="more than 64"):
        read_addresses([ADDRESS] * (MAX_FILTER_CHOICES + 1))
