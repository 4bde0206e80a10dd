"""Calls of tools in what models write."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_platform.tasks.tool_calls import CallPiece, CallReader, tool_format_of
from tests.support.tool_templates import TEMPLATES, written

FORMS = tuple(TEMPLATES)
TOOLS = ("f", "g")
every_form = pytest.mark.parametrize("form", FORMS)


def read(form: str, pieces: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """The text and the calls of an answer."""
    reader = CallReader(form, TOOLS, lambda index: f"call{index}")
    parts = [part for piece in pieces for part in reader.push(piece)] + reader.flush()
    calls: list[list[str]] = []
    for part in parts:
        if isinstance(part, CallPiece):
            if part.id is not None:
                assert (part.id, part.index) == (f"call{len(calls)}", len(calls))
                calls.append([str(part.name), ""])
            calls[part.index][1] += part.arguments
    return "".join(part for part in parts if isinstance(part, str)), [tuple(call) for call in calls]


CASES = [
    *((form, written(form, ("f", '{"a": "}\\"{"}'), ("g", "{}")), "", [("f", '{"a": "}\\"{"}'), ("g", "{}")]) for form in FORMS),
    *((form, written(form, ("h", "{}")), written(form, ("h", "{}")), []) for form in FORMS),
    *((form, "It is {\"name\": \"f\"} \n", "It is {\"name\": \"f\"} \n", []) for form in FORMS),
    *((form, "", "", []) for form in FORMS),
    ("hermes", "Let me see.\n\n" + written("hermes", ("f", "{}")) + "\n Done.", "Let me see.Done.", [("f", "{}")]),
    ("hermes", '<tool_call>{"arguments": {"a": [1]}, "name": "f"}</tool_call>', "", [("f", '{"a": [1]}')]),
    ("hermes", '<tool_call>{"name": "f"}</tool_call>', "", [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "\\u0066", "arguments": {}}', "", [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": 1', "", [("f", '{"a": 1')]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {"a": 1}\n</tool_call> more', "more", [("f", '{"a": 1}')]),
    ("hermes", '<tool_call>{"name": "f", "arguments": {}, "b": [', ', "b": [', [("f", "{}")]),
    ("hermes", '<tool_call>{"name": "f", "arguments": []}</tool_call>', '<tool_call>{"name": "f", "arguments": []}</tool_call>', []),
    ("hermes", '<tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>', "<tool_call>", [("g", "{}")]),
    ("hermes", 'a <tool_cal', "a <tool_cal", []),
    ("hermes", '<tool_call>{"name": "f"', '<tool_call>{"name": "f"', []),
    ("hermes", "<tool_call>no</tool_call>", "<tool_call>no</tool_call>", []),
    ("llama3", '<|python_tag|>{"name": "f", "parameters": {}}', "", [("f", "{}")]),
    ("llama3", "<|python_tag|>print()", "<|python_tag|>print()", []),
    ("llama3", '{"name": "f", "parameters": {}} and {"name": "g", "parameters": {}}', 'and {"name": "g", "parameters": {}}', [("f", "{}")]),
    ("llama3", '{"name": "f", "parameters": {}}; but', "; but", [("f", "{}")]),
    ("llama3", ' {"a": 1}', ' {"a": 1}', []),
    ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {}, "id": "abcdefghi"}]', "", [("f", "{}")]),
    ("mistral", '[TOOL_CALLS][{"name": "f", "arguments": {}}, 7]', ", 7]", [("f", "{}")]),
    ("mistral", "Hi [TOOL_CALLS]x", "Hi [TOOL_CALLS]x", []),
]  # fmt: skip


@pytest.mark.parametrize(("form", "answer", "text", "calls"), CASES)
def test_an_answer_is_read_the_same_however_it_is_cut(form: str, answer: str, text: str, calls: list) -> None:
    assert read(form, [answer]) == (text, calls)
    assert read(form, list(answer)) == (text, calls)
    for at in range(len(answer)):
        assert read(form, [answer[:at], answer[at:]]) == (text, calls), at


def test_arguments_come_as_they_are_written() -> None:
    reader = CallReader("hermes", TOOLS, str)
    assert reader.push('<tool_call>{"name": "f", "arguments": ') == []
    assert reader.push('{"a"') == [CallPiece(0, "", "0", "f"), CallPiece(0, '{"a"')]
    assert reader.push(": 1") == [CallPiece(0, ": 1")]
    assert reader.push("}}") == [CallPiece(0, "}")]


@every_form
@given(text=st.text(alphabet='<>[]{}",:; \n\\afTOOL_CSnametoolcrgus/|pyhi', max_size=60), cut=st.integers(0, 60))
def test_no_text_is_lost_that_holds_no_call(form: str, text: str, cut: int) -> None:
    said, calls = read(form, [text[:cut], text[cut:]])
    assert calls or said == text
    assert (said, calls) == read(form, list(text))


@every_form
def test_a_family_is_known_by_its_template(form: str) -> None:
    assert tool_format_of(TEMPLATES[form]) == form


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ messages }}",
        "{{ messages }} <tool_call>",
        "{% for tool in tools %}{{ tool }}{% endfor %}",
        "{{ tools }}<tool_call><function=f>",
        "{{ tools }}<tool_call>f<arg_key>",
        "{{ tools }}[TOOL_CALLS]f[ARGS]{}",
    ],
)
def test_a_template_with_no_way_that_is_known_has_none(template: str | None) -> None:
    assert tool_format_of(template) is None
