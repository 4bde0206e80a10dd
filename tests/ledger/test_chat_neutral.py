"""Which values of the chat wire change nothing."""

from __future__ import annotations

import pytest

from tallystick.tasks.chat_neutral import MESSAGE, PARAMETERS, PART, acting

EVERYTHING = [(name, known) for known in (PARAMETERS, MESSAGE, PART) for name in known]


@pytest.mark.parametrize(("name", "known"), EVERYTHING)
def test_null_changes_nothing(name: str, known: dict) -> None:
    assert acting({name: None}, known, ()) is None


@pytest.mark.parametrize(("name", "known"), EVERYTHING)
def test_a_number_that_no_list_has_acts(name: str, known: dict) -> None:
    assert acting({name: 0.5}, known, ()) == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frequency_penalty", 0),
        ("frequency_penalty", 0.0),
        ("n", 1.0),
        ("logit_bias", {}),
        ("response_format", {"type": "text"}),
        ("tools", []),
        ("tools", ()),
        ("tool_choice", "auto"),
        ("parallel_tool_calls", False),
        ("metadata", {"a": "b"}),
        ("user", "somebody"),
    ],
)
def test_what_asks_for_no_more_than_nothing(name: str, value: object) -> None:
    assert acting({name: value}, PARAMETERS, ()) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frequency_penalty", False),
        ("logprobs", 0),
        ("logprobs", True),
        ("n", 2),
        ("n", True),
        ("logit_bias", {"1": 1}),
        ("response_format", {"type": "text", "strict": True}),
        ("response_format", {"type": "json_object"}),
        ("tools", [{}]),
        ("tool_choice", "required"),
        ("metadata", "a"),
        ("user", 7),
        ("temperature", None),
        ("", None),
    ],
)
def test_what_asks_for_something(name: str, value: object) -> None:
    assert acting({name: value}, PARAMETERS, ()) == name


def test_the_members_beside_are_not_looked_at() -> None:
    assert acting({"temperature": 1, "n": 1}, PARAMETERS, ("temperature",)) is None
