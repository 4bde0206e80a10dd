"""`POST /v1/messages`, by the `anthropic` package and by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.evidence_files import recognise, response_hash_received
from tallystick.tasks import disagreements, read, received_answer, received_stream
from tallystick_platform.errors import EngineFailed, QueueFull
from tests.platform.api.test_chat_tools import ARGUMENTS, calling, in_threes
from tests.support.api import MESSAGES, TOKEN, Api
from tests.support.exchange import MODEL, Script
from tests.support.tool_templates import WEATHER, written

FUNCTION = WEATHER["function"]
TOOL = {"name": FUNCTION["name"], "description": FUNCTION["description"], "input_schema": FUNCTION["parameters"]}
HI = [{"role": "user", "content": "Hi"}]
ASKED: dict[str, Any] = {"model": MODEL.id, "max_tokens": 60, "messages": HI}


@asynccontextmanager
async def client_of(api: Api, token: str = TOKEN) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with (
        api.serving() as url,
        anthropic.AsyncAnthropic(base_url=url, api_key=token, max_retries=0) as client,
    ):
        yield client


def check_record(api: Api) -> None:
    """The record says what the request does."""
    record = decode_record(encode_record(api.journal.only))
    request = record.request
    assert request.reader == "chat/anthropic/1"
    assert disagreements(record, read(request.reader, "POST", request.target, None, request.body)) == []


def saved(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


async def test_a_whole_answer() -> None:
    async with client_of(api := Api()) as client:
        answer = await client.messages.create(
            **ASKED,
            system="Be brief.",
            stop_sequences=["x"],
            metadata={"user_id": "a"},
            extra_body={"temperature": 0, "top_p": 0.9, "top_k": 5},
        )
    assert [block.text for block in answer.content] == ["Hello world"]
    assert (answer.role, answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == (
        "assistant", "end_turn", 7, 2,
    )  # fmt: skip
    record = api.journal.only
    assert answer.id == "msg_" + record.id.hex()
    assert record.instructions.system == "Be brief."
    assert {name: record.parameters[name] for name in ("temperature", "top_p", "top_k", "max_tokens", "stop")} == {
        "temperature": 0, "top_p": 0.9, "top_k": 5, "max_tokens": 60, "stop": ["x"],
    }  # fmt: skip
    (told,) = api.dispatcher.texts
    assert told.turns == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"})
    check_record(api)


async def test_a_stream_as_the_package_puts_it_together() -> None:
    async with client_of(Api()) as client, client.messages.stream(**ASKED) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert texts == ["Hello", " world"]
    assert (final.content[0].text, final.stop_reason, final.usage.output_tokens) == ("Hello world", "end_turn", 2)


async def test_a_call_its_result_and_what_follows() -> None:
    text = "Let me look.\n" + written("hermes", (FUNCTION["name"], ARGUMENTS))
    async with client_of(api := calling("hermes", *in_threes(text))) as client:
        answer = await client.messages.create(**ASKED, tools=[TOOL], tool_choice={"type": "auto"})
        said, call = answer.content
        assert (said.text, call.name, call.input) == ("Let me look.", "get_weather", json.loads(ARGUMENTS))
        assert answer.stop_reason == "tool_use"
        check_record(api)
        history = [
            *HI,
            {"role": "assistant", "content": answer.content},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": "Dry"},
                    {"type": "text", "text": "And?"},
                ],
            },
        ]
        await client.messages.create(**{**ASKED, "messages": history}, tools=[TOOL])
    told = api.dispatcher.texts[1]
    assert [turn["role"] for turn in told.turns] == ["user", "assistant", "tool", "user"]
    assert told.turns[1]["tool_calls"][0]["function"] == {"name": call.name, "arguments": call.input}
    assert told.turns[2] == {"role": "tool", "content": "Dry", "tool_call_id": call.id, "name": call.name}
    assert told.tools == (WEATHER,)


async def test_a_streamed_call() -> None:
    text = "So.\n" + written("hermes", (FUNCTION["name"], ARGUMENTS))
    async with (
        client_of(calling("hermes", *in_threes(text))) as client,
        client.messages.stream(**ASKED, tools=[TOOL]) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert final.content[1].input == json.loads(ARGUMENTS)
    assert kinds.count("input_json") > 5


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "texts",
    [
        ("Hello", " world"),
        ("",),
        (written("hermes", (FUNCTION["name"], ARGUMENTS)),),
        ("A", written("hermes", ("get_weather", '{"a":  1,}'), ("get_weather", "{}")), "B"),
    ],
)
@pytest.mark.parametrize("tools", [[TOOL], None])
async def test_a_saved_answer_proves_its_record(texts: tuple[str, ...], tools: list | None, stream: bool) -> None:
    async with (api := calling("hermes", *texts)).client() as client:
        reply = await client.post(MESSAGES, json=ASKED | {"tools": tools, "stream": stream})
    assert reply.status_code == 200, reply.text
    received = received_stream(saved(reply.text)) if stream else received_answer(reply.json())
    assert received.whole
    assert received.outputs == api.journal.only.response.outputs
    known = recognise(reply.content)
    assert response_hash_received(known) == known.receipt.receipt.response_hash


async def test_what_arrived_of_a_broken_stream_is_a_beginning() -> None:
    async with Api().client() as client:
        events = saved((await client.post(MESSAGES, json=ASKED | {"stream": True})).text)
    received = received_stream(events[:3])
    assert not received.whole
    assert received.outputs[0].content["content"] == "Hello"


@pytest.mark.parametrize(
    ("choice", "parallel", "told"),
    [
        ({"type": "any"}, None, "required"),
        ({"type": "none"}, None, "none"),
        ({"type": "auto", "disable_parallel_tool_use": True}, False, "auto"),
    ],
)
async def test_a_choice_of_tools_is_recorded_in_the_words_of_chats(choice: dict, parallel: Any, told: str) -> None:
    async with (api := calling("hermes")).client() as client:
        reply = await client.post(MESSAGES, json=ASKED | {"tools": [TOOL], "tool_choice": choice})
    assert reply.status_code == 200, reply.text
    parameters = api.journal.only.parameters
    assert (parameters["tool_choice"], parameters.get("parallel_tool_calls")) == (told, parallel)
    check_record(api)


@pytest.mark.parametrize(
    ("given", "kind", "param"),
    [
        ({"model": "nobody"}, anthropic.NotFoundError, "model"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "max_tokens"),
        ({"extra_body": {"temperature": 1.5}}, anthropic.BadRequestError, "temperature"),
        ({"messages": [{"role": "system", "content": "a"}]}, anthropic.BadRequestError, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            anthropic.BadRequestError,
            "messages[0].content[0].type",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            anthropic.BadRequestError,
            "tools[0].type",
        ),
        ({"tools": [TOOL]}, anthropic.BadRequestError, "tools"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, anthropic.BadRequestError, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, anthropic.BadRequestError, "thinking"),
        ({"extra_body": {"wish": 1}}, anthropic.BadRequestError, "wish"),
    ],
)
async def test_refusals_are_the_packages_own_errors(
    given: dict, kind: type[anthropic.APIStatusError], param: str
) -> None:
    async with client_of(Api()) as client:
        with pytest.raises(kind) as caught:
            await client.messages.create(**(ASKED | given))
    body = caught.value.body
    assert (body["type"], body["error"]["message"] != "") == ("error", True)
    assert str(body["error"]["param"]).startswith(param.partition(".")[0].partition("[")[0])


async def test_a_wrong_key_is_the_packages_own_error() -> None:
    async with client_of(Api(), token="tsk_nobody") as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await client.messages.create(**ASKED)
    assert caught.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (EngineFailed(reason="broken"), anthropic.InternalServerError, "api_error"),
        (QueueFull(limit=1), anthropic.RateLimitError, "rate_limit_error"),
    ],
)
async def test_failures_are_told_with_their_record(error: Exception, kind: type, told: str) -> None:
    async with client_of(api := Api(Script(texts=(), error=error))) as client:
        with pytest.raises(kind) as caught:
            await client.messages.create(**ASKED)
    body = caught.value.body
    assert body["error"]["type"] == told
    assert received_answer(body).error == api.journal.only.error


async def test_a_failure_within_a_stream_is_its_last_event() -> None:
    async with Api(Script(error=EngineFailed(reason="broken"))).client() as client:
        events = saved((await client.post(MESSAGES, json=ASKED | {"stream": True})).text)
    assert (events[-1]["type"], events[-1]["error"]["code"]) == ("error", "engine_failed")
    assert received_stream(events).error.code == "engine_failed"
