"""`/hosted/{model}/v1/predict` and `/predict_stream`."""

from __future__ import annotations

import json
import struct

import pytest

from tallystick.tasks import disagreements, hosted, read, received_answer, received_stream
from tallystick_platform.tasks import embedding
from tests.support.api import Api
from tests.support.exchange import MODEL, Script

AT = f"/hosted/{MODEL.id}/v1"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n"
    "### Instruction: write 3 reasons why you should train an AI model on domain specific data set.\n### Response: "
)


async def test_the_documented_request_gets_the_documented_answer() -> None:
    body = {"inputs": [ALPACA], "parameters": {"temperature": 0}}
    async with (api := Api(Script(texts=("\n1. The model", " will be")))).client() as client:
        reply = await client.post(f"{AT}/predict", json=body)
    assert reply.status_code == 200
    assert reply.json()["outputs"] == ["\n1. The model will be"]
    record = api.journal.only
    assert (record.task, record.http.path, record.prompt) == ("completion", f"{AT}/predict", {"prompt": [ALPACA]})
    assert record.request is not None
    assert record.request.reader == "completion/hosted/1"


async def test_what_is_not_said_is_the_document_s_default_and_stands_in_the_record() -> None:
    async with (api := Api()).client() as client:
        await client.post(
            f"{AT}/predict", json={"inputs": ["Once"], "parameters": {"max_new_tokens": 5, "top_k": None}}
        )
    used = api.journal.only.parameters
    assert (used["temperature"], used["top_p"], used["top_k"], used["max_tokens"]) == (0.8, 0.95, 50, 5)
    draw = api.dispatcher.texts[0].draw
    assert (draw.temperature, draw.top_p, draw.top_k, draw.max_tokens) == (0.8, 0.95, 50, 5)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"temperature": -0.1}, "parameters.temperature"),
        ({"top_p": 1.1}, "parameters.top_p"),
        ({"top_k": 0}, "parameters.top_k"),
        ({"top_k": 1.5}, "parameters.top_k"),
        ({"max_new_tokens": 0}, "parameters.max_new_tokens"),
        ({"max_new_tokens": "5"}, "parameters.max_new_tokens"),
        ({"do_sample": True}, "parameters.do_sample"),
        ({"max_tokens": 5}, "parameters.max_tokens"),
    ],
)
async def test_what_is_out_of_range_or_unknown_is_refused_by_its_own_name(
    parameters: dict[str, object], param: str
) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/predict", json={"inputs": ["Once"], "parameters": parameters})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not api.journal.records


@pytest.mark.parametrize("inputs", [None, [], "Once", [1], [""], [["a", 1]]])
async def test_inputs_are_texts_in_a_list(inputs: object) -> None:
    async with Api().client() as client:
        reply = await client.post(f"{AT}/predict", json={"inputs": inputs})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("inputs")


async def test_an_unknown_model_is_not_found() -> None:
    async with Api().client() as client:
        assert (await client.post("/hosted/none/v1/predict", json={"inputs": ["Once"]})).status_code == 404


async def test_a_stream_gives_the_pieces_and_ends_with_the_proof() -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/predict_stream", json={"inputs": ["Once"]})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n") if line]
    assert [event["outputs"] for event in events] == [["Hello"], [" world"], []]
    assert events[-1]["finish_reasons"] == ["stop"]
    assert received_stream(events).outputs == api.journal.only.response.outputs
    assert received_stream(events).whole
    assert not received_stream(events[:-1]).whole


async def test_a_whole_answer_is_what_its_record_holds() -> None:
    async with (api := Api()).client() as client:
        answer = (await client.post(f"{AT}/predict", json={"inputs": ["Once"]})).json()
    assert received_answer(answer).outputs == api.journal.only.response.outputs


@pytest.mark.parametrize(
    "target", ["/hosted/m/v1/predict", "/hosted/m/v1/predict_stream?x=1", "/hosted/o%2Fm/v1/predict"]
)
def test_the_reader_takes_the_model_from_the_address(target: str) -> None:
    reading = read(hosted.COMPLETION_READER, "POST", target, None, b'{"inputs":["a"]}')
    assert reading.model == ("o/m" if "%2F" in target else "m")
    assert reading.asked == hosted.DEFAULTS


PAIRS = {
    "inputs": [
        ["Represent the Science title:", "3D ActionSLAM: wearable person tracking in multi-floor environments"],
    ]
}


async def test_the_documented_pair_is_turned_into_a_vector_of_numbers_with_its_record() -> None:
    vector = struct.pack("<4f", -0.5, 0.25, 0.0, 1.5)
    async with (api := Api(Script(texts=(vector,), finish_reason=None))).client() as client:
        answer = (await client.post(f"{AT}/predict", json=PAIRS)).json()
    assert answer["outputs"] == [[-0.5, 0.25, 0.0, 1.5]]
    record = api.journal.only
    request = record.request
    assert (record.task, request.reader) == ("embedding", "embedding/hosted/1")
    assert disagreements(record, read(request.reader, "POST", request.target, None, request.body)) == []
    assert received_answer(answer).outputs == record.response.outputs
    assert embedding.decode_call(api.dispatcher.calls[0].body).inputs == (tuple(PAIRS["inputs"][0]),)


@pytest.mark.parametrize(
    ("way", "body", "param"),
    [
        ("predict_stream", PAIRS, "inputs"),
        ("predict", {"inputs": [["a", "b"], "c"]}, "inputs"),
        ("predict", {"inputs": [["a"]]}, "inputs"),
        ("predict", {"inputs": [["a", ""]]}, "inputs"),
        ("predict", {**PAIRS, "parameters": {"temperature": 0}}, "parameters"),
    ],
)
async def test_pairs_that_are_none_and_pairs_in_a_stream_are_refused(way: str, body: dict, param: str) -> None:
    async with (api := Api()).client() as client:
        reply = await client.post(f"{AT}/{way}", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith(param)
    assert not api.journal.records


async def test_a_model_that_can_be_asked_answers_a_ping() -> None:
    async with Api().client() as client:
        assert (await client.get(f"{AT}/ping")).json() == {"status": "ok", "model": MODEL.id, "loaded": True}
        assert (await client.get("/hosted/none/v1/ping")).status_code == 404
