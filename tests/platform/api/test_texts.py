"""Rerank, classify, entities and translate over ASGI: what is taken, what leaves, and what its client can prove."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import format_record_id, parse_hex, to_hex
from tallystick.record import MAX_OUTPUTS, Output
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform import tasks
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.wire import texts
from tallystick_platform.tasks.rerank import SCORE
from tests.support.api import ANN, CLASSIFY, ENTITIES, RERANK, TEXT_SCRIPTS, TEXTS, TRANSLATE, Api
from tests.support.exchange import MODEL, Script

WIRES = {path: wire for wire in texts.WIRES for path in wire.routes}
USAGE = {"prompt_tokens": 7, "total_tokens": 7}
ANSWERS = {
    RERANK: {
        "object": "rerank",
        "results": [{"index": 1, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}],
    },
    CLASSIFY: {
        "object": "classification",
        "data": [
            {
                "index": 0,
                "label": "good",
                "score": 0.75,
                "labels": [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}],
            }
        ],
    },
    ENTITIES: {"object": "entities", "data": [{"index": 0, "entities": [ANN]}]},
    TRANSLATE: {"object": "translation", "translations": [{"index": 0, "text": "guten Tag", "finish_reason": "stop"}]},
}
OUTPUTS = {
    RERANK: Output(kind="scores", content=[{"index": 1, "score": 0.5}, {"index": 0, "score": 0.25}]),
    CLASSIFY: Output(kind="labels", content=[{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}]),
    ENTITIES: Output(kind="document", content={"entities": [ANN]}),
    TRANSLATE: Output(kind="text", content="guten Tag", finish_reason="stop"),
}
every_path = pytest.mark.parametrize("path", list(TEXTS))


def read_body(path: str, **given: object):
    return WIRES[path].read(path, [], json.dumps(TEXTS[path] | given).encode())


@every_path
async def test_an_answer_has_the_shape_of_its_address_and_is_what_the_record_holds(path: str) -> None:
    async with (api := Api(TEXT_SCRIPTS[path])).client() as client:
        reply = await client.post(path, json=TEXTS[path])
    body, record = reply.json(), api.journal.only
    assert reply.status_code == 200
    assert body.pop("tallystick")["record_id"] == reply.headers["x-tallystick-record"] == format_record_id(record.id)
    assert body.pop("id").endswith(record.id.hex())
    assert (body.pop("model"), body.pop("usage")["prompt_tokens"]) == (MODEL.id, 7)
    assert body == ANSWERS[path]
    assert record.response.outputs == (OUTPUTS[path],)
    assert record.task == WIRES[path].task.name
    assert decode_record(encode_record(record)) == record


@every_path
async def test_a_client_computes_the_hash_of_what_it_received(path: str) -> None:
    async with Api(TEXT_SCRIPTS[path]).client() as client:
        body = (await client.post(path, json=TEXTS[path])).json()
    received, proof = received_answer(body), body["tallystick"]
    salt = response_salt(parse_hex(proof["record_secret"]))
    found = response_hash(salt, response_digest(received.error, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


@every_path
async def test_an_auditor_reads_out_of_the_request_what_the_record_says(path: str) -> None:
    given = {"user": "u", "store": False, "truncate_prompt_tokens": 9, "later": None}
    if path != ENTITIES:
        given |= {RERANK: {"top_n": 1}, CLASSIFY: {"top_k": 1}, TRANSLATE: {"target_language": "de"}}[path]
    async with (api := Api(TEXT_SCRIPTS[path])).client() as client:
        reply = await client.post(
            path, json={name: value for name, value in (TEXTS[path] | given).items() if name != "later"}
        )
    assert reply.status_code == 200, reply.text
    record = api.journal.only
    reading = read(
        record.request.reader, "POST", record.request.target, record.request.content_type, record.request.body
    )
    assert disagreements(record, reading) == []
    assert reading.asked.items() >= {"truncate_prompt_tokens": 9, "user": "u"}.items()
    task = tasks.TASKS[record.task]
    again = task.call(*task.again(record.prompt, record.parameters))
    assert again == api.dispatcher.calls[0].body


async def test_so_many_documents_as_were_asked_for_with_their_texts() -> None:
    asked = {"documents": None, "texts": ["a moon", {"text": "the sun"}], "top_n": 1, "return_documents": True}
    body = {name: value for name, value in (TEXTS[RERANK] | asked).items() if value is not None}
    async with (api := Api(TEXT_SCRIPTS[RERANK])).client() as client:
        reply = await client.post(RERANK, json=body)
    assert reply.json()["results"] == [{"index": 1, "relevance_score": 0.5, "document": {"text": "the sun"}}]
    assert api.journal.only.response.outputs == (Output(kind="scores", content=[{"index": 1, "score": 0.5}]),)


async def test_documents_that_fit_alike_keep_their_order() -> None:
    script = Script(texts=tuple(map(SCORE.pack, (0.5, 0.75, 0.5))), finish_reason=None)
    async with Api(script).client() as client:
        reply = await client.post(RERANK, json=TEXTS[RERANK] | {"documents": ["a", "b", "c"]})
    assert [one["index"] for one in reply.json()["results"]] == [1, 0, 2]


@pytest.mark.parametrize(
    ("inputs", "given"),
    [
        ("one", (("one",),)),
        (["one", "two"], (("one",), ("two",))),
        ([["one", "two"], "three"], (("one", "two"), ("three",))),
    ],
)
def test_texts_and_pairs_of_them_are_classified(inputs: object, given: object) -> None:
    for name in ("inputs", "input"):
        body = {"model": "m", name: inputs}
        assert WIRES[CLASSIFY].read(CLASSIFY, [], json.dumps(body).encode()).asked.given == given


DOCUMENTED = re.findall(
    r"curl http://127\.0\.0\.1:8000(/v1/(?:rerank|classify|entities|translate)) .*\n +-d '(.*)'",
    (Path(__file__).parents[3] / "docs" / "api.md").read_text(),
)


def test_every_address_has_its_line_in_the_documentation() -> None:
    assert [path for path, _ in DOCUMENTED] == list(TEXTS)


@pytest.mark.parametrize(("path", "body"), DOCUMENTED)
async def test_the_documented_lines_are_answered(path: str, body: str) -> None:
    count = len(json.loads(body).get("inputs", [])) if path == CLASSIFY else 1
    script = Script(texts=TEXT_SCRIPTS[path].texts * count, finish_reason=None)
    async with (api := Api(script)).client() as client:
        known = json.loads(body) | {"model": MODEL.id}
        reply = await client.post(path, json=known)
    assert reply.status_code == 200, reply.text
    assert api.journal.only.task == WIRES[path].task.name


MANY = ["a"] * (MAX_OUTPUTS + 1)


@pytest.mark.parametrize(
    ("path", "given", "param", "code"),
    [
        (RERANK, {"query": ""}, "query", "invalid_value"),
        (RERANK, {"query": None}, "query", "invalid_type"),
        (RERANK, {"documents": []}, "documents", "invalid_value"),
        (RERANK, {"documents": MANY}, "documents", "invalid_value"),
        (RERANK, {"documents": ["a", ""]}, "documents[1]", "invalid_value"),
        (RERANK, {"documents": [{"text": "a", "title": "b"}]}, "documents[0].title", "unknown_parameter"),
        (RERANK, {"documents": [{"title": "b"}]}, "documents[0].title", "unknown_parameter"),
        (RERANK, {"texts": ["a"]}, "texts", "invalid_value"),
        (RERANK, {"documents": "a"}, "documents", "invalid_type"),
        (RERANK, {"top_n": 0}, "top_n", "invalid_value"),
        (RERANK, {"max_chunks_per_doc": 2}, "max_chunks_per_doc", "unsupported_parameter"),
        (RERANK, {"stream": True}, "stream", "unknown_parameter"),
        (CLASSIFY, {"inputs": ""}, "inputs", "invalid_value"),
        (CLASSIFY, {"inputs": MANY}, "inputs", "invalid_value"),
        (CLASSIFY, {"inputs": [["a", "b", "c"]]}, "inputs[0]", "invalid_value"),
        (CLASSIFY, {"inputs": 1}, "inputs", "invalid_type"),
        (CLASSIFY, {"input": "a"}, "input", "invalid_value"),
        (CLASSIFY, {"top_k": 0}, "top_k", "invalid_value"),
        (CLASSIFY, {"truncate": True}, "truncate", "unsupported_value"),
        (CLASSIFY, {"truncation_direction": "left"}, "truncation_direction", "unsupported_value"),
        (CLASSIFY, {"add_special_tokens": False}, "add_special_tokens", "unsupported_value"),
        (ENTITIES, {"inputs": [["a", "b"]]}, "inputs[0]", "invalid_type"),
        (ENTITIES, {"aggregation_strategy": "best"}, "aggregation_strategy", "invalid_value"),
        (TRANSLATE, {"text": ["a", ""]}, "text[1]", "invalid_value"),
        (TRANSLATE, {"num_beams": 17}, "num_beams", "invalid_value"),
        (TRANSLATE, {"max_tokens": 0}, "max_tokens", "invalid_value"),
        (TRANSLATE, {"do_sample": True}, "do_sample", "unsupported_value"),
        (TRANSLATE, {"stream": True}, "stream", "unsupported_value"),
        (TRANSLATE, {"format": "html"}, "format", "unsupported_value"),
        (TRANSLATE, {"temperature": 1}, "temperature", "unknown_parameter"),
    ],
)
def test_what_is_not_taken_is_named(path: str, given: dict, param: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_body(path, **given)
    assert (caught.value.param, caught.value.code) == (param, code)


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        (RERANK, {"truncate_prompt_tokens": 2_048}, "truncate_prompt_tokens"),
        (CLASSIFY, {"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        (TRANSLATE, {"max_tokens": 2_049}, "max_tokens"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_before_anything_is_promised(
    path: str, given: dict, param: str
) -> None:
    async with (api := Api(TEXT_SCRIPTS[path])).client() as client:
        reply = await client.post(path, json=TEXTS[path] | given)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert api.journal.admitted == 0
