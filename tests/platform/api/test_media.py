"""Sounds, pictures and tables over real engines of tiny models: the lines of the documentation, their records, and their replay."""

from __future__ import annotations

import io
import re
import shlex
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from tallystick.encoding import decode_record, encode_record
from tallystick.record import Record
from tallystick.report.documents import record_document
from tallystick.report.text import render_record
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.protocol import VersionConfig
from tests.support.classical_models import classifier, write_skops
from tests.support.engine_api import EngineApi
from tests.support.exchange import MODEL
from tests.support.sounds import tone, written
from tests.support.tiny_diffusion import write_tiny_diffusion
from tests.support.tiny_vits import write_tiny_vits
from tests.support.tiny_whisper import write_tiny_whisper

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
LINES = {
    path: shlex.split(line.replace("\\\n", " "))
    for line, path in re.findall(
        r"(curl http://127\.0\.0\.1:8000(/v1/(?:audio/\w+|images/generations|predict)) (?:[^\n]*\\\n)*[^\n]*)\n", PAGE
    )
}
MODELS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "/v1/audio/transcriptions": ("transcription", write_tiny_whisper),
    "/v1/audio/speech": ("speech", write_tiny_vits),
    "/v1/images/generations": ("image", write_tiny_diffusion),
    "/v1/predict": ("classical", lambda folder: write_skops(folder, classifier())),
}


def options(line: list[str], name: str) -> list[str]:
    return [line[at + 1] for at, word in enumerate(line) if word == name]


def asked(line: list[str]) -> dict[str, object]:
    """What curl would send, to the one model that is there."""
    for body in options(line, "-d"):
        content = re.sub(r'"model": "[^"]+"', f'"model": "{MODEL.id}"', body).encode()
        return {"content": content, "headers": {"content-type": "application/json"}}
    fields = dict(field.split("=", 1) for field in options(line, "-F"))
    file = fields.pop("file").removeprefix("@")
    return {"data": fields | {"model": MODEL.id}, "files": {"file": (file, written(tone(1.0), "wav"))}}


def api_of(path: str, tmp_path: Path) -> EngineApi:
    task, write = MODELS[path]
    folder = write(tmp_path / "model")
    version = VersionConfig(
        model_id=MODEL.id, version="1", folder=str(folder), digest=compute(folder).digest.hex(), task=task
    )
    config = EngineConfig(model="m", models_dir=tmp_path, version=version, device="cpu", threads=1)
    return EngineApi(load_engine(config, lambda *_: None), folder)


def shown(record: Record) -> str:
    return render_record(record_document(record)).plain


@pytest.mark.parametrize("path", list(MODELS))
async def test_the_documented_line_is_answered_recorded_and_computed_again(path: str, tmp_path: Path) -> None:
    async with (api := api_of(path, tmp_path)).client() as client:
        reply = await client.post(path, **asked(LINES[path]))
    assert reply.status_code == 200, reply.text
    record = decode_record(encode_record(api.journal.only))
    assert record.proof_of_compute.class_ == "reproducible"
    named = replace(record, model=replace(record.model, weights_digest=compute(api.folder).digest))
    assert api.again(named).outputs == record.response.outputs
    CHECKS[path](reply, shown(record))


def check_transcription(reply, page: str) -> None:
    said = reply.json()
    assert said["usage"]["seconds"] == 1.0
    assert all(f"  {segment['text']}\n" in page for segment in said["segments"])
    assert re.search(r"0:00:0\d\.\d{3} - 0:00:0\d\.\d{3}  ", page)


def check_speech(reply, page: str) -> None:
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert (reply.headers["content-type"], rate, len(samples) > 0) == ("audio/wav", 8_000, True)
    assert re.search(rf"type audio/wav\n +digest 0x[0-9a-f]{{64}}\n +length {len(reply.content)}\n", page)
    assert f"content {len(reply.content)} bytes, keccak256 0x" in page


def check_images(reply, page: str) -> None:
    pictures = [b64decode(one["b64_json"]) for one in reply.json()["data"]]
    assert [Image.open(io.BytesIO(one)).size for one in pictures] == [(64, 64)] * 2
    assert all(f"length {len(one)}\n" in page for one in pictures)


def check_predictions(reply, page: str) -> None:
    assert reply.json()["predictions"] == ["ash", "oak"]
    assert re.search(r"\n +ash +0\.\d+  +0\.\d+\n +oak +0\.\d+  +0\.\d+\n", page), page


CHECKS = {
    "/v1/audio/transcriptions": check_transcription,
    "/v1/audio/speech": check_speech,
    "/v1/images/generations": check_images,
    "/v1/predict": check_predictions,
}


async def test_a_file_that_is_no_sound_is_refused_and_recorded(tmp_path: Path) -> None:
    path = "/v1/audio/transcriptions"
    async with (api := api_of(path, tmp_path)).client() as client:
        files = {"file": ("a.wav", b"#EXTM3U\nfile:///etc/passwd", "audio/wav")}
        reply = await client.post(path, data={"model": MODEL.id}, files=files)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "prompt_rejected", "file")
    assert api.journal.only.error.code == "prompt_rejected"
