"""What no parser should be given."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tallystick.strict_json import MAX_JSON_DEPTH
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.strict_json import read_object


@pytest.fixture
def high_recursion_limit() -> Iterator[None]:
    """As a library may leave it for the whole process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("high_recursion_limit")
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_whatever_the_interpreters_limit(opening: bytes) -> None:
    with pytest.raises(BadRequest, match="nested deeper"):
        read_object(b'{"messages":' + opening * 100_000)


def test_nesting_up_to_the_bound_is_read() -> None:
    inside = MAX_JSON_DEPTH - 1
    assert read_object(b'{"a":' + b"[" * inside + b"]" * inside + b"}")


def test_brackets_inside_text_are_no_nesting() -> None:
    assert read_object(b'{"a": "' + b"[{" * 1_000 + b'"}') == {"a": "[{" * 1_000}


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    assert read_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_duplicate_is_named_within_bounds() -> None:
    with pytest.raises(BadRequest) as caught:
        read_object(b'{"%s": 1, "%s": 2}' % (b"k" * 1_000, b"k" * 1_000))
    assert caught.value.code == "duplicate_key"
    assert len(caught.value.param or "") < 100
