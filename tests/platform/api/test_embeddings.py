"""`POST /v1/embeddings` over ASGI: what is taken, what leaves, and what its client can prove."""

from __future__ import annotations

import json
import struct
from base64 import b64decode

import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import format_record_id, parse_hex, to_hex
from tallystick.record import MAX_OUTPUTS, Output, State
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform import tasks
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire.openai import EMBEDDINGS as WIRE
from tallystick_platform.errors import EngineFailed, PromptTooLong
from tallystick_platform.tasks.embedding import decode_call
from tests.support.api import EMBEDDINGS, WORDS, Api
from tests.support.exchange import MODEL, Script

VECTORS = (struct.pack("<4f", 0.1, -0.2, 3e-39, 1), struct.pack("<4f", 1 / 3, 0, -0.0, 1e38))
SCRIPT = Script(texts=VECTORS, finish_reason=None)


def read_body(**given: object):
    return WIRE.read(EMBEDDINGS, [], json.dumps(WORDS | given).encode())


async def test_vectors_come_as_numbers_in_the_shape_of_openai() -> None:
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(EMBEDDINGS, json=WORDS)
    body, record = reply.json(), api.journal.only
    assert reply.status_code == 200
    assert body.pop("tallystick")["record_id"] == reply.headers["x-tallystick-record"] == format_record_id(record.id)
    vectors = [one.pop("embedding") for one in body["data"]]
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "model": MODEL.id,
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert tuple(struct.pack("<4f", *vector) for vector in vectors) == VECTORS
    assert {"x-tallystick-receipt", "x-tallystick-admission", "server-timing"} <= reply.headers.keys()


async def test_base64_is_exactly_the_recorded_bytes() -> None:
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(EMBEDDINGS, json=WORDS | {"encoding_format": "base64"})
    assert tuple(b64decode(one["embedding"]) for one in reply.json()["data"]) == VECTORS
    assert api.journal.only.response.outputs == tuple(Output(kind="vector", content=vector) for vector in VECTORS)


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_a_client_computes_the_hash_of_what_it_received_in_either_form(encoding: str | None) -> None:
    async with Api(SCRIPT).client() as client:
        body = (await client.post(EMBEDDINGS, json=WORDS | {"encoding_format": encoding})).json()
    received, proof = received_answer(body), body["tallystick"]
    salt = response_salt(parse_hex(proof["record_secret"]))
    found = response_hash(salt, response_digest(received.error, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


@pytest.mark.parametrize(
    ("asked", "inputs"),
    [
        ("one", ("one",)),
        (["one", "two"], ("one", "two")),
        ([5, 6], ((5, 6),)),
        ([[5, 6], [7]], ((5, 6), (7,))),
        ([["Represent:", "one"], ["", "two"]], (("Represent:", "one"), ("", "two"))),
    ],
    ids=["text", "texts", "tokens", "lists of tokens", "instructions with texts"],
)
async def test_the_engine_gets_the_inputs_in_their_order(asked: object, inputs: tuple[object, ...]) -> None:
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(EMBEDDINGS, json=WORDS | {"input": asked, "dimensions": 3})
    assert reply.status_code == 200
    (call,) = api.dispatcher.calls
    told = decode_call(call.body)
    assert (told.inputs, told.how.dimensions) == (inputs, 3)
    assert api.journal.only.prompt == {"input": asked}


async def test_what_was_asked_is_what_the_record_says() -> None:
    asked = {"dimensions": 2, "encoding_format": "base64", "user": "u", "store": False}
    body = json.dumps(WORDS | asked | {"service_tier": None}).encode()
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(EMBEDDINGS, content=body)
    assert reply.status_code == 200, reply.text
    record = decode_record(encode_record(api.journal.only))
    assert (record.task, record.request.reader, record.http.streamed) == ("embedding", "embedding/openai/1", False)
    assert disagreements(record, read(record.request.reader, "POST", EMBEDDINGS, None, record.request.body)) == []
    assert record.parameters == asked
    (call,) = api.dispatcher.calls
    assert tasks.EMBEDDING.call(*tasks.EMBEDDING.again(record.prompt, record.parameters)) == call.body


async def test_more_dimensions_than_the_model_has_are_refused_by_name_and_not_admitted() -> None:
    async with (api := Api(SCRIPT)).client() as client:
        most = await client.post(EMBEDDINGS, json=WORDS | {"dimensions": MODEL.dimensions})
        more = await client.post(EMBEDDINGS, json=WORDS | {"dimensions": MODEL.dimensions + 1})
    assert (most.status_code, more.status_code) == (200, 400)
    assert (more.json()["error"]["param"], more.json()["error"]["code"]) == ("dimensions", "invalid_value")
    assert api.journal.admitted == 1


async def test_nothing_leaves_of_vectors_that_were_not_all_computed() -> None:
    async with (api := Api(Script(texts=VECTORS[:1], error=EngineFailed(reason="broken")))).client() as client:
        reply = await client.post(EMBEDDINGS, json=WORDS)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "engine_failed")
    assert (api.journal.only.state, api.journal.only.response) == (State.FAILED, None)


async def test_an_error_of_the_prompt_names_the_input() -> None:
    async with Api(Script(texts=(), error=PromptTooLong(limit=10, found=20))).client() as client:
        reply = await client.post(EMBEDDINGS, json=WORDS)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "input")


def test_as_many_inputs_as_a_record_holds_are_taken_and_no_more() -> None:
    read_body(input=["a"] * MAX_OUTPUTS)
    read_body(input=[1] * (MAX_OUTPUTS + 1))  # the tokens of one
    with pytest.raises(BadRequest) as caught:
        read_body(input=["a"] * (MAX_OUTPUTS + 1))
    assert (caught.value.param, caught.value.code) == ("input", "invalid_value")


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"input": None}, "input", "invalid_type"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["a", ""]}, "input", "invalid_value"),
        ({"input": ["a", [1]]}, "input", "invalid_value"),
        ({"input": [[1], []]}, "input", "invalid_value"),
        ({"input": [-1]}, "input", "invalid_value"),
        ({"input": [{"text": "a"}]}, "input[0]", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"encoding_format": 1}, "encoding_format", "invalid_type"),
        ({"dimensions": 0}, "dimensions", "invalid_value"),
        ({"dimensions": 65_537}, "dimensions", "invalid_value"),
        ({"dimensions": 1.5}, "dimensions", "invalid_type"),
        ({"user": "u" * 257}, "user", "invalid_value"),
        ({"add_special_tokens": False}, "add_special_tokens", "unsupported_value"),
        ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "invalid_value"),
        ({"truncate": True}, "truncate", "unsupported_value"),
        ({"input": [["an instruction", ""]]}, "input", "invalid_value"),
        ({"input": [["an instruction", "a text", "another"]]}, "input", "invalid_value"),
        ({"stream": True}, "stream", "unknown_parameter"),
        ({"temperature": 1}, "temperature", "unknown_parameter"),
        ({"prompt": "a"}, "prompt", "unknown_parameter"),
    ],
)
def test_what_is_not_taken_is_named(given: dict, param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_body(**given)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert param in str(caught.value)
