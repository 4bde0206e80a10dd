"""Vectors of chats in the words of other wires: what their readers give, and what their answers say (SPEC 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.record import Output, RecordFault
from tallystick.tasks import chat_output
from tests.support.vectors.bindings import FAULT, TYPE

ANTHROPIC, RESPONSES = "chat/anthropic/1", "chat/responses/1"
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
CALLS = [{"id": "abcdefghi", "name": "get_weather", "arguments": '{"town":  "Bern"}'}]


def _anthropic(**members: Any) -> tuple[str, str, str, str, bytes]:
    given = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **members}
    return ANTHROPIC, "POST", "/v1/messages", TYPE, json.dumps(given).encode()


def _responses(**members: Any) -> tuple[str, str, str, str, bytes]:
    return RESPONSES, "POST", "/v1/responses", TYPE, json.dumps({"model": "m", "input": "Hi", **members}).encode()


def requests() -> Iterator[tuple[Any, ...]]:
    """What the two readers read."""
    yield "a usual message", *_anthropic(system="Be brief.", stop_sequences=["\n"], temperature=0.5, stream=True)
    yield (
        "a message with tools",
        *_anthropic(
            system=[{"type": "text", "text": "Be "}, {"type": "text", "text": "brief.", "cache_control": {"a": 1}}],
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "Is it dry?"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"town": "Bern"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "a", "content": "Dry"},
                        {"type": "tool_result", "tool_use_id": "b"},
                        {"type": "text", "text": "And"},
                        {"type": "text", "text": " now?"},
                    ],
                },
                {"role": "assistant", "content": [{"type": "tool_use", "id": "b", "name": "f"}]},
            ],
            tools=[
                {"name": "get_weather", "description": "Of a town.", "input_schema": SCHEMA, "strict": True},
                {"name": "f", "type": "custom", "input_schema": {}, "cache_control": {"type": "ephemeral"}},
            ],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            metadata={"user_id": "ann"},
            invented_later=[1],
        ),
    )
    for kind in ("auto", "none", "tool"):
        yield f"a message with the choice {kind}", *_anthropic(tool_choice={"type": kind, "name": "f"})
    yield "a usual response", *_responses(instructions="Be brief.", max_output_tokens=9, stream=True, stream_options={})
    yield (
        "a response with tools",
        *_responses(
            input=[
                {"role": "developer", "content": "Be brief."},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Is it dry?"}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "I look."}],
                    "id": "m",
                },
                {"type": "function_call", "call_id": "a", "name": "get_weather", "arguments": '{"town": "Bern"}'},
                {"type": "function_call", "call_id": "b", "name": "f", "arguments": ""},
                {"type": "function_call_output", "call_id": "a", "output": "Dry"},
                {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "1"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            ],
            tools=[
                {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True, "description": None}
            ],
            tool_choice={"type": "function", "name": "get_weather"},
            parallel_tool_calls=False,
            text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "medium"},
            previous_response_id="resp_0",
            store=True,
        ),
    )
    yield "a response of no form", *_responses(text={"format": {"type": "text"}}, tool_choice="required")


def refused() -> Iterator[tuple[Any, ...]]:
    """What neither reads."""
    yield "a message that is fetched", "method", ANTHROPIC, "GET", "/v1/messages", TYPE, b"{}"
    yield "messages that are a text", "messages", *_anthropic(messages="Hi")
    yield "a message of the system", "messages[0]", *_anthropic(messages=[{"role": "system", "content": "Hi"}])
    yield (
        "a block that is a text",
        "messages[0].content[0]",
        *_anthropic(messages=[{"role": "user", "content": ["Hi"]}]),
    )
    yield "a system that is a number", "system", *_anthropic(system=1)
    yield "stops that are a number", "stop", *_anthropic(stop_sequences=1)
    yield "a tool of the server", "tools[0].type", *_anthropic(tools=[{"type": "web_search", "name": "a"}])
    yield "a tool without a schema", "tools[0].input_schema", *_anthropic(tools=[{"name": "a"}])
    yield "a choice that is a text", "tool_choice", *_anthropic(tool_choice="auto")
    yield "a choice of nothing", "tool_choice.type", *_anthropic(tool_choice={"type": "often"})
    alone = {"type": "auto", "disable_parallel_tool_use": 1}
    yield "a choice that is half alone", "tool_choice.disable_parallel_tool_use", *_anthropic(tool_choice=alone)
    yield "an input of nothing", "input", *_responses(input=None)
    yield "an item that is a text", "input[0]", *_responses(input=["Hi"])
    yield "an item by its name", "input[0].type", *_responses(input=[{"type": "item_reference", "id": "a"}])
    yield "an item of a tool", "input[0].role", *_responses(input=[{"role": "tool", "content": "a"}])
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "a"}]}]
    yield "an item with an image", "input[0].content[0].type", *_responses(input=image)
    yield "instructions that are a list", "instructions", *_responses(instructions=[])
    yield "a function of the server", "tools[0].type", *_responses(tools=[{"type": "web_search"}])
    yield "a function with more", "tools[0].later", *_responses(tools=[{"type": "function", "name": "f", "later": 1}])
    yield "a text with more", "text.later", *_responses(text={"later": 1})


def _stream(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    """Answers of both wires."""
    said, called = chat_output("Dry.", "stop"), chat_output("I look.", "tool_calls", CALLS)
    alone = chat_output(None, "length", CALLS)
    text, use = {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "abcdefghi", "name": "get_weather"}
    written = CALLS[0]["arguments"]

    def message(*content: Any, reason: str = "end_turn", **more: Any) -> str:
        return json.dumps({"type": "message", "content": list(content), "stop_reason": reason, **more})

    yield "a message", False, message({"type": "text", "text": "Dry."}), None, (said,)
    block = {**use, "input": {"town": "Bern"}}
    yield (
        "a message with a call",
        False,
        message(text, block, reason="tool_use", tool_arguments=[written]),
        None,
        (called,),
    )
    cut = message(block, reason="max_tokens", tool_arguments=[written])
    yield "a message that is a call", False, cut, None, (alone,)
    failed = {"type": "error", "error": {"type": "api_error", "message": FAULT.message, "code": FAULT.code}}
    yield "a message that failed", False, json.dumps(failed), FAULT, ()
    pieces = [
        {"type": "message_start", "message": {"content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "look."}},
        {"type": "content_block_stop", "index": 0},
    ]
    call = [
        {"type": "content_block_start", "index": 1, "content_block": {**use, "input": {}}},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": part}}
            for part in (written[:4], written[4:])
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]
    yield "a stream of a message", True, _stream(*pieces, *call), None, (called,)
    yield "a stream of a message that failed", True, _stream(*pieces, failed), FAULT, (chat_output("I look.", None),)

    item = {"type": "function_call", "call_id": "abcdefghi", "name": "get_weather", "arguments": written}

    def response(*output: Any, status: str = "completed") -> dict[str, Any]:
        return {"object": "response", "status": status, "output": list(output)}

    def spoken(*texts: str) -> dict[str, Any]:
        return {"type": "message", "content": [{"type": "output_text", "text": one} for one in texts]}

    yield "a response", False, json.dumps(response(spoken("Dr", "y."))), None, (said,)
    yield "a response with a call", False, json.dumps(response(spoken("I look."), item)), None, (called,)
    yield "a response that is a call", False, json.dumps(response(item, status="incomplete")), None, (alone,)
    events = [
        {"type": "response.created", "response": response(status="in_progress")},
        {"type": "response.output_item.added", "item": {"id": "i", "type": "message"}},
        {"type": "response.output_text.delta", "item_id": "i", "delta": "I look."},
        {"type": "response.completed", "response": response(spoken("I look."), item)},
    ]
    yield "a stream of a response", True, _stream(*events), None, (called,)
