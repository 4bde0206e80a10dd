"""`POST /v1/images/generations` over ASGI: text in, pictures out, and what their client can prove."""

from __future__ import annotations

from base64 import b64decode

import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.hashing import keccak256
from tallystick.ids import parse_hex, to_hex
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform.tasks.image import decode_call
from tests.support.api import Api
from tests.support.exchange import MODEL, Script

PATH = "/v1/images/generations"
ASKED = {"model": MODEL.id, "prompt": "A tally stick."}
PICTURES = (b"\x89PNG one", b"\x89PNG two")
SCRIPT = Script(texts=PICTURES, finish_reason=None)


async def test_pictures_come_in_the_shape_of_openai_and_are_recorded_by_digest_and_whole() -> None:
    asked = {"n": 2, "size": "512x256", "seed": 4, "steps": 7, "guidance": 2.5, "quality": "auto"}
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(PATH, json=ASKED | asked)
    body = reply.json()
    assert reply.status_code == 200, reply.text
    assert tuple(b64decode(one["b64_json"]) for one in body["data"]) == PICTURES
    record = decode_record(encode_record(api.journal.only))
    assert disagreements(record, read(record.request.reader, "POST", PATH, None, record.request.body)) == []
    assert record.parameters == asked | {"negative_prompt": ""}
    outputs = record.response.outputs
    assert [one.kind for one in outputs] == ["media", "media", "document", "document"]
    assert outputs[1].content == {"type": "image/png", "digest": keccak256(PICTURES[1]), "length": len(PICTURES[1])}
    assert tuple(one.content for one in outputs[2:]) == PICTURES
    told = decode_call(api.dispatcher.calls[0].body)
    assert (told.text, told.how.n, told.how.size) == ("A tally stick.", 2, "512x256")
    proof, received = body["tallystick"], received_answer(body)
    found = response_hash(response_salt(parse_hex(proof["record_secret"])), response_digest(None, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": " "}, "prompt", "invalid_value"),
        ({"n": 5}, "n", "invalid_value"),
        ({"size": "big"}, "size", "invalid_value"),
        ({"size": "4096x4096"}, "size", "invalid_value"),
        ({"steps": 101}, "steps", "invalid_value"),
        ({"response_format": "url"}, "response_format", "invalid_value"),
        ({"quality": "hd"}, "quality", "unsupported_value"),
        ({"style": "vivid"}, "style", "unsupported_parameter"),
        ({"image": "x"}, "image", "unknown_parameter"),
    ],
)
async def test_what_is_not_offered_is_refused_by_name(changes: dict[str, object], param: str, code: str) -> None:
    async with (api := Api(SCRIPT)).client() as client:
        reply = await client.post(PATH, json=ASKED | changes)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), reply.text
    assert not api.journal.records
