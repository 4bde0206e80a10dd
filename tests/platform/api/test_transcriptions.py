"""`POST /v1/audio/transcriptions` over ASGI: what is taken, what leaves in each format, and what its client can prove."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.binding import response_digest, response_hash
from tallystick.encoding import decode_record, encode_record
from tallystick.evidence_files import headed_answer, response_hash_received
from tallystick.hashing import keccak256
from tallystick.ids import parse_hex, to_hex
from tallystick.record import State
from tallystick.sealing import response_salt
from tallystick.tasks import disagreements, read, received_answer
from tallystick_platform.errors import PromptRejected
from tallystick_platform.tasks.transcription import decode_call
from tests.support.api import MAX_BODY_BYTES, MAX_MEDIA_BYTES, Api
from tests.support.exchange import MODEL, Script

PATH = "/v1/audio/transcriptions"
SOUND = b"RIFF....WAVE any bytes"
FILE = {"file": ("a.wav", SOUND, "audio/wav")}
SEGMENTS = [
    {"start_ms": 0, "end_ms": 2500, "text": "Fish & <chips>"},
    {"start_ms": 3_661_001, "end_ms": 3_662_000, "text": "at last"},
]
TIMED = Script(texts=(msgspec.msgpack.encode({"segments": SEGMENTS}),), finish_reason=None)
SAID = Script(texts=("Fish & chips.",), finish_reason=None)


async def test_a_text_comes_in_the_shape_of_openai_and_is_recorded_as_it_was_delivered() -> None:
    async with (api := Api(SAID)).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id, "language": "en"}, files=FILE)
    assert reply.status_code == 200, reply.text
    assert reply.json()["text"] == "Fish & chips."
    record = decode_record(encode_record(api.journal.only))
    assert (record.task, record.state) == ("transcription", State.COMPLETED)
    assert record.prompt["file"]["digest"] == to_hex(keccak256(SOUND))
    request = record.request
    assert SOUND in request.body
    assert disagreements(record, read(request.reader, "POST", PATH, request.content_type, request.body)) == []
    (call,) = api.dispatcher.calls
    assert decode_call(call.body).sound == SOUND


@pytest.mark.parametrize(
    ("form", "kind", "expected"),
    [
        ("text", "text/plain; charset=utf-8", "Fish & chips.\n"),
        (
            "srt",
            "application/x-subrip; charset=utf-8",
            "1\n00:00:00,000 --> 00:00:02,500\nFish & <chips>\n\n2\n01:01:01,001 --> 01:01:02,000\nat last\n\n",
        ),
        (
            "vtt",
            "text/vtt; charset=utf-8",
            "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nFish &amp; &lt;chips&gt;\n\n01:01:01.001 --> 01:01:02.000\nat last\n\n",
        ),
    ],
)
async def test_captions_and_plain_text_carry_their_proof_in_headers(form: str, kind: str, expected: str) -> None:
    script = SAID if form == "text" else TIMED
    async with (api := Api(script)).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id, "response_format": form}, files=FILE)
    assert (reply.headers["content-type"], reply.text) == (kind, expected)
    saved = headed_answer(reply.content, reply.headers.items())
    assert response_hash_received(saved) == saved.receipt.receipt.response_hash
    assert saved.receipt.receipt.leaf == api.journal.entries[0].leaf


@pytest.mark.parametrize("form", ["json", "verbose_json"])
async def test_a_client_computes_the_hash_of_what_it_received(form: str) -> None:
    heard = {"seek": 0, "tokens": [5, 6], "avg_logprob": -0.25, "no_speech_prob": 0.125}
    whole = {"segments": [one | heard for one in SEGMENTS], "text": "Fish", "language": "en", "duration_ms": 3_662_001}
    script = SAID if form == "json" else Script(texts=(msgspec.msgpack.encode(whole),), finish_reason=None)
    async with (api := Api(script)).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id, "response_format": form}, files=FILE)
    body = reply.json()
    proof, received = body["tallystick"], received_answer(body)
    assert received.outputs == api.journal.only.response.outputs
    salt = response_salt(parse_hex(proof["record_secret"]))
    found = response_hash(salt, response_digest(received.error, received.outputs))
    assert proof["receipt"]["receipt"]["response_hash"] == to_hex(found)
    assert "x-tallystick-record-secret" not in reply.headers


async def test_verbose_json_has_what_openai_s_has() -> None:
    said = {"segments": [SEGMENTS[0] | {"tokens": [5], "avg_logprob": -0.5, "no_speech_prob": 0.0, "seek": 3}]}
    whole = said | {"text": "Fish", "language": "en", "duration_ms": 2_500}
    script = Script(texts=(msgspec.msgpack.encode(whole),), finish_reason=None)
    asked = {"model": MODEL.id, "response_format": "verbose_json", "timestamp_granularities[]": "segment"}
    async with Api(script).client() as client:
        body = (await client.post(PATH, data=asked, files=FILE)).json()
    assert body.pop("tallystick")["state"] == "journaled"
    assert body.pop("usage")["type"] == "duration"
    (segment,) = body.pop("segments")
    assert segment.pop("compression_ratio") == pytest.approx(14 / 22, rel=0.2)
    assert body == {
        "object": "transcription", "task": "transcribe", "text": "Fish", "language": "en", "duration": 2.5
    }  # fmt: skip
    assert segment == {
        "id": 0, "seek": 3, "start": 0.0, "end": 2.5, "text": "Fish & <chips>", "tokens": [5], "temperature": 0.0,
        "avg_logprob": -0.5, "no_speech_prob": 0.0,
    }  # fmt: skip


async def test_a_sound_in_which_nobody_speaks_is_an_empty_text() -> None:
    async with (api := Api(Script(texts=(), finish_reason=None))).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id}, files=FILE)
    assert reply.json()["text"] == ""
    assert received_answer(reply.json()).outputs == api.journal.only.response.outputs


async def test_a_file_that_cannot_be_decoded_is_refused_in_openai_s_shape_and_recorded() -> None:
    script = Script(texts=(), error=PromptRejected(reason="the file is no wav, mp3, flac, ogg or webm"))
    async with (api := Api(script)).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id}, files=FILE)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "prompt_rejected", "file")
    assert reply.json()["tallystick"]["record_id"] == reply.headers["x-tallystick-record"]
    assert api.journal.only.state is State.FAILED


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"stream": "true"}, "stream", "unsupported_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"temperature": "1.5"}, "temperature", "invalid_value"),
        ({"response_format": "docx"}, "response_format", "invalid_value"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities", "invalid_value"),
        ({"chunking_strategy": "server_vad"}, "chunking_strategy", "unsupported_value"),
        ({"diarize": "1"}, "diarize", "unknown_parameter"),
        ({"language": "x" * 33}, "language", "invalid_value"),
        ({"model": ""}, "model", "invalid_value"),
    ],
)
async def test_what_is_not_offered_is_refused_by_name(given: dict[str, str], param: str, code: str) -> None:
    async with (api := Api(SAID)).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id, **given}, files=FILE)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, code), reply.text
    assert error["param"].split("[")[0].split(".")[0] == param
    assert not api.journal.records


@pytest.mark.parametrize(
    "files", [{}, {"file": ("a.wav", b"", "audio/wav")}, {"sound": ("a.wav", SOUND, "audio/wav")}], ids=str
)
async def test_a_form_without_a_file_is_refused(files: dict[str, object]) -> None:
    async with Api(SAID).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id}, files=files or {"x": (None, b"1")})
    assert (reply.status_code, reply.json()["error"]["param"] in ("file", "sound", "x")) == (400, True), reply.text


async def test_json_is_no_form() -> None:
    async with Api(SAID).client() as client:
        reply = await client.post(PATH, json={"model": MODEL.id})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "content_type")


@pytest.mark.parametrize(("size", "status"), [(MAX_MEDIA_BYTES - 1_024, 200), (MAX_MEDIA_BYTES, 413)])
async def test_a_form_has_a_bound_of_its_own(size: int, status: int) -> None:
    assert size > MAX_BODY_BYTES
    files = {"file": ("a.wav", SOUND + bytes(size - len(SOUND)), "audio/wav")}
    async with Api(SAID).client() as client:
        reply = await client.post(PATH, data={"model": MODEL.id}, files=files)
    assert reply.status_code == status
