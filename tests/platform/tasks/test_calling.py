"""Grammars that hold an answer to the tools that were offered."""

from __future__ import annotations

from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from tallystick.errors import RequestError
from tallystick.tasks.structure import Structure
from tallystick.tasks.tools import Offered, Tool
from tallystick_platform.tasks.calling import MAX_CALLS, check_tools, held_to
from tallystick_platform.tasks.structure import grammar_of
from tests.support.tiny_model import tiny_tokenizer
from tests.support.tool_templates import TEMPLATES, written

NUMBER = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
F, G = Tool(name="f", parameters=NUMBER), Tool(name="g")
STRICT = Tool(name="f", parameters=NUMBER, strict=True)
ARRAY = Structure(kind="json_schema", source='{"type": "array"}')
TOKENS = LLTokenizer(tiny_tokenizer().to_str())
every_form = pytest.mark.parametrize("form", list(TEMPLATES))


def takes(held: Structure | None, text: str) -> bool:
    """Whether the whole text may be an answer."""
    assert held is not None
    matcher, tokens = LLMatcher(TOKENS, grammar_of(held)), TOKENS.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@every_form
@pytest.mark.parametrize(
    ("offered", "structure", "taken"),
    [
        (Offered(tools=(F, G), must=True), None, {"call", "two", "other"}),
        (Offered(tools=(F, G), must=True), ARRAY, {"call", "two", "other"}),
        (Offered(tools=(F, G), must=True, several=False), None, {"call", "other"}),
        (Offered(tools=(F, G), must=True, only="f"), None, {"call"}),
        (Offered(tools=(STRICT, G)), None, {"call", "two", "other", "text", "list", "nothing"}),
        (Offered(tools=(STRICT, G)), ARRAY, {"call", "two", "other", "list"}),
        (Offered(tools=(STRICT, G), several=False), None, {"call", "other", "text", "list", "nothing"}),
        (Offered(tools=(F, G), several=False), None, {"call", "wrong", "other", "text", "list", "nothing"}),
    ],
)
def test_an_answer_keeps_to_what_was_offered(form: str, offered: Offered, structure: Any, taken: set[str]) -> None:
    held = held_to(offered, structure, form)
    answers = {
        "call": written(form, ("f", '{"a": 1}')),
        "two": written(form, ("f", '{"a": 1}'), ("g", "{}")),
        "other": written(form, ("g", "{}")),
        "wrong": written(form, ("f", '{"a": "1"}')),
        "unknown": written(form, ("h", "{}")),
        "text": "Hello, I call nothing.",
        "list": "[1]",
        "nothing": "",
    }
    assert {name for name, answer in answers.items() if takes(held, answer)} == taken


@every_form
def test_a_model_that_is_free_is_held_to_nothing(form: str) -> None:
    assert held_to(Offered(tools=(F, G)), None, form) is None


@every_form
def test_calls_of_one_answer_are_bounded(form: str) -> None:
    held = held_to(Offered(tools=(G,), must=True), None, form)
    assert takes(held, written(form, *[("g", "{}")] * MAX_CALLS))
    assert not takes(held, written(form, *[("g", "{}")] * (MAX_CALLS + 1)))


def test_a_form_that_is_no_json_does_not_stand_beside_tools() -> None:
    expression = Structure(kind="regex", source="a+", param="guided_regex")
    with pytest.raises(RequestError) as caught:
        held_to(Offered(tools=(F,)), expression, "hermes")
    assert caught.value.param == "guided_regex"


@pytest.mark.parametrize("schema", [{"$ref": "https://example.org/a"}, {"type": "nothing"}])
def test_a_schema_that_cannot_be_kept_to_is_refused_by_its_place(schema: dict) -> None:
    tools = (G, Tool(name="f", parameters=schema, strict=True))
    with pytest.raises(RequestError) as caught:
        check_tools(Offered(tools=tools))
    assert caught.value.param == "tools[1].function.parameters"


def test_a_schema_that_nothing_is_held_to_is_not_looked_at() -> None:
    check_tools(Offered(tools=(Tool(name="f", parameters={"type": "nothing"}),)))
