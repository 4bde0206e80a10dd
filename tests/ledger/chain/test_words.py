import pytest

from tallystick.chain import words

ONE = words.uint(1)


@pytest.mark.parametrize("size", [0, 19, 31, 33])
def test_a_value_of_another_size_is_refused(size):
    with pytest.raises(words.WordError):
        words.fixed(bytes(size))


def test_an_integer_at_its_limit_is_read_and_one_beyond_refused():
    assert words.read_uint(words.uint(255), 0, 255) == 255
    with pytest.raises(words.WordError, match="beyond 255"):
        words.read_uint(words.uint(256), 0, 255)


def test_an_address_with_dirt_above_it_is_refused():
    with pytest.raises(words.WordError, match="longer than 20"):
        words.read_word("address", b"\x01" + bytes(31), 0)


def test_a_boolean_other_than_0_and_1_is_refused():
    assert words.read_word("bool", ONE, 0) is True
    with pytest.raises(words.WordError):
        words.read_word("bool", words.uint(2), 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no word"),
        (ONE, "run past the end"),
        (words.uint(2**255), "beyond"),
        (ONE + b"a" + bytes(30) + b"\x01", "padding"),
        (ONE + b"a" + bytes(30), "run past the end"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(data, reason):
    with pytest.raises(words.WordError, match=reason):
        words.read_dynamic(data, 0)


def test_bytes_after_the_last_argument_are_refused():
    with pytest.raises(words.WordError, match="1 bytes follow"):
        words.read_all(("uint8",), ONE + b"\x00")


def test_an_offset_that_no_compiler_writes_is_refused():
    with pytest.raises(words.WordError, match="is not 64"):
        words.require_offset(words.uint(96) + bytes(96), 0, 64)


def test_a_declaration_is_taken_apart():
    shape = words.Shape.of("BadMode(uint8 given,bytes32 logId)")
    assert (shape.name, shape.signature) == ("BadMode", "BadMode(uint8,bytes32)")
    assert shape.arguments == (("given", "uint8"), ("logId", "bytes32"))
    assert words.Shape.of("ZeroWriter()").arguments == ()
