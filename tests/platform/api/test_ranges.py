"""Conditional and partial requests, by the rules of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_platform.api.ranges import Conditions, Span, conditions_of
from tallystick_platform.api.refusals import RangeRefused

ETAG = '"aa"'
SIZE = 100


def asked(**headers: str) -> Conditions:
    return conditions_of([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


@pytest.mark.parametrize(
    ("header", "offset", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=0-1000", 0, 100),
        ("bytes=99-", 99, 1),
        ("bytes=40-", 40, 60),
        ("bytes=-1", 99, 1),
        ("bytes=-1000", 0, 100),
        ("BYTES = 5-6", 5, 2),
        (" bytes=5-6 ", 5, 2),
    ],
)
def test_a_range_within_the_file_is_taken(header: str, offset: int, length: int) -> None:
    assert asked(range=header).span(ETAG, SIZE) == Span(offset=offset, length=length, size=SIZE)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=100-",
        "bytes=100-200",
        "bytes=5-4",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=" + "9" * 19 + "-",
        "bytes=\u0661-",
    ],
)
def test_a_range_that_is_malformed_or_outside_is_refused(header: str) -> None:
    with pytest.raises(RangeRefused) as refused:
        asked(range=header).span(ETAG, SIZE)
    assert refused.value.total_bytes == SIZE


@pytest.mark.parametrize("header", ["items=0-5", "0-5", "none", ""])
def test_a_range_of_another_unit_is_ignored(header: str) -> None:
    assert asked(range=header).span(ETAG, SIZE) is None


def test_an_empty_file_has_no_ranges() -> None:
    with pytest.raises(RangeRefused):
        asked(range="bytes=0-").span(ETAG, 0)
    with pytest.raises(RangeRefused):
        asked(range="bytes=-1").span(ETAG, 0)


@pytest.mark.parametrize(
    ("tag", "is_part"), [(ETAG, True), ('"bb"', False), ("W/" + ETAG, False), ("Sat, 1 Jan", False)]
)
def test_if_range_gives_the_whole_of_other_content(tag: str, is_part: bool) -> None:
    assert (asked(range="bytes=1-", if_range=tag).span(ETAG, SIZE) is not None) is is_part


@pytest.mark.parametrize(
    ("tags", "known"), [(ETAG, True), ("*", True), (f'"x", W/{ETAG}', True), ('"bb"', False), ("aa", False)]
)
def test_if_none_match_knows_the_content(tags: str, known: bool) -> None:
    assert asked(if_none_match=tags).is_known(ETAG) is known
    assert not asked().is_known(ETAG)


@pytest.mark.parametrize(("tags", "other"), [(ETAG, False), ("*", False), ("W/" + ETAG, True), ('"bb"', True)])
def test_if_match_refuses_other_content(tags: str, other: bool) -> None:
    assert asked(if_match=tags).is_other(ETAG) is other
    assert not asked().is_other(ETAG)


def test_a_list_in_several_lines_is_one_list() -> None:
    both = conditions_of([(b"if-none-match", b'"x"'), (b"if-none-match", ETAG.encode())])
    assert both.is_known(ETAG)
    with pytest.raises(RangeRefused):
        conditions_of([(b"range", b"bytes=0-1"), (b"range", b"bytes=2-3")]).span(ETAG, SIZE)


@given(st.text(max_size=30), st.integers(0, 2**40))
def test_any_range_header_is_taken_ignored_or_refused(header: str, size: int) -> None:
    given_ = conditions_of([(b"range", ("bytes=" + header).encode("utf-8"))])
    try:
        span = given_.span(ETAG, size)
    except RangeRefused:
        return
    assert span is None or (span.offset >= 0 and span.length > 0 and span.offset + span.length <= size)
    assert span is None or str(span).startswith(f"bytes {span.offset}-")
