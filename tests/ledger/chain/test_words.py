import pytest

from tallystick.chain import words

ONE = words.uint(1)


def test_bytes_that_end_on_a_word_have_no_padding():
    assert words.dynamic(b"a" * 32) == words.uint(32) + b"a" * 32
    assert words.dynamic(b"") == words.uint(0)


@pytest.mark.parametrize("function", [words.fixed, words.address])
@pytest.mark.parametrize("size", [0, 19, 21, 31, 33])
def test_a_value_of_another_size_is_refused(function, size):
    with pytest.raises(words.WordError):
        function(bytes(size))


def test_an_integer_at_its_limit_is_read_and_one_beyond_refused():
    assert words.read_uint(words.uint(255), 0, 255) == 255
    with pytest.raises(words.WordError, match="beyond 255"):
        words.read_uint(words.uint(256), 0, 255)


def test_an_address_with_dirt_above_it_is_refused():
    with pytest.raises(words.WordError, match="longer than 20"):
        words.read_address(b"\x01" + bytes(31), 0)


def test_a_boolean_other_than_0_and_1_is_refused():
    assert words.read_bool(ONE, 0) is True
    with pytest.raises(words.WordError):
        words.read_bool(words.uint(2), 0)


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
        words.require_end(ONE + b"\x00", 32)


def test_an_offset_that_no_compiler_writes_is_refused():
    with pytest.raises(words.WordError, match="is not 64"):
        words.require_offset(words.uint(96) + bytes(96), 0, 64)
