import pytest

from tallystick.chain.wire import MalformedAnswer, read_data, read_list, read_object, read_quantity
from tallystick.errors import ChainUnavailable


@pytest.mark.parametrize(("text", "value"), [("0x0", 0), ("0x1f", 31), ("0x00", 0), ("0xffffffffffffffff", 2**64 - 1)])
def test_a_quantity_is_read(text, value):
    assert read_quantity(text, "n") == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        True,
        "",
        "0x",
        "5",
        "0xg",
        "0x_1",
        "0x1_0",
        "-0x1",
        "0x-1",
        "0x 1",
        "0x1\n",
        "0x\N{ARABIC-INDIC DIGIT ONE}",
        "0x10000000000000000",
        "0x" + "1" * 65,
    ],
)
def test_what_is_no_quantity_of_64_bits_is_refused(value):
    with pytest.raises(MalformedAnswer):
        read_quantity(value, "n")


def test_data_of_the_right_size_is_read():
    assert read_data("0x00ff", "d", 2) == b"\x00\xff"


@pytest.mark.parametrize("value", [None, 1, [], "00ff", "0x0", "0xzz", "0x00 ff", "0x00f ", "0x00ffff", "0x00"])
def test_what_is_not_two_bytes_of_data_is_refused(value):
    with pytest.raises(MalformedAnswer):
        read_data(value, "d", 2)


def test_data_beyond_the_bound_is_refused_before_it_is_decoded():
    with pytest.raises(MalformedAnswer, match="more than 3"):
        read_data("0x" + "zz" * 4, "d", max_size=3)


def test_a_list_within_the_bound_is_read_and_one_beyond_refused():
    assert read_list([1, 2], "l", 2) == [1, 2]
    with pytest.raises(MalformedAnswer, match="more than 2"):
        read_list([1, 2, 3], "l", 2)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(MalformedAnswer, match="not an object"):
        read_object(value, "o")


def test_a_malformed_answer_counts_as_no_answer():
    assert issubclass(MalformedAnswer, ChainUnavailable)
