"""What a model may be called, and how a version is named."""

from __future__ import annotations

import pytest

from tallystick_platform.registry.errors import BadReference
from tallystick_platform.registry.names import (
    MAX_ID_CHARS,
    MIN_VERSION_CHARS,
    RESERVED,
    Reference,
    parse_model_id,
    parse_reference,
)


@pytest.mark.parametrize("text", ["a", "smollm2-135m-instruct", "Acme/Tiny_1.5", "0/0", "x" * MAX_ID_CHARS])
def test_names_that_can_be(text: str) -> None:
    assert parse_model_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a/b/c",
        ".a",
        "-a",
        "a/.b",
        "a..b",
        "..",
        "a b",
        "a\n",
        "a@b",
        "é",
        "a%2fb",
        "a\\b",
        "x" * (MAX_ID_CHARS + 1),
    ],
)
def test_names_that_cannot(text: str) -> None:
    with pytest.raises(BadReference):
        parse_model_id(text)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_words_that_stand_for_something_else_below_a_model_are_no_second_part(word: str) -> None:
    assert parse_model_id(word) == word
    with pytest.raises(BadReference, match="stands for something else"):
        parse_model_id(f"acme/{word.upper()}")


@pytest.mark.parametrize("length", [MIN_VERSION_CHARS, 12, 64])
def test_a_version_is_the_beginning_of_a_digest(length: int) -> None:
    text = "0123456789abcdef" * 4
    assert parse_reference(f"Acme/Tiny@{text[:length]}") == Reference(model="Acme/Tiny", version=text[:length])


@pytest.mark.parametrize("version", ["", "1234567", "0123456G", "ABCDEF01", "0" * 65, "01234567@0"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BadReference):
        parse_reference(f"tiny@{version}")


def test_a_reference_reads_as_it_was_written() -> None:
    assert [str(parse_reference(text)) for text in ("a/B", "a/B@01234567")] == ["a/B", "a/B@01234567"]
