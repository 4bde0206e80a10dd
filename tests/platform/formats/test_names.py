"""Names that mean one file everywhere."""

import pytest

from tallystick_platform.formats.limits import MAX_NAME_BYTES, MAX_PATH_DEPTH
from tallystick_platform.formats.names import NameTable, name_fault, shown


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "1_Pooling/config.json",
        ".cache",
        "a b",
        "é",
        "日本",
        "a" * MAX_NAME_BYTES,
        "/".join("a" * MAX_PATH_DEPTH),
    ],
)
def test_plain_names_are_taken(name):
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "..\\a",
        "C:a",
        "a:stream",
        "a\0",
        "a\n",
        "a\x1b[2J",
        "a\x7f",
        "a\x85",
        "a\u202eb",
        "a\u200b",
        "\ufeffa",
        "a\u2028",
        "a\ud800",
        "b\udc80",
        "a\ue000",
        "a.",
        "a ",
        " a",
        "a./b",
        "a" * (MAX_NAME_BYTES + 1),
        "é" * MAX_NAME_BYTES,
        "/".join("a" * (MAX_PATH_DEPTH + 1)),
        "a/" * 100_000,
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_names_that_mean_something_else_somewhere_are_refused(name):
    assert name_fault(name) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a"),
        ("a", "A"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁle", "file"),
        ("K", "\u212a"),
        ("a/b", "a"),
        ("a", "a/b"),
        ("a", "A/b"),
        ("A/b", "a/c"),
        ("é/b", "e\u0301/c"),
    ],
)
def test_names_that_some_file_system_takes_for_one_are_refused_together(first, second):
    names = NameTable()
    assert names.add(first) is None
    assert names.add(second) is not None


def test_a_folder_may_hold_many_files_and_be_named_again():
    names = NameTable()
    assert [names.add_folder("a"), names.add("a/b"), names.add_folder("a"), names.add("a/c")] == [None] * 4
    assert names.add_folder("a/b") is not None
    assert names.add("a") is not None


def test_what_is_shown_stays_on_one_line_and_is_bounded():
    assert shown("a\n\x1b[2J\udc80") == "a\\n\\x1b[2J\\udc80"
    assert len(shown("a" * 1000)) == 203
