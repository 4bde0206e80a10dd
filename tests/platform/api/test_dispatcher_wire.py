"""`/v1/service/llm/v1/...`, `/triteia/v1/...` and `/inferencia/v1/predict`: requests as their users' guide shows them."""

from __future__ import annotations

import msgspec
import pytest
from openai import AsyncOpenAI

from tallystick.binding import response_digest, response_hash
from tallystick.ids import parse_hex, to_hex
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform.errors import NoProvider
from tallystick_platform.exchange.exchange import Exchange
from tests.support.api import TOKEN, Api
from tests.support.exchange import MODEL, PLACEMENT, Script

PREFIXES = ["/v1/service/llm/v1", "/triteia/v1"]
HELLO = {"model": MODEL.id, "messages": [{"role": "user", "content": "Say hello"}]}
PREDICT = "/inferencia/v1/predict"
DEBERTA = {"model_name": MODEL.id, "data": [{"text": ["You look amazing today,"], "top_k": 3}]}
SCORES = [("NEUTRAL", 0.9754309058189392), ("CONTRADICTION", 0.016230667009949684), ("ENTAILMENT", 0.00833841785788536)]
LABELS = [{"label": label, "score": score} for label, score in SCORES]


def labelled(count: int) -> Script:
    return Script(texts=(msgspec.msgpack.encode([*reversed(SCORES), ("REST", 0.0)]),) * count, finish_reason=None)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documented_request_is_answered_and_names_who_computed_it(prefix: str) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{prefix}/chat/completions", json=HELLO)
        streamed = await client.post(f"{prefix}/chat/completions", json=HELLO | {"stream": True})
        listed = await client.get(f"{prefix}/models")
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] == "Hello world"
    assert reply.headers["x-computing-node"] == streamed.headers["x-computing-node"] == PLACEMENT.provider.id
    assert api.journal.records[0].http.path == f"{prefix}/chat/completions"
    assert received_answer(reply.json()).outputs == api.journal.records[0].response.outputs
    assert [one["id"] for one in listed.json()["data"]] == [MODEL.id]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_openai_s_own_client_is_answered(prefix: str) -> None:
    async with Api().serving() as url:
        client = AsyncOpenAI(base_url=url + prefix, api_key=TOKEN)
        reply = await client.chat.completions.create(
            model=MODEL.id, messages=[{"role": "user", "content": "Say hello"}]
        )
        text = await client.completions.create(model=MODEL.id, prompt="Once")
        await client.close()
    assert (reply.choices[0].message.content, text.choices[0].text) == ("Hello world", "Hello world")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("end", "body"),
    [("chat/completions", HELLO), ("completions", {"prompt": "a"}), ("embeddings", {"input": "a"})],
)
async def test_where_nobody_has_the_model_it_is_said_in_the_document_s_words(prefix: str, end: str, body: dict) -> None:
    api = Api()
    async with api.client() as client:
        unknown = await client.post(f"{prefix}/{end}", json=body | {"model": "none"})
        api.dispatcher.load_error = NoProvider(model=MODEL.id)
        gone = await client.post(f"{prefix}/{end}", json=body | {"model": MODEL.id})
    for reply in (unknown, gone):
        assert (reply.status_code, reply.json()) == (503, {"error": "No provider found for the requested service."})
    assert not api.journal.records


async def test_what_else_is_refused_has_the_native_shape() -> None:
    async with Api().client() as client:
        reply = await client.post("/triteia/v1/chat/completions", json=HELLO | {"later": 1})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "later")


async def test_a_request_may_take_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, infer = [], Exchange.infer
    monkeypatch.setattr(Exchange, "infer", lambda self, **told: seen.append(told["timeout_s"]) or infer(self, **told))
    async with Api(request_timeout_s=120).client() as client:
        await client.post("/triteia/v1/chat/completions", json=HELLO)
        await client.post("/triteia/v1/chat/completions", json=HELLO, headers={"X-Request-Timeout": "5000"})
        await client.post("/v1/chat/completions", json=HELLO)
    assert seen == [900, 900, 120]


async def test_labels_come_in_the_documented_nesting_with_their_record() -> None:
    async with (api := Api(labelled(1))).client() as client:
        body = (await client.post(PREDICT, json=DEBERTA)).json()
    proof = body.pop("tallystick")
    assert body == {"model_name": MODEL.id.replace("/", ":"), "model_version": "default", "data": [[LABELS]]}
    record = api.journal.only
    request = record.request
    assert (record.task, request.reader) == ("classification", "classification/inferencia/1")
    assert disagreements(record, read(request.reader, "POST", PREDICT, None, request.body)) == []
    received = received_answer(body)
    assert received.outputs == record.response.outputs
    found = response_hash(response_salt(parse_hex(proof["record_secret"])), response_digest(None, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


async def test_each_text_of_each_part_has_its_labels_and_a_name_its_colon() -> None:
    data = [{"text": ["a", "b"], "top_k": 3}, {"text": ["c"], "top_k": 3}]
    async with (api := Api(labelled(3))).client() as client:
        body = (await client.post(PREDICT, json={"model_name": MODEL.id.replace("/", ":"), "data": data})).json()
    assert body["data"] == [[LABELS, LABELS], [LABELS]]
    assert api.journal.only.prompt == {"inputs": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"data": DEBERTA["data"]}, "model_name"),
        ({"model_name": MODEL.id}, "data"),
        ({**DEBERTA, "data": []}, "data"),
        ({**DEBERTA, "data": [{"text": "a"}]}, "data[0].text"),
        ({**DEBERTA, "data": [{"text": [""]}]}, "data[0].text[0]"),
        ({**DEBERTA, "data": [{"text": ["a"], "top_k": 0}]}, "data[0].top_k"),
        ({**DEBERTA, "data": [{"text": ["a"], "top_k": 1}, {"text": ["b"]}]}, "data[1].top_k"),
        ({**DEBERTA, "data": [{"text": ["a"], "threshold": 1}]}, "data[0].threshold"),
        ({**DEBERTA, "parameters": {}}, "parameters"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_name(body: dict, param: str) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(PREDICT, json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not api.journal.records
