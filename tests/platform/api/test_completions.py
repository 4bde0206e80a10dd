"""`POST /v1/completions` over ASGI: what is taken, what leaves, and what its client can prove."""

from __future__ import annotations

import json

import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import format_record_id, parse_hex, to_hex
from tallystick.record import Output, State
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer, received_stream
from tallystick.tasks.reading import MAX_LOGIT_BIASES
from tallystick_platform import tasks
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire.openai import COMPLETIONS as WIRE
from tallystick_platform.api.wire.openai.texts import MAX_STOP_TOKENS
from tallystick_platform.errors import EngineFailed, PromptTooLong
from tallystick_platform.tasks.drawing import MAX_CHOICES, MAX_TOP_LOGPROBS
from tests.support.api import COMPLETIONS, ONCE, Api, events_of
from tests.support.exchange import MODEL, Script

STREAM = ONCE | {"stream": True}


def refusal(**given: object) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        WIRE.read(COMPLETIONS, [], json.dumps(ONCE | given).encode())
    return caught.value


async def test_a_whole_answer_has_the_shape_of_openai() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(COMPLETIONS, json=ONCE)
    body, record = reply.json(), api.journal.only
    assert reply.status_code == 200
    assert body.pop("tallystick")["record_id"] == reply.headers["x-tallystick-record"] == format_record_id(record.id)
    assert body == {
        "id": "cmpl-" + record.id.hex(),
        "object": "text_completion",
        "created": record.time.admitted_at // 1_000_000,
        "model": MODEL.id,
        "choices": [{"text": "Hello world", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
    assert {"x-tallystick-receipt", "x-tallystick-admission", "server-timing"} <= reply.headers.keys()


async def test_a_stream_gives_text_and_ends_with_its_proof() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(COMPLETIONS, json=STREAM)
    *events, done = events_of(reply.text)
    assert done == "[DONE]"
    assert [event["choices"][0]["text"] for event in events] == ["Hello", " world", ""]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "stop"]
    assert {event["object"] for event in events} == {"text_completion"}
    assert [("tallystick" in event) for event in events] == [False, False, True]
    assert api.journal.only.http.streamed is True


async def test_a_stream_that_wants_usage_gets_it_last_with_the_proof() -> None:
    async with Api().client() as client:
        reply = await client.post(COMPLETIONS, json=STREAM | {"stream_options": {"include_usage": True}})
    *events, last, _ = events_of(reply.text)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 9)
    assert last["tallystick"]["state"] == "journaled"
    assert [event["usage"] for event in events] == [None] * 3


async def test_a_failure_in_the_middle_of_a_stream_is_its_last_event() -> None:
    async with (api := Api(Script(error=EngineFailed(reason="broken")))).client() as client:
        events = events_of((await client.post(COMPLETIONS, json=STREAM)).text)
    assert events[-1]["error"]["code"] == "engine_failed"
    assert api.journal.only.response.outputs == (Output(kind="text", content="Hello world", finish_reason=None),)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_of_the_prompt_names_it(stream: bool) -> None:
    async with (api := Api(Script(texts=(), error=PromptTooLong(limit=10, found=20)))).client() as client:
        reply = await client.post(COMPLETIONS, json=ONCE | {"stream": stream})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prompt")
    assert reply.json()["error"]["code"] == "context_length_exceeded"
    assert api.journal.only.state is State.FAILED


@pytest.mark.parametrize(
    ("prompt", "given"),
    [("Once", "Once"), (["Once"], "Once"), ([5, 6], (5, 6)), ([[5, 6]], (5, 6)), (" \n", " \n")],
    ids=["text", "text in a list", "tokens", "tokens in a list", "blank"],
)
async def test_the_engine_gets_the_prompt_as_it_stands(prompt: object, given: object) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(COMPLETIONS, json=ONCE | {"prompt": prompt})
    assert reply.status_code == 200
    (told,) = api.dispatcher.texts
    assert (told.prompt, told.turns) == (given, None)
    assert api.journal.only.prompt == {"prompt": prompt}
    assert api.journal.only.instructions is None


async def test_what_was_asked_is_what_the_engine_draws_with_and_what_the_record_says() -> None:
    asked = {"temperature": 0.5, "top_p": 0.25, "top_k": 3, "max_tokens": 9, "stop": ["x"], "seed": -1, "user": "u"}
    neutral = {
        "n": 1,
        "best_of": 1,
        "echo": False,
        "suffix": "",
        "logprobs": None,
        "presence_penalty": 0,
        "store": False,
    }
    body = json.dumps(ONCE | asked | neutral).encode()
    async with (api := Api()).client() as client:
        reply = await client.post(COMPLETIONS, content=body)
    assert reply.status_code == 200, reply.text
    record = decode_record(encode_record(api.journal.only))
    assert (record.task, record.request.reader) == ("completion", "completion/openai/1")
    assert disagreements(record, read(record.request.reader, "POST", COMPLETIONS, None, record.request.body)) == []
    assert {name: record.parameters[name] for name in asked} == asked
    (call,) = api.dispatcher.calls
    assert tasks.COMPLETION.call(*tasks.COMPLETION.again(record.prompt, record.parameters)) == call.body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_computes_the_hash_of_what_it_received(stream: bool) -> None:
    async with Api().client() as client:
        reply = await client.post(COMPLETIONS, json=ONCE | {"stream": stream})
    if stream:
        events = events_of(reply.text)[:-1]
        received, proof = received_stream(events), events[-1]["tallystick"]
    else:
        received, proof = received_answer(reply.json()), reply.json()["tallystick"]
    salt = response_salt(parse_hex(proof["record_secret"]))
    found = response_hash(salt, response_digest(received.error, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": 1}, "prompt", "invalid_type"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": [[]]}, "prompt", "invalid_value"),
        ({"prompt": ["a", "b"]}, "prompt", "invalid_value"),
        ({"prompt": [[1], [2]]}, "prompt", "invalid_value"),
        ({"prompt": [[1], "a"]}, "prompt", "invalid_value"),
        ({"prompt": [-1]}, "prompt", "invalid_value"),
        ({"prompt": [1.5]}, "prompt[0]", "invalid_type"),
        ({"prompt": [True]}, "prompt[0]", "invalid_type"),
        ({"prompt": [["a"]]}, "prompt[0][0]", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": None}, "model", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_k": -2}, "top_k", "invalid_value"),
        ({"max_tokens": -1}, "max_tokens", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": ""}, "stop", "invalid_value"),
        ({"seed": 1.5}, "seed", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"user": 1}, "user", "invalid_type"),
        ({"n": 0}, "n", "invalid_value"),
        ({"n": MAX_CHOICES + 1}, "n", "invalid_value"),
        ({"echo": 1}, "echo", "invalid_type"),
        ({"suffix": "end"}, "suffix", "unsupported_value"),
        ({"logprobs": -1}, "logprobs", "invalid_value"),
        ({"logprobs": MAX_TOP_LOGPROBS + 1}, "logprobs", "invalid_value"),
        ({"logit_bias": {"one": 1}}, "logit_bias.one", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1", "invalid_value"),
        ({"logit_bias": {"1": True}}, "logit_bias[...]", "invalid_type"),
        ({"logit_bias": {"1": 1, "01": 2}}, "logit_bias.01", "invalid_value"),
        ({"logit_bias": {str(at): 1 for at in range(MAX_LOGIT_BIASES + 1)}}, "logit_bias", "invalid_value"),
        ({"frequency_penalty": 2.1}, "frequency_penalty", "invalid_value"),
        ({"presence_penalty": -2.1}, "presence_penalty", "invalid_value"),
        ({"repetition_penalty": 0}, "repetition_penalty", "invalid_value"),
        ({"min_p": 1.1}, "min_p", "invalid_value"),
        ({"min_tokens": -1}, "min_tokens", "invalid_value"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]", "invalid_value"),
        ({"stop_token_ids": [1] * (MAX_STOP_TOKENS + 1)}, "stop_token_ids", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"guided_choice": []}, "guided_choice", "invalid_value"),
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", "invalid_value"),
        ({"max_completion_tokens": 1}, "max_completion_tokens", "unknown_parameter"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"temprature": 1}, "temprature", "unknown_parameter"),
    ],
)
def test_what_is_not_taken_is_named(given: dict, param: str, code: str) -> None:
    error = refusal(**given)
    assert (error.param, error.code) == (param, code)
    assert param in str(error)


def test_a_request_without_a_prompt_is_refused_by_its_name() -> None:
    with pytest.raises(BadRequest) as caught:
        WIRE.read(COMPLETIONS, [], b'{"model":"m"}')
    assert (caught.value.param, caught.value.code) == ("prompt", "missing_required_parameter")
