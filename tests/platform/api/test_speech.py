"""`POST /v1/audio/speech` over ASGI: text in, a sound out, and what its client can prove with the headers alone."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tallystick.encoding import decode_record, encode_record
from tallystick.evidence_files import headed_answer, read_headers, response_hash_received
from tallystick.hashing import keccak256
from tallystick.tasks import disagreements, read
from tallystick_platform.tasks.speech import decode_call
from tests.support.api import Api
from tests.support.exchange import MODEL, Script

PATH = "/v1/audio/speech"
VOICED = msgspec.structs.replace(MODEL, schema={"inputs": [{"name": "voice", "enum": ["ann", "ben"]}], "outputs": []})
ASKED = {"model": MODEL.id, "input": "A tally stick."}
SOUND = b"ID3 any bytes"


def speaking() -> Api:
    api = Api(Script(texts=(SOUND,), finish_reason=None))
    api.dispatcher.placement = replace(api.dispatcher.placement, model=VOICED)
    return api


@pytest.mark.parametrize(
    ("form", "kind"), [(None, "audio/mpeg"), ("mp3", "audio/mpeg"), ("wav", "audio/wav"), ("flac", "audio/flac")]
)
async def test_a_sound_is_the_answer_and_its_headers_prove_it(form: str | None, kind: str) -> None:
    async with (api := speaking()).client() as client:
        reply = await client.post(PATH, json=ASKED | {"response_format": form, "voice": "ben"})
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, kind, SOUND), reply.text
    written = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in reply.headers.items()
    )
    saved = headed_answer(reply.content, read_headers(written.encode() + b"\r\n"))
    assert response_hash_received(saved) == saved.receipt.receipt.response_hash
    other = headed_answer(reply.content + b"!", reply.headers.items())
    assert response_hash_received(other) != saved.receipt.receipt.response_hash
    named, content = decode_record(encode_record(api.journal.only)).response.outputs
    assert named.content == {"type": kind, "digest": keccak256(SOUND), "length": len(SOUND)}
    assert content.content == SOUND


async def test_what_was_asked_is_what_the_record_says() -> None:
    async with (api := speaking()).client() as client:
        await client.post(PATH, json=ASKED | {"speed": 1.5, "seed": 3, "user": "u", "instructions": None})
    record = decode_record(encode_record(api.journal.only))
    assert disagreements(record, read(record.request.reader, "POST", PATH, None, record.request.body)) == []
    assert record.prompt == {"input": "A tally stick."}
    assert record.parameters == {"voice": "ann", "speed": 1.5, "response_format": "mp3", "seed": 3, "user": "u"}
    told = decode_call(api.dispatcher.calls[0].body)
    assert (told.text, told.how.voice, told.how.speed) == ("A tally stick.", "ann", 1.5)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"input": ""}, "input", "invalid_value"),
        ({"input": " "}, "input", "invalid_value"),
        ({"input": "x" * 4_097}, "input", "invalid_value"),
        ({"voice": "alloy"}, "voice", "invalid_value"),
        ({"speed": 5}, "speed", "invalid_value"),
        ({"response_format": "opus"}, "response_format", "invalid_value"),
        ({"instructions": "whisper"}, "instructions", "unsupported_value"),
        ({"stream_format": "sse"}, "stream_format", "unsupported_value"),
        ({"pitch": 1}, "pitch", "unknown_parameter"),
    ],
)
async def test_what_is_not_offered_is_refused_by_name(changes: dict[str, object], param: str, code: str) -> None:
    async with (api := speaking()).client() as client:
        reply = await client.post(PATH, json=ASKED | changes)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code), reply.text
    assert not api.journal.records
