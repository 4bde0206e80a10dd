"""`POST /v1/responses`, by the `openai` package and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import openai
import pydantic
import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.evidence_files import recognise, response_hash_received
from tallystick.tasks import disagreements, read, received_answer, received_stream
from tallystick_platform.errors import EngineFailed
from tests.platform.api.test_chat_tools import ARGUMENTS, calling, in_threes
from tests.platform.api.test_messages import saved
from tests.platform.api.test_openai_client import client_of
from tests.support.api import CHAT, HI, OTHER_TOKEN, RESPONSES, Api
from tests.support.exchange import MODEL, Script
from tests.support.tool_templates import WEATHER, written

TOOL: dict[str, Any] = {"type": "function", **WEATHER["function"], "strict": False}
ASKED: dict[str, Any] = {"model": MODEL.id, "input": "Hi"}


def check_records(api: Api) -> None:
    """The records say what the requests do."""
    for one in api.journal.records:
        record = decode_record(encode_record(one))
        request = record.request
        assert request.reader == "chat/responses/1"
        assert disagreements(record, read(request.reader, "POST", request.target, None, request.body)) == []


async def test_a_whole_answer() -> None:
    async with client_of(api := Api()) as client:
        answer = await client.responses.create(
            **ASKED, instructions="Be brief.", max_output_tokens=60, temperature=0, top_p=0.9, store=False
        )
    record = api.journal.only
    assert (answer.id, answer.status, answer.output_text) == ("resp_" + record.id.hex(), "completed", "Hello world")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 2, 9)
    assert record.instructions.system == "Be brief."
    assert {name: record.parameters[name] for name in ("temperature", "top_p", "max_tokens")} == {
        "temperature": 0,
        "top_p": 0.9,
        "max_tokens": 60,
    }
    check_records(api)


async def test_a_stream_as_the_package_puts_it_together() -> None:
    async with client_of(api := Api()) as client, client.responses.stream(**ASKED) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["Hello", " world"]
    assert (final.output_text, final.status) == ("Hello world", "completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    check_records(api)


async def test_a_structured_answer_is_parsed() -> None:
    class Colour(pydantic.BaseModel):
        name: str

    async with client_of(api := Api(Script(texts=('{"name": ', '"red"}')))) as client:
        answer = await client.responses.parse(**ASKED, text_format=Colour)
        chat = await client.chat.completions.parse(model=MODEL.id, messages=HI["messages"], response_format=Colour)
    assert answer.output_parsed == chat.choices[0].message.parsed == Colour(name="red")
    assert [told.structure.kind for told in api.dispatcher.texts] == ["json_schema"] * 2
    assert api.dispatcher.texts[0].structure == replace(api.dispatcher.texts[1].structure)


async def test_a_call_its_result_and_what_follows() -> None:
    text = written("hermes", ("get_weather", ARGUMENTS))
    async with client_of(api := calling("hermes", *in_threes(text))) as client:
        answer = await client.responses.create(**ASKED, tools=[TOOL], tool_choice="auto")
        (call,) = answer.output
        assert (call.type, call.name, call.arguments, call.status) == (
            "function_call", "get_weather", ARGUMENTS, "completed",
        )  # fmt: skip
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "Dry"}
        history = [{"role": "user", "content": "Hi"}, *(one.to_dict() for one in answer.output), result]
        await client.responses.create(model=MODEL.id, input=history, tools=[TOOL])
        await client.responses.create(model=MODEL.id, input=[result], previous_response_id=answer.id, tools=[TOOL])
    sent, followed = api.dispatcher.texts[1:]
    assert [turn["role"] for turn in sent.turns] == ["user", "assistant", "tool"]
    assert sent.turns == followed.turns
    check_records(api)


async def test_a_streamed_call() -> None:
    text = "So.\n" + written("hermes", ("get_weather", ARGUMENTS))
    async with client_of(calling("hermes", *in_threes(text))) as client:
        stream = await client.responses.create(**ASKED, tools=[TOOL], stream=True)
        events = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(deltas) > 5
    assert "".join(deltas) == ARGUMENTS
    done = events[-1].response
    assert [item.type for item in done.output] == ["message", "function_call"]
    assert events[-1].model_extra["tallystick"]["index"] == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("Hello", " world"), "stop"),
        (("Hello",), "length"),
        (("",), "stop"),
        ((written("hermes", ("get_weather", ARGUMENTS)),), "stop"),
        (("A", written("hermes", ("get_weather", '{"a":  1,}'), ("get_weather", "{}")), "B"), "stop"),
    ],
)
@pytest.mark.parametrize("tools", [[TOOL], None])
async def test_a_saved_answer_proves_its_record(texts: tuple, reason: str, tools: list | None, stream: bool) -> None:
    async with (api := calling("hermes", *texts, finish_reason=reason)).client() as client:
        reply = await client.post(RESPONSES, json=ASKED | {"tools": tools, "stream": stream})
    assert reply.status_code == 200, reply.text
    received = received_stream(saved(reply.text)) if stream else received_answer(reply.json())
    assert received.whole
    assert received.outputs == api.journal.only.response.outputs
    known = recognise(reply.content)
    assert response_hash_received(known) == known.receipt.receipt.response_hash


async def test_what_arrived_of_a_broken_stream_is_a_beginning() -> None:
    async with Api().client() as client:
        events = saved((await client.post(RESPONSES, json=ASKED | {"stream": True})).text)
    received = received_stream(events[:5])
    assert not received.whole
    assert received.outputs[0].content["content"] == "Hello"


async def test_a_conversation_goes_on_behind_the_instructions_of_each_request() -> None:
    async with client_of(api := Api()) as client:
        first = await client.responses.create(**ASKED, instructions="Be brief.")
        second = await client.responses.create(model=MODEL.id, input="And?", previous_response_id=first.id)
        await client.responses.create(
            model=MODEL.id, input="So?", previous_response_id=second.id, instructions="Be long.", stream=True
        )
        assert second.previous_response_id == first.id
    turns = [[(turn["role"], turn["content"]) for turn in told.turns] for told in api.dispatcher.texts]
    said = [("user", "Hi"), ("assistant", "Hello world"), ("user", "And?")]
    assert turns[0] == [("system", "Be brief."), ("user", "Hi")]
    assert turns[1] == said
    assert turns[2] == [("system", "Be long."), *said, ("assistant", "Hello world"), ("user", "So?")]
    assert api.journal.records[1].parameters["previous_response_id"] == first.id
    assert api.journal.records[1].prompt == {"messages": [{"role": "user", "content": "And?"}]}
    check_records(api)


async def test_answers_that_are_not_ones_own_or_no_responses_are_not_gone_on_from() -> None:
    async with (api := Api()).client() as client:
        own = (await client.post(RESPONSES, json=ASKED)).json()["id"]
        other = "resp_" + (await client.post(CHAT, json=HI)).json()["id"].removeprefix("chatcmpl-")
        replies = [
            await client.post(RESPONSES, json=ASKED | {"previous_response_id": one})
            for one in (other, "resp_" + "0" * 32, "nothing")
        ]
    async with api.client(authorization=f"Bearer {OTHER_TOKEN}") as stranger:
        replies.append(await stranger.post(RESPONSES, json=ASKED | {"previous_response_id": own}))
    errors = [reply.json()["error"] for reply in replies]
    assert [reply.status_code for reply in replies] == [400] * 4
    assert {error["param"] for error in errors} == {"previous_response_id"}
    assert [error["code"] for error in errors] == ["invalid_value", *["previous_response_not_found"] * 3]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "a"}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://a"}]}]}, "input[0].content[0].type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].type"),
        ({"tools": [TOOL]}, "tools"),
        ({"text": {"format": {"type": "grammar"}}}, "response_format.type"),
        ({"text": {"later": 1}}, "text.later"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "a"}}, "prompt"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"extra_body": {"wish": 1}}, "wish"),
    ],
)  # fmt: skip
async def test_what_is_not_offered_is_refused_by_name(given: dict, param: str) -> None:
    async with client_of(api := Api()) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**(ASKED | given))
    assert caught.value.param == param
    assert api.journal.admitted == 0


async def test_a_failure_within_a_stream_is_its_last_event() -> None:
    async with client_of(api := Api(Script(error=EngineFailed(reason="broken")))) as client:
        stream = await client.responses.create(**ASKED, stream=True)
        with pytest.raises(openai.APIError):
            _ = [event async for event in stream]
    async with api.client() as plain:
        events = saved((await plain.post(RESPONSES, json=ASKED | {"stream": True})).text)
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "engine_failed")
    received = received_stream(events)
    assert received.error == api.journal.records[-1].error
    assert json.loads(json.dumps(events[-1]["tallystick"]))["record_id"]


async def test_moderation_is_refused_with_a_sentence() -> None:
    async with client_of(Api()) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.moderations.create(input="Hi")
    assert caught.value.code == "not_offered"
    assert "no moderation" in caught.value.message
