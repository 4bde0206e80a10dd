"""The tools that a chat request offers, and its words for their use."""

from __future__ import annotations

import pytest

from tallystick.errors import RequestError
from tallystick.tasks import chat
from tallystick.tasks.tools import MAX_TOOLS, Offered, Tool, offered_in

F = {"type": "function", "function": {"name": "f"}}
G = {"type": "function", "function": {"name": "g", "description": "G.", "parameters": {"a": 1}, "strict": True}}
TOOLS = (Tool(name="f"), Tool(name="g", description="G.", parameters={"a": 1}, strict=True))


@pytest.mark.parametrize(
    ("prompt", "asked", "offered"),
    [
        ({}, {}, None),
        ({"tools": []}, {"tool_choice": "auto", "parallel_tool_calls": False}, None),
        ({"tools": [F, G]}, {}, Offered(tools=TOOLS)),
        ({"tools": (F, G)}, {"tool_choice": "auto", "parallel_tool_calls": True}, Offered(tools=TOOLS)),
        ({"tools": [F, G]}, {"tool_choice": "none"}, None),
        ({"tools": [F, G]}, {"tool_choice": "required"}, Offered(tools=TOOLS, must=True)),
        ({"tools": [F, G]}, {"parallel_tool_calls": False}, Offered(tools=TOOLS, several=False)),
        ({"tools": [F, G], "tool_choice": F}, {}, Offered(tools=TOOLS, must=True, only="f")),
    ],
)
def test_what_is_offered(prompt: dict, asked: dict, offered: Offered | None) -> None:
    assert offered_in(prompt, asked) == offered


def test_a_tool_is_told_with_its_schema_and_without_how_strictly_it_is_kept() -> None:
    function = {"name": "g", "description": "G.", "parameters": {"a": 1}}
    assert TOOLS[1].told() == {"type": "function", "function": function}
    assert TOOLS[0].told()["function"] == {"name": "f", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("count", [MAX_TOOLS, MAX_TOOLS + 1])
def test_tools_are_bounded(count: int) -> None:
    tools = [{"type": "function", "function": {"name": f"f{number}"}} for number in range(count)]
    if count == MAX_TOOLS:
        assert len(offered_in({"tools": tools}, {}).tools) == count
    else:
        with pytest.raises(RequestError, match="more than 128"):
            offered_in({"tools": tools}, {})


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
def test_arguments_of_a_history_are_given_as_an_object(arguments: object) -> None:
    call = {"id": "i", "type": "function", "index": 0, "function": {"name": "f", "arguments": arguments}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "i", "content": "ok"}]
    said, told = chat.turns_of({"messages": messages})
    assert said["tool_calls"] == [{"id": "i", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
    assert told == {"role": "tool", "content": "ok", "tool_call_id": "i", "name": "f"}


def test_a_call_that_nobody_made_is_answered_without_a_name() -> None:
    (told,) = chat.turns_of({"messages": [{"role": "tool", "tool_call_id": "i", "content": "ok"}]})
    assert "name" not in told
