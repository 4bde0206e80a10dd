"""JSON from strangers."""

import sys
import time

import pytest

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.json_text import (
    parse_json,
    parse_json_object,
    read_json_object,
    short_text,
    whole_number,
)
from tallystick_platform.formats.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_JSON_VALUES
from tests.support.memory_peak import MIB, peak_below


def test_an_object_is_read(tmp_path):
    (tmp_path / "c.json").write_text('{"a": [1, 2.5, null, "é", {"b": true}], "n": Infinity}')
    assert read_json_object(tmp_path / "c.json")["a"][4] == {"b": True}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not an object"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1} {}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": 1, "a": 2}', "twice in one object"),
        (b'{"a": 1, "\\u0061": 2}', "twice in one object"),
        (b'{"x": {"auto_map": {}, "auto_map": null}}', "twice in one object"),
        (b'{"a":' * (MAX_JSON_DEPTH + 1) + b"1" + b"}" * (MAX_JSON_DEPTH + 1), "deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deep"),
        (b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "deep"),
        (b'{"a":[' + b"[]," * MAX_JSON_VALUES + b"1]}", "more than"),
    ],
    ids=lambda value: value[:16].decode(errors="replace") if isinstance(value, bytes) else value,
)
def test_what_is_no_bounded_object_is_refused(data, reason):
    with pytest.raises(FormatError, match=reason):
        parse_json_object(data, "c.json")


def test_a_file_of_a_hundred_megabytes_is_refused_unread(tmp_path):
    with (tmp_path / "c.json").open("wb") as file:
        file.truncate(100 * 1_048_576)
    with peak_below(MIB), pytest.raises(FormatError, match=f"the limit is {MAX_JSON_BYTES}"):
        read_json_object(tmp_path / "c.json")


@pytest.mark.parametrize("part", [b"[]", b"{}", b'""', b"0.5", b'{"":{}}', b'"\xf0\x9f\x98\x80"'])
def test_the_worst_that_is_taken_costs_less_than_sixty_four_mebibytes(part):
    count = min(
        MAX_JSON_VALUES // (1 + part.count(b"{") + part.count(b"[")) - 4, (MAX_JSON_BYTES - 16) // (len(part) + 1)
    )
    data = b'{"a":[' + (part + b",") * count + b"1]}"
    began = time.monotonic()
    with peak_below(64 * MIB):
        parse_json_object(data, "c.json")
    assert time.monotonic() - began < 10


def test_texts_that_would_break_a_line_are_not_shown():
    assert [short_text(value) for value in ("LlamaForCausalLM", "a\nb", "\ud800", "", "a" * 201, 7, None)] == [
        "LlamaForCausalLM",
        *[None] * 6,
    ]


def test_counts_are_whole_positive_and_bounded():
    assert [whole_number(value, 10) for value in (1, 10, 11, 0, -1, True, 1.0, "1", None)] == [1, 10, *[None] * 7]


@pytest.mark.parametrize("data", [b"[" * 90_000, b'{"a":' * 90_000])
def test_brackets_alone_never_reach_the_parser_whatever_the_interpreters_limit(data: bytes) -> None:
    sys.setrecursionlimit(100_000)  # as a library does on import; every test starts from the usual one
    with pytest.raises(FormatError, match="nested deeper than 64 levels"):
        parse_json(data, "config.json")
