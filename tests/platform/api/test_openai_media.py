"""The `openai` package, unchanged, over sounds and pictures."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

import msgspec
import openai
import pytest

from tallystick.evidence_files import headed_answer, response_hash_received
from tests.support.api import TOKEN, Api
from tests.support.exchange import MODEL, Script

SEGMENT = {
    "start_ms": 0, "end_ms": 2_500, "text": "One.", "seek": 0, "tokens": [5], "avg_logprob": -0.5, "no_speech_prob": 0.25,
}  # fmt: skip
VERBOSE = {"segments": [SEGMENT], "text": "One.", "language": "en", "duration_ms": 2_500}
CAPTIONS = {"segments": [{"start_ms": 0, "end_ms": 2_500, "text": "One."}]}
VOICE = {"inputs": [{"name": "voice", "enum": ["ann"]}], "outputs": []}


def client_of(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0)


def sending(*pieces: str | bytes) -> Api:
    api = Api(Script(texts=pieces, finish_reason=None))
    model = msgspec.structs.replace(MODEL, schema=VOICE)
    api.dispatcher.placement = replace(api.dispatcher.placement, model=model)
    return api


async def test_a_sound_is_transcribed() -> None:
    async with sending("One.").serving() as url, client_of(url) as client:
        found = await client.audio.transcriptions.create(
            model=MODEL.id, file=("a.wav", b"sound"), language="en", temperature=0.5
        )
    assert found.text == "One."


async def test_a_verbose_transcription_has_its_segments() -> None:
    async with sending(msgspec.msgpack.encode(VERBOSE)).serving() as url, client_of(url) as client:
        found = await client.audio.transcriptions.create(
            model=MODEL.id, file=b"sound", response_format="verbose_json", timestamp_granularities=["segment"]
        )
    assert (found.duration, found.language, found.usage.seconds) == (2.5, "en", 0)
    (segment,) = found.segments
    assert (segment.start, segment.end, segment.text, segment.no_speech_prob) == (0.0, 2.5, "One.", 0.25)


@pytest.mark.parametrize(
    ("form", "piece", "expected"),
    [
        ("text", "One.", "One.\n"),
        ("srt", msgspec.msgpack.encode(CAPTIONS), "1\n00:00:00,000 --> 00:00:02,500\nOne.\n\n"),
        ("vtt", msgspec.msgpack.encode(CAPTIONS), "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nOne.\n\n"),
    ],
)
async def test_texts_and_captions_come_as_texts(form: str, piece: str | bytes, expected: str) -> None:
    async with sending(piece).serving() as url, client_of(url) as client:
        found = await client.audio.transcriptions.create(model=MODEL.id, file=b"sound", response_format=form)
    assert found == expected


async def test_a_text_is_spoken_and_the_headers_prove_the_sound() -> None:
    async with sending(b"sound").serving() as url, client_of(url) as client:
        raw = await client.audio.speech.with_raw_response.create(model=MODEL.id, input="Hi", voice="ann", speed=2)
        content = raw.content
    saved = headed_answer(content, raw.headers.items())
    assert (content, response_hash_received(saved)) == (b"sound", saved.receipt.receipt.response_hash)


async def test_pictures_are_drawn() -> None:
    async with sending(b"one", b"two").serving() as url, client_of(url) as client:
        found = await client.images.generate(
            model=MODEL.id, prompt="A cat", n=2, size="256x256", extra_body={"seed": 1}
        )
    assert [b64decode(one.b64_json) for one in found.data] == [b"one", b"two"]


async def test_a_refusal_is_the_package_s_own_error() -> None:
    async with sending(b"sound").serving() as url, client_of(url) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.audio.speech.create(model=MODEL.id, input="Hi", voice="alloy")
    assert (refused.value.param, refused.value.code) == ("voice", "invalid_value")
