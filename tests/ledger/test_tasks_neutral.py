"""Which values on the wire change nothing."""

from __future__ import annotations

import pytest

from tallystick.errors import RequestError
from tallystick.tasks.neutral import CHAT, COMPLETION, EMBEDDING, MESSAGE, PART, acting, require

TABLES = {"chat": CHAT, "completion": COMPLETION, "embedding": EMBEDDING, "message": MESSAGE, "part": PART}
EVERYTHING = [pytest.param(name, table, id=f"{what}-{name}") for what, table in TABLES.items() for name in table]


@pytest.mark.parametrize(("name", "known"), EVERYTHING)
def test_null_changes_nothing(name: str, known: dict) -> None:
    assert acting({name: None}, known, ()) is None


@pytest.mark.parametrize(("name", "known"), EVERYTHING)
def test_a_number_that_no_list_has_acts(name: str, known: dict) -> None:
    assert acting({name: 0.5}, known, ()) == name


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        (CHAT, "length_penalty", 1),
        (CHAT, "length_penalty", 1.0),
        (CHAT, "use_beam_search", False),
        (CHAT, "modalities", ["text"]),
        (CHAT, "modalities", ("text",)),
        (CHAT, "functions", []),
        (CHAT, "function_call", "auto"),
        (CHAT, "metadata", {"a": "b"}),
        (CHAT, "user", "somebody"),
        (COMPLETION, "suffix", ""),
        (COMPLETION, "skip_special_tokens", True),
        (EMBEDDING, "encoding_format", "float"),
        (EMBEDDING, "encoding_format", "base64"),
        (EMBEDDING, "user", ""),
    ],
)
def test_what_asks_for_no_more_than_nothing(table: dict, name: str, value: object) -> None:
    assert acting({name: value}, table, ()) is None


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        (CHAT, "length_penalty", True),
        (CHAT, "use_beam_search", 0),
        (CHAT, "use_beam_search", True),
        (CHAT, "echo", True),
        (CHAT, "modalities", ["text", "audio"]),
        (CHAT, "functions", [{}]),
        (CHAT, "function_call", "required"),
        (CHAT, "metadata", "a"),
        (CHAT, "user", 7),
        (CHAT, "temperature", None),
        (CHAT, "suffix", ""),
        (CHAT, "", None),
        (COMPLETION, "suffix", "."),
        (COMPLETION, "skip_special_tokens", False),
        (COMPLETION, "tools", []),
        (EMBEDDING, "encoding_format", "int8"),
        (EMBEDDING, "dimensions", 64),
        (EMBEDDING, "truncate_prompt_tokens", 8),
    ],
)
def test_what_asks_for_something(table: dict, name: str, value: object) -> None:
    assert acting({name: value}, table, ()) == name


def test_the_members_beside_are_not_looked_at() -> None:
    assert acting({"temperature": 1, "length_penalty": 1}, CHAT, ("temperature",)) is None


@pytest.mark.parametrize(("where", "param"), [("", "length_penalty"), ("messages[0]", "messages[0].length_penalty")])
def test_what_acts_is_refused_by_its_place(where: str, param: str) -> None:
    require({"length_penalty": 1}, CHAT, (), where)
    with pytest.raises(RequestError) as caught:
        require({"length_penalty": 2}, CHAT, (), where)
    assert caught.value.param == param
