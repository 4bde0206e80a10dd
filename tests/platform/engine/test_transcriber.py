"""Sound to text by a Whisper that was never trained: against the library's own answer, window by window, alone and among others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import transformers

from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.oneshot import OneShotEngine
from tallystick_platform.engine.prompt import load_tokenizer
from tallystick_platform.engine.sound import samples_of
from tallystick_platform.engine.transcriber import load_transcriber
from tallystick_platform.engine.windows import RATE_HZ, WINDOW_SAMPLES, Windows, parts_of
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import Call, Failed, Finished, Piece
from tallystick_platform.tasks import TRANSCRIPTION
from tallystick_platform.tasks.transcription import Transcribing, Transcript
from tests.support.sounds import tone, written
from tests.support.tiny_whisper import write_tiny_whisper

SHORT = written(tone(1.25), "wav")
LONG = written(tone(40.0, 8_000), "flac", 8_000)


def ignore(stage: str, fraction: float) -> None:
    del stage, fraction


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def engine(folder, tmp_path_factory) -> OneShotEngine:
    config = EngineConfig(model=str(folder), models_dir=tmp_path_factory.mktemp("models"), device="cpu")
    return load_engine(config, ignore)


def call(request_id: bytes, sound: bytes = SHORT, **how: object) -> Call:
    given = {
        "language": "", "prompt": "", "temperature": 0.0, "seed": 5, "response_format": "verbose_json",
        "timestamp_granularities": ("segment",),
    }  # fmt: skip
    return Call(request_id, "transcription", TRANSCRIPTION.call(sound, Transcribing(**given | how)))


def run(engine: OneShotEngine, *calls: Call) -> dict[bytes, list]:
    for one in calls:
        engine.submit(one)
    events: dict[bytes, list] = {}
    while engine.has_work():
        for event in engine.step():
            events.setdefault(event.request_id, []).append(event)
    return events


def transcript(events: list) -> Transcript:
    (piece,) = [event for event in events if isinstance(event, Piece)]
    return msgspec.msgpack.decode(piece.data, type=Transcript)


def library_segments(folder: Path, sound: bytes, **how: object) -> list[dict]:
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    samples = np.concatenate(list(samples_of(sound, RATE_HZ)))
    features = extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_features
    with torch.inference_mode():
        found = model.generate(
            features, return_timestamps=True, return_segments=True, force_unique_generate_call=True, task="transcribe", **how
        )  # fmt: skip
    return found["segments"][0]


def test_a_window_has_the_segments_of_the_library_s_own_answer(engine: OneShotEngine, folder: Path) -> None:
    said = transcript(run(engine, call(b"a", language="en"))[b"a"])
    expected = library_segments(folder, SHORT, language="en")
    tokenizer = load_tokenizer(folder)
    heard = [
        (one, text)
        for one in expected
        if (text := tokenizer.decode([token for token in one["tokens"].tolist() if token < 200])).strip()
    ]
    assert heard
    assert [one.tokens for one in said.segments] == [tuple(one["tokens"].tolist()) for one, _ in heard]
    assert [one.start_ms for one in said.segments] == [round(float(one["start"]) * 1000) for one, _ in heard]
    assert said.text == "".join(text for _, text in heard).strip()
    assert (said.language, said.duration_ms) == ("en", 1_249)


def test_a_long_sound_is_heard_window_by_window_to_its_end(engine: OneShotEngine) -> None:
    events = run(engine, call(b"a", LONG))[b"a"]
    said = transcript(events)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage["audio_us"] == 40_000_000
    starts = [one.seek for one in said.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 0, "a second window"
    assert all(one.end_ms <= 40_000 for one in said.segments)


def test_the_language_is_heard_where_none_is_named(engine: OneShotEngine, folder: Path) -> None:
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    samples = np.concatenate(list(samples_of(SHORT, RATE_HZ)))
    features = extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_features
    token = model.detect_language(features).item()
    expected = load_tokenizer(folder).id_to_token(token).strip("<|>")
    assert transcript(run(engine, call(b"a"))[b"a"]).language == expected


def test_neighbours_change_nothing(engine: OneShotEngine) -> None:
    alone = run(engine, call(b"a", LONG))[b"a"]
    among = run(engine, call(b"b", SHORT), call(b"a", LONG), call(b"c", LONG, temperature=0.9))
    assert transcript(among[b"a"]) == transcript(alone)


def test_neighbours_that_draw_change_nothing_that_is_drawn(engine: OneShotEngine) -> None:
    alone = run(engine, call(b"a", temperature=1.0))[b"a"]
    among = run(engine, call(b"b", temperature=1.0, seed=6), call(b"a", temperature=1.0))
    assert transcript(among[b"a"]) == transcript(alone) != transcript(among[b"b"])


def test_a_step_is_shorter_than_a_window(engine: OneShotEngine) -> None:
    engine.submit(call(b"a"))
    steps = 0
    while engine.has_work():
        engine.step()
        steps += 1
    assert steps > 10


def test_a_seed_repeats_what_it_drew_and_another_draws_something_else(engine: OneShotEngine) -> None:
    drawn = [transcript(run(engine, call(b"a", temperature=1.0, seed=seed))[b"a"]).text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_text_alone_comes_as_text(engine: OneShotEngine, form: str) -> None:
    verbose = transcript(run(engine, call(b"a"))[b"a"])
    (piece,) = [one for one in run(engine, call(b"a", response_format=form))[b"a"] if isinstance(one, Piece)]
    assert piece.data == verbose.text


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_captions_are_times_and_texts_alone(engine: OneShotEngine, form: str) -> None:
    verbose = transcript(run(engine, call(b"a"))[b"a"])
    said = transcript(run(engine, call(b"a", response_format=form))[b"a"])
    assert [(one.start_ms, one.end_ms, one.text) for one in said.segments] == [
        (one.start_ms, one.end_ms, one.text) for one in verbose.segments
    ]
    assert (said.text, said.language, {one.tokens for one in said.segments}) == (None, None, {None})


@pytest.mark.parametrize(
    ("sound", "how", "reason"),
    [
        (b"not a sound", {}, "no wav, mp3, flac, ogg or webm"),
        (SHORT, {"language": "xx"}, "does not know the language 'xx'"),
    ],
    ids=["no sound", "language"],
)
def test_what_cannot_be_transcribed_is_refused(
    engine: OneShotEngine, sound: bytes, how: dict[str, object], reason: str
) -> None:
    (event,) = run(engine, call(b"a", sound, **how))[b"a"]
    assert isinstance(event, Failed)
    assert event.kind == "prompt-rejected"
    assert reason in event.reason


def test_a_prompt_changes_what_the_first_window_is_heard_as(engine: OneShotEngine) -> None:
    plain, prompted = (transcript(run(engine, call(b"a", prompt=text))[b"a"]) for text in ("", "sun moon"))
    assert plain.segments != prompted.segments


def test_a_prompt_that_is_too_long_is_refused_with_the_bound(engine: OneShotEngine) -> None:
    (event,) = run(engine, call(b"a", prompt="word " * 4))[b"a"]
    assert (event.kind, event.limit, event.found) == ("prompt-too-long", 15, 16)


def test_windows_cut_a_sound_where_the_last_one_was_done() -> None:
    windows = Windows(LONG)
    (first, at), steps = next(found := iter(windows)), []
    while True:
        steps.append((at, len(first)))
        windows.advance(min(len(first), 200_000))
        following = next(found, None)
        if following is None:
            break
        first, at = following
    assert steps == [(0, WINDOW_SAMPLES), (200_000, 440_000), (400_000, 240_000), (600_000, 40_000)]


@pytest.mark.parametrize(
    ("tokens", "parts", "whole"),
    [
        ([100, 1, 110], [(0, 200, [100, 1, 110])], True),
        ([100, 1, 110, 110, 2, 120], [(0, 200, [100, 1, 110]), (200, 400, [110, 2, 120])], True),
        ([100, 1, 110, 110, 2], [(0, 200, [100, 1, 110])], False),
        ([100, 1, 110, 115, 2, 120, 120], [(0, 200, [100, 1, 110]), (300, 400, [115, 2, 120])], False),
        ([100, 1, 2], [(0, 1_000, [100, 1, 2])], True),
        ([1, 2], [(0, 1_000, [1, 2])], True),
        ([], [(0, 1_000, [])], True),
        ([100, 100], [(0, 1_000, [100])], False),
    ],
)
def test_tokens_of_time_part_the_segments_of_a_window(tokens, parts, whole) -> None:
    assert parts_of(tokens, 100, 16_000) == (parts, whole)


def test_two_tokens_of_the_beginning_do_not_hold_a_sound_up() -> None:
    parts, whole = parts_of([100, 1, 100, 100], 100, 16_000)
    assert (parts, whole) == ([(0, 0, [100, 1, 100])], True)


def test_a_folder_that_gives_no_times_is_unusable(tmp_path: Path) -> None:
    folder = write_tiny_whisper(tmp_path / "model")
    (folder / "generation_config.json").write_text('{"eos_token_id": 200}')
    with pytest.raises(ModelUnusable, match="generation_config"):
        load_transcriber(folder, load_tokenizer(folder), torch.float32, torch.device("cpu"))


def test_the_model_says_what_it_serves(engine: OneShotEngine) -> None:
    assert (engine.model.task, engine.model.tasks) == ("transcription", ("transcription",))
    assert engine.model.reproducibility == "reproducible"
