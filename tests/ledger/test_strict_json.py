import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import JsonError
from tallystick.strict_json import (
    MAX_DIGITS,
    MAX_JSON_DEPTH,
    MAX_MEMBERS,
    JsonBounds,
    is_shallow,
    read_json,
    without_bom,
)

LIMIT = 1_000_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 2, "\t"]), st.booleans(), st.booleans())
def test_a_document_is_the_same_in_any_formatting(value, indent, ascii_only, mark):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    data = (b"\xef\xbb\xbf" if mark else b"") + text.replace(b"\n", b"\r\n") + b"\n"
    assert read_json(data, LIMIT) == value


FAULTS = [
    (b"", "syntax"), (b"{", "syntax"), (b"{} {}", "syntax"), (b"{'a': 1}", "syntax"), (b'{"a": 1,}', "syntax"), (b"[01]", "syntax"),
    (b"[NaN]", "syntax"), (b"[Infinity]", "syntax"), (b"[-Infinity]", "syntax"), (b"[1e400]", "syntax"), (b"[-1e400]", "syntax"),
    (b'"\\ud800"', "syntax"), (b'{"\\udfff": 1}', "syntax"), (b'["\\ud83c", "\\udf3f"]', "syntax"), (b'"\n"', "syntax"),
    (b"\xff", "utf8"), (b'"\xc3"', "utf8"), (b'"\xed\xa0\x80"', "utf8"), ("{}".encode("utf-16"), "utf8"),
    (b"\xef\xbb\xbf\xef\xbb\xbf{}", "syntax"), (b'{"a": 1, "a": 1}', "duplicate"), (b'[{"a": {"b": 1, "b": 2}}]', "duplicate"),
    (b'{"a": 1, "\\u0061": 2}', "duplicate"), (b'{"\\ud800": 1, "\\ud800": 1}', "duplicate"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "kind"), FAULTS, ids=lambda value: str(value)[:40])
def test_what_readers_treat_differently_is_refused(data, kind):
    with pytest.raises(JsonError) as caught:
        read_json(data, LIMIT)
    assert caught.value.kind == kind
    str(caught.value).encode()


def test_a_whole_surrogate_pair_is_a_character():
    assert read_json(b'"\\ud83c\\udf3f"', LIMIT) == "\U0001f33f"


def test_a_fault_is_placed_by_line_and_column():
    with pytest.raises(JsonError, match=r"line 2, column 5") as caught:
        read_json(b'{"a": 1,\n"b" 2}', LIMIT)
    assert (caught.value.line, caught.value.column) == (2, 5)


def test_a_duplicate_is_named():
    with pytest.raises(JsonError) as caught:
        read_json(b'{"a": {"colour": 1, "colour": 2}}', LIMIT)
    assert caught.value.member == "colour"


def test_more_bytes_than_the_bound_are_not_parsed():
    assert read_json(b"[1]", 3) == [1]
    with pytest.raises(JsonError) as caught:
        read_json(b"[1] ", 3)
    assert caught.value.kind == "size"


def test_more_members_than_the_bound_are_refused():
    def document(count: int) -> bytes:
        return json.dumps({str(number): 0 for number in range(count)}).encode()

    assert len(read_json(document(MAX_MEMBERS), 2_000_000)) == MAX_MEMBERS
    with pytest.raises(JsonError) as caught:
        read_json(document(MAX_MEMBERS + 1), 2_000_000)
    assert caught.value.kind == "size"


def test_a_number_of_more_digits_than_the_bound_is_refused():
    assert read_json(b"9" * MAX_DIGITS, LIMIT) == int("9" * MAX_DIGITS)
    with pytest.raises(JsonError, match="digits"):
        read_json(b"9" * (MAX_DIGITS + 1), LIMIT)


@pytest.fixture
def high_recursion_limit():
    """As a library may leave it for the whole process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("high_recursion_limit")
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_whatever_the_interpreters_limit(opening):
    with pytest.raises(JsonError) as caught:
        read_json(opening * 100_000, LIMIT)
    assert caught.value.kind == "depth"


def test_a_document_at_the_bound_is_shallow_and_one_beyond_is_not():
    assert is_shallow(b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH)
    assert read_json(b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH, LIMIT)
    assert not is_shallow(b"[" * (MAX_JSON_DEPTH + 1))


def test_objects_and_arrays_count_alike():
    assert not is_shallow(b'[{"a":' * 3, max_depth=5)
    assert is_shallow(b'[{"a":' * 3, max_depth=6)


@pytest.mark.parametrize("text", ["[" * 200, '"' + "[" * 200, "\\" + "{" * 200 + '"'])
def test_brackets_inside_strings_do_not_count(text):
    assert read_json(json.dumps([text, text]).encode(), LIMIT) == [text, text]


def test_many_brackets_side_by_side_are_shallow():
    assert is_shallow(b"[" + b"[],{}," * 1000 + b"[]]")


def test_a_string_that_pretends_to_end_hides_nothing():
    assert not is_shallow(b'["\\"",' + b"[" * 100)


def test_only_one_mark_is_taken_off():
    assert without_bom(b"\xef\xbb\xbf\xef\xbb\xbf{}") == b"\xef\xbb\xbf{}"
    assert without_bom(b"{}") == b"{}"


def test_a_document_of_too_many_values_is_refused_before_it_is_parsed_and_signs_in_texts_are_none():
    bounds = JsonBounds(values=10)
    assert read_json(b'["' + b",:[{" * 20 + b'", "\\"' + b"," * 20 + b'"]', 1000, bounds)
    assert read_json(b"[" + b"{}," * 4 + b"1]", 1000, bounds) == [{}, {}, {}, {}, 1]
    with pytest.raises(JsonError, match="more than 10 values"):
        read_json(b"[" + b"{}," * 5 + b"1]", 1000, bounds)


def test_the_other_bounds_are_the_caller_s_too():
    assert read_json(b'[[{"a":1}]]', LIMIT, JsonBounds(depth=3, members=1)) == [[{"a": 1}]]
    with pytest.raises(JsonError, match="deeper than 2 levels"):
        read_json(b"[[[1]]]", LIMIT, JsonBounds(depth=2))
    with pytest.raises(JsonError, match="more than 1 members"):
        read_json(b'{"a":1,"b":2}', LIMIT, JsonBounds(members=1))


def test_what_is_not_finite_is_read_where_the_caller_says_so():
    found = read_json(b"[NaN, Infinity, -Infinity, 1e999, 1.5]", LIMIT, JsonBounds(not_finite=True))
    assert repr(found) == "[nan, inf, -inf, inf, 1.5]"
