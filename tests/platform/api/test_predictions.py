"""`POST /v1/predict` over ASGI: tables in, predictions out, and what their client can prove."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.ids import parse_hex, to_hex
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform import tasks
from tallystick_platform.tasks.prediction import decode_call
from tests.support.api import Api
from tests.support.exchange import MODEL, Script

PATH = "/v1/predict"
ASKED = {"model": MODEL.id, "inputs": {"height": [1, 2.5], "name": ["a", None]}}
PROBABLE = {"predictions": ["ash", "oak"], "classes": ["ash", "oak"], "probabilities": [[0.75, 0.25], [0.0, 1.0]]}


def answering(**found: object) -> Script:
    return Script(texts=(msgspec.msgpack.encode(found),), finish_reason=None)


async def test_a_table_is_given_to_the_model_and_its_predictions_are_recorded() -> None:
    async with (api := Api(answering(predictions=[1.5, 2]))).client() as client:
        reply = await client.post(PATH, json=ASKED)
    body = reply.json()
    proof = body.pop("tallystick")
    assert body == {"object": "prediction", "model": MODEL.id, "predictions": [1.5, 2], "usage": {"rows": 2}}
    record = decode_record(encode_record(api.journal.only))
    reading = read(record.request.reader, "POST", PATH, None, record.request.body)
    assert disagreements(record, reading) == []
    assert (record.task, record.parameters) == ("prediction", {"probabilities": False})
    (call,) = api.dispatcher.calls
    told = decode_call(call.body)
    assert (told.columns, told.rows) == (("height", "name"), ((1, "a"), (2.5, None)))
    given, used = tasks.PREDICTION.again(reading.whole, record.parameters)
    assert tasks.PREDICTION.call(given, used) == call.body
    received = received_answer(reply.json())
    found = response_hash(response_salt(parse_hex(proof["record_secret"])), response_digest(None, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


async def test_probabilities_come_where_they_are_asked_for() -> None:
    async with (api := Api(answering(**PROBABLE))).client() as client:
        body = (await client.post(PATH, json=ASKED | {"probabilities": True})).json()
    assert {name: body[name] for name in PROBABLE} == PROBABLE
    assert received_answer(body).outputs == api.journal.only.response.outputs
    assert decode_call(api.dispatcher.calls[0].body).how.probabilities


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"inputs": None}, "inputs", "invalid_value"),
        ({"inputs": []}, "inputs", "invalid_value"),
        ({"instances": [[1]]}, "instances", "invalid_value"),
        ({"inputs": [[1], [1, 2]]}, "inputs", "invalid_value"),
        ({"inputs": "text"}, "inputs", "invalid_type"),
        (
            {"inputs": None, "dataframe_split": {"data": [[1]], "dtypes": 1}},
            "dataframe_split.dtypes",
            "unknown_parameter",
        ),
        ({"probabilities": "yes"}, "probabilities", "invalid_type"),
        ({"params": {"a": 1}}, "params", "unsupported_value"),
        ({"method": "predict"}, "method", "unknown_parameter"),
    ],
)
async def test_what_is_no_table_or_not_offered_is_refused_by_name(
    changes: dict[str, object], param: str, code: str
) -> None:
    async with (api := Api(answering(predictions=[1]))).client() as client:
        reply = await client.post(PATH, json=ASKED | changes)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"].split("[")[0], error["code"]) == (400, param, code), reply.text
    assert not api.journal.records
