"""Whisper in CTranslate2's form: what is read out of the file, what is refused, and the packaged model put to its use."""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tallystick_platform.engine.ctranslate import read_arrays, renamed
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.model_store import packaged_file, resolve_model
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.protocol import Call, Piece
from tallystick_platform.tasks import TRANSCRIPTION
from tallystick_platform.tasks.transcription import Transcribing, Transcript
from tests.support.sounds import RATE_HZ, spoken, written

FLOAT, HALF, INTEGER = 0, 4, 1


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def array(name: str, shape: tuple[int, ...], kind: int, data: bytes) -> bytes:
    sizes = b"".join(struct.pack("<I", size) for size in shape)
    return text(name) + struct.pack("<B", len(shape)) + sizes + struct.pack("<BI", kind, len(data)) + data


def file(*arrays: bytes, version: int = 6, specification: str = "WhisperSpec", count: int | None = None) -> bytes:
    number = len(arrays) if count is None else count
    head = struct.pack("<I", version) + text(specification) + struct.pack("<II", 3, number)
    return head + b"".join(arrays) + struct.pack("<I", 0)


def read(path: Path, data: bytes):
    path.write_bytes(data)
    return read_arrays(path)


def test_arrays_are_read_as_they_stand(tmp_path: Path) -> None:
    found = read(
        tmp_path / "model.bin",
        file(array("a", (2, 2), FLOAT, struct.pack("<4f", 1, 2, 3, 4)), array("b", (), INTEGER, b"\x03")),
    )
    assert found["a"].tolist() == [[1, 2], [3, 4]]
    assert int(found["b"]) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        file(version=5),
        file(specification="TransformerSpec"),
        file(count=70_000),
        file(count=1),
        file(array("a", (2,), FLOAT, bytes(4))),
        file(array("a", (2**31, 2**31, 2**31), FLOAT, bytes(4))),
        file(array("a", (1,), 9, bytes(4))),
        file(array("a", (1,) * 9, FLOAT, bytes(4))),
        file(array("a" * 600, (1,), FLOAT, bytes(4))),
        file(array("a", (2,), FLOAT, bytes(8)))[:-8],
    ],
)
def test_a_file_that_is_none_or_claims_more_than_it_holds_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelUnusable, match=r"model\.bin is no model of CTranslate2"):
        read(tmp_path / "model.bin", data)


def test_projections_that_are_one_array_there_are_parted() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    found = renamed(
        {
            "encoder/layer_0/self_attention/linear_0/weight": rows,
            "decoder/layer_1/attention/linear_1/bias": rows[:, 0],
            "decoder/layer_norm/gamma": rows[0],
            "encoder/num_heads": np.array(2),
        }
    )
    assert {name: value.tolist() for name, value in found.items()} == {
        "model.encoder.layers.0.self_attn.q_proj.weight": [[0, 1], [2, 3]],
        "model.encoder.layers.0.self_attn.k_proj.weight": [[4, 5], [6, 7]],
        "model.encoder.layers.0.self_attn.v_proj.weight": [[8, 9], [10, 11]],
        "model.decoder.layers.1.encoder_attn.v_proj.bias": [6, 8, 10],
        "model.decoder.layer_norm.weight": [0, 1],
    }


def test_quantised_numbers_are_refused_by_name() -> None:
    with pytest.raises(ModelUnusable, match="encoder/conv1/weight is quantised"):
        renamed({"encoder/conv1/weight": np.zeros((2, 2), np.int8)})


@pytest.mark.model
@pytest.mark.timeout(400)
def test_the_packaged_model_writes_down_what_a_voice_says(tmp_path: Path) -> None:
    folder = resolve_model("demo-transcription", tmp_path, lambda *_: None)
    report = inspect_folder(folder)
    assert (report.task, report.dtype) == ("transcription", "F16")
    assert resolve_model("demo-transcription", tmp_path, lambda *_: None) == folder, "converted once"
    assert packaged_file("demo-transcription").name == "model.bin"
    engine = load_engine(EngineConfig(model="demo-transcription", models_dir=tmp_path, device="cpu"), lambda *_: None)
    assert (engine.model.id, engine.model.quantisation) == ("whisper-tiny.en", None)
    sound = written(spoken("ðə mˈuːn ɪz bɹˈaɪt tənˈaɪt."), "flac", RATE_HZ)  # noqa: RUF001  (phonemes)
    how = Transcribing(
        language="en", prompt="", temperature=0.0, seed=1, response_format="verbose_json",
        timestamp_granularities=("segment",),
    )  # fmt: skip
    engine.submit(Call(b"a", "transcription", TRANSCRIPTION.call(sound, how)))
    events = []
    while engine.has_work():
        events += engine.step()
    (piece,) = [one for one in events if isinstance(one, Piece)]
    said = msgspec.msgpack.decode(piece.data, type=Transcript)
    assert "moon is bright tonight" in (said.text or "").lower()
    assert said.segments[0].start_ms < said.segments[-1].end_ms <= said.duration_ms
