"""Tools over `POST /v1/chat/completions`: what the model is told, what leaves, what is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.tasks import disagreements, read, received_answer, received_stream
from tallystick_platform import tasks
from tallystick_platform.protocol import Piece, TokenEntry
from tallystick_platform.tasks.chat import call_id
from tests.support.api import CHAT, Api, events_of
from tests.support.exchange import MODEL, PLACEMENT, Script
from tests.support.tool_templates import CLOCK, TEMPLATES, WEATHER, written

ASKED = {"model": MODEL.id, "messages": [{"role": "user", "content": "Is it dry?"}], "tools": [WEATHER, CLOCK]}
ARGUMENTS = '{"town": "Bern", "days": 2}'
every_form = pytest.mark.parametrize("form", list(TEMPLATES))


def calling(form: str | None, *texts: str, **script: Any) -> Api:
    """A service whose model answers with these texts and writes calls in this way."""
    api = Api(Script(texts=texts or ("Hello", " world"), **script))
    api.dispatcher.placement = replace(PLACEMENT, model=msgspec.structs.replace(MODEL, tool_format=form))
    return api


def in_threes(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def check_record(api: Api) -> None:
    """The record is what the request says, and a replay gives the engine the same."""
    record = decode_record(encode_record(api.journal.only))
    request = record.request
    assert disagreements(record, read(request.reader, "POST", request.target, None, request.body)) == []
    given, used = tasks.CHAT.again(read(request.reader, "POST", "/", None, request.body).prompt, record.parameters)
    given = tasks.CHAT.fitted(given, used, api.dispatcher.placement.model)
    assert tasks.CHAT.call(given, used) == api.dispatcher.calls[0].body


@every_form
async def test_calls_are_answered_and_recorded(form: str) -> None:
    text = written(form, ("get_weather", ARGUMENTS), ("get_time", "{}"))
    api = calling(form, *in_threes(text))
    async with api.client() as client:
        body = (await client.post(CHAT, json=ASKED)).json()
    record = api.journal.only
    calls = [
        {"id": call_id(record.id, 0, 0), "name": "get_weather", "arguments": ARGUMENTS},
        {"id": call_id(record.id, 0, 1), "name": "get_time", "arguments": "{}"},
    ]
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [{"id": one["id"], **one["function"]} for one in choice["message"]["tool_calls"]] == calls
    assert record.response.outputs[0].content == {"role": "assistant", "content": None, "tool_calls": calls}
    assert received_answer(body).outputs == record.response.outputs
    assert record.prompt["tools"] == [WEATHER, CLOCK]
    check_record(api)


@every_form
async def test_a_stream_says_the_same_in_pieces(form: str) -> None:
    api = calling(form, *in_threes(written(form, ("get_weather", ARGUMENTS))))
    async with api.client() as client:
        events = events_of((await client.post(CHAT, json=ASKED | {"stream": True})).text)
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert deltas[0] == {"role": "assistant", "content": None}
    first, *more = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert (first["type"], first["function"]) == ("function", {"name": "get_weather", "arguments": ""})
    assert len(more) > 5
    assert "".join(piece["function"]["arguments"] for piece in more) == ARGUMENTS
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert received_stream(events[:-1]).outputs == api.journal.only.response.outputs
    check_record(api)


@pytest.mark.parametrize("stream", [True, False])
async def test_text_and_calls_may_stand_together(stream: bool) -> None:
    text = "Let me look.\n" + written("hermes", ("get_time", "{}")) + "\nSo."
    api = calling("hermes", *in_threes(text))
    async with api.client() as client:
        reply = await client.post(CHAT, json=ASKED | {"stream": stream})
    outputs = received_stream(events_of(reply.text)[:-1]).outputs if stream else received_answer(reply.json()).outputs
    assert outputs == api.journal.only.response.outputs
    assert outputs[0].content["content"] == "Let me look.So."
    assert len(outputs[0].content["tool_calls"]) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("texts", [("Hello", " world\n"), ("<tool_call>{no", "}</tool_call>"), ("",)])
async def test_what_is_no_call_stays_text(texts: tuple[str, ...], stream: bool) -> None:
    api = calling("hermes", *texts)
    async with api.client() as client:
        reply = await client.post(CHAT, json=ASKED | {"stream": stream})
    received = received_stream(events_of(reply.text)[:-1]) if stream else received_answer(reply.json())
    assert received.outputs == api.journal.only.response.outputs
    (output,) = received.outputs
    assert output.content == {"role": "assistant", "content": "".join(texts) or None, "tool_calls": []}
    assert output.finish_reason == "stop"


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_are_shown_of_calls_too(stream: bool) -> None:
    pieces = [
        Piece(b"", text, {}, 0, 0, [TokenEntry(text, text.encode(), -0.5)])
        for text in in_threes(written("hermes", ("get_time", "{}")))
    ]
    api = calling("hermes", *pieces)
    async with api.client() as client:
        reply = await client.post(CHAT, json=ASKED | {"stream": stream, "logprobs": True})
    received = received_stream(events_of(reply.text)[:-1]) if stream else received_answer(reply.json())
    assert received.outputs == api.journal.only.response.outputs
    assert [one["token"] for one in received.outputs[0].logprobs["content"]] == [piece.data for piece in pieces]


async def test_a_call_that_was_cut_short_says_so() -> None:
    api = calling("hermes", '<tool_call>{"name": "get_time", "arguments": {"a', finish_reason="length")
    async with api.client() as client:
        (choice,) = (await client.post(CHAT, json=ASKED)).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a'


async def test_several_answers_have_calls_of_their_own() -> None:
    call = written("hermes", ("get_time", "{}"))
    api = calling("hermes", *(Piece(b"", call, {}, 0, at) for at in (1, 0)))
    async with api.client() as client:
        choices = (await client.post(CHAT, json=ASKED | {"n": 2})).json()["choices"]
    assert len({choice["message"]["tool_calls"][0]["id"] for choice in choices}) == 2


async def test_the_model_is_told_of_tools_calls_and_results() -> None:
    history = [
        {"role": "user", "content": "Is it dry?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "get_time", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "Noon"}]},
    ]
    api = calling("hermes")
    async with api.client() as client:
        assert (await client.post(CHAT, json=ASKED | {"messages": history})).status_code == 200
    (told,) = api.dispatcher.texts
    call = {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": {"a": 1}}}
    assert told.turns[1:] == (
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "Noon", "tool_call_id": "a", "name": "get_time"},
    )
    empty = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
    assert told.tools == (WEATHER, empty)
    assert told.structure is None
    check_record(api)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}, pytest.param(None, id="strict")]
)
async def test_an_answer_that_must_call_is_held_to_a_grammar(choice: Any) -> None:
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    api = calling("hermes")
    async with api.client() as client:
        asked = ASKED | {"tools": [strict if choice is None else WEATHER, CLOCK], "tool_choice": choice}
        assert (await client.post(CHAT, json=asked)).status_code == 200
    (told,) = api.dispatcher.texts
    assert (told.structure.kind, told.structure.param) == ("grammar", "tools")
    assert ("get_time" in told.structure.source) == (not isinstance(choice, dict))
    check_record(api)


async def test_a_model_is_not_told_of_tools_that_it_may_not_call() -> None:
    call = written("hermes", ("get_time", "{}"))
    api = calling("hermes", call)
    async with api.client() as client:
        reply = await client.post(CHAT, json=ASKED | {"tool_choice": "none"})
    assert api.dispatcher.texts[0].tools == ()
    assert reply.json()["choices"][0]["message"] == {"role": "assistant", "content": call}
    check_record(api)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({}, "tools"),
        ({"tools": None, "messages": [{"role": "tool", "content": "a", "tool_call_id": "a"}]}, "messages[0].role"),
    ],
)
async def test_a_model_without_a_way_to_call_refuses_tools_by_name(changes: dict, param: str) -> None:
    async with (api := calling(None)).client() as client:
        reply = await client.post(CHAT, json=ASKED | changes)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert "template" in error["message"]
    assert api.journal.admitted == 0


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "later": 1}}]}, "tools[0].function.later"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"tools": [{"type": "function", "function": {"name": "a", "strict": 1}}]}, "tools[0].function.strict"),
        ({"tools": [{"type": "function", "function": {"name": "a", "description": 1}}]}, "tools[0].function.description"),
        ({"tools": [CLOCK, CLOCK]}, "tools[1].function.name"),
        ({"tools": [CLOCK] * 129}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": None, "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "often"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "h"}}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"guided_regex": "a+"}, "guided_regex"),
        ({"keep_alive": "5m"}, "keep_alive"),
        ({"options": {"num_ctx": 8}}, "options"),
        ({"think": True}, "think"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [CALL]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "[]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]}, "messages[0].tool_calls[0].type"),
    ],
)  # fmt: skip
async def test_what_is_not_offered_is_refused_by_its_place(changes: dict, param: str) -> None:
    async with (api := calling("hermes")).client() as client:
        reply = await client.post(CHAT, json=ASKED | changes)
    assert reply.status_code == 400, reply.text
    named = reply.json()["error"]["param"]
    assert param == named or param.startswith(f"{named}") or named.startswith(param), named
    assert api.journal.admitted == 0
