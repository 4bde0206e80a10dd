"""Text to speech by a voice that was never trained: against the library's own waveform, in every form of a file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers

from tallystick_platform.engine import speaker
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.oneshot import OneShotEngine
from tallystick_platform.engine.speaker import MAX_SENTENCE_CHARS, load_speaker, sentences_of, written
from tallystick_platform.errors import ModelUnusable, ParameterOutOfRange
from tallystick_platform.protocol import Call, Failed, Piece
from tallystick_platform.tasks import SPEECH
from tallystick_platform.tasks.speech import Speaking
from tests.support.sounds import tone
from tests.support.tiny_vits import RATE_HZ, write_tiny_vits

CPU = torch.device("cpu")


def ignore(stage: str, fraction: float) -> None:
    del stage, fraction


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_vits(tmp_path_factory.mktemp("voice"), speakers=3)


@pytest.fixture(scope="module")
def engine(folder, tmp_path_factory) -> OneShotEngine:
    config = EngineConfig(model=str(folder), models_dir=tmp_path_factory.mktemp("models"), device="cpu")
    return load_engine(config, ignore)


def events_of(engine: OneShotEngine, text: str, **how: object) -> list:
    given = {"voice": "0", "speed": 1.0, "response_format": "wav", "seed": 7}
    engine.submit(Call(b"a", "speech", SPEECH.call(text, Speaking(**given | how))))
    events = []
    while engine.has_work():
        events += engine.step()
    return events


def sound_of(engine: OneShotEngine, text: str, **how: object) -> bytes:
    (piece,) = [one for one in events_of(engine, text, **how) if isinstance(one, Piece)]
    return piece.data


def test_a_sentence_sounds_as_the_library_speaks_it(engine: OneShotEngine, folder: Path) -> None:
    model = transformers.VitsModel.from_pretrained(folder)
    tokenizer = transformers.VitsTokenizer.from_pretrained(folder)
    torch.manual_seed(7)
    with torch.inference_mode():
        expected = model(**tokenizer("a tally stick", return_tensors="pt"), speaker_id=2).waveform[0].numpy()
    samples, rate = soundfile.read(io.BytesIO(sound_of(engine, "a tally stick", voice="2")))
    assert rate == RATE_HZ
    assert np.allclose(samples, expected.clip(-1, 1), atol=1 / 16_000)


def test_a_seed_repeats_a_sound_and_another_makes_another(engine: OneShotEngine) -> None:
    sounds = [sound_of(engine, "a stick", seed=seed) for seed in (1, 1, 2)]
    assert sounds[0] == sounds[1] != sounds[2]


def test_every_voice_sounds_otherwise(engine: OneShotEngine) -> None:
    assert len({sound_of(engine, "a stick", voice=voice) for voice in ("0", "1", "2")}) == 3


def test_twice_the_speed_takes_about_half_the_time(engine: OneShotEngine) -> None:
    text = "a tally stick is split in two and each half is kept"
    once, twice = (len(sound_of(engine, text, speed=speed)) for speed in (0.5, 2.0))
    assert twice < once


def test_sentences_are_spoken_one_after_another_each_as_by_itself(engine: OneShotEngine) -> None:
    one, two, both = (
        soundfile.read(io.BytesIO(sound_of(engine, text)))[0] for text in ("a stick.", "a debt.", "a stick. a debt.")
    )
    assert np.array_equal(both[: len(one)], one)
    assert np.array_equal(both[-len(two) :], two)
    assert not both[len(one) : -len(two)].any()


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_every_form_of_a_file_holds_the_sound(form: str) -> None:
    sound = (tone(1.0)[:, 0] * 32_767).astype(np.int16)
    data = written(sound, 22_050, form)
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == 22_050
    assert len(samples) == pytest.approx(len(sound), abs=3_000)
    if form != "mp3":
        assert np.array_equal((samples * 32_768).astype(np.int16), sound)
    assert data == written(sound, 22_050, form), "the same bytes again"


def test_a_text_without_a_sign_of_the_voice_is_refused(engine: OneShotEngine) -> None:
    (event,) = [one for one in events_of(engine, "12 34") if isinstance(one, Failed)]
    assert (event.kind, "no sign" in event.reason) == ("prompt-rejected", True)


def test_a_text_that_takes_too_long_to_say_is_refused(engine: OneShotEngine, monkeypatch) -> None:
    monkeypatch.setattr(speaker, "MAX_SOUND_SECONDS", 0.01)
    (event,) = [one for one in events_of(engine, "a tally stick") if isinstance(one, Failed)]
    assert (event.kind, "takes longer to say" in event.reason) == ("prompt-rejected", True)


def test_a_text_is_cut_where_sentences_end_and_long_ones_between_words() -> None:
    long = "word " * 100
    assert sentences_of("One. Two!\nThree") == ["One.", "Two!", "Three"]
    assert all(len(part) <= MAX_SENTENCE_CHARS for part in sentences_of(long))
    assert " ".join(sentences_of(long)).split() == long.split()
    assert [len(part) for part in sentences_of("x" * 1_000)] == [400, 400, 200]


def test_a_model_tells_its_voices_and_refuses_others(engine: OneShotEngine) -> None:
    (voice,) = [one for one in engine.model.schema["inputs"] if one["name"] == "voice"]
    assert voice["enum"] == ["0", "1", "2"]
    with pytest.raises(ParameterOutOfRange, match="0, 1, 2"):
        SPEECH.effective({"voice": "alloy"}, engine.model, lambda: 1)
    assert SPEECH.effective({}, engine.model, lambda: 1).voice == "0"


def test_a_model_of_one_voice_calls_it_default(tmp_path: Path) -> None:
    assert load_speaker(write_tiny_vits(tmp_path / "voice"), torch.float32, CPU).voices == ["default"]


def test_a_voice_that_needs_programs_that_are_not_here_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="phonemes"):
        load_speaker(write_tiny_vits(tmp_path / "voice", phonemize=True), torch.float32, CPU)
