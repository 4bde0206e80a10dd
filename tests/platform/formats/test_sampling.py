"""What a model's files recommend, and what of it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick_platform.formats.sampling import recommended_sampling
from tallystick_platform.protocol import Sampling
from tests.support.real_model import real_model


def folder(path: Path, **config: object) -> Path:
    path.mkdir()
    (path / "generation_config.json").write_text(json.dumps(config))
    return path


def test_the_makers_values_are_read(tmp_path: Path) -> None:
    found = recommended_sampling(folder(tmp_path / "m", temperature=0.7, top_p=0.8, top_k=20, do_sample=True))
    assert found == Sampling(temperature=0.7, top_p=0.8, top_k=20)


def test_each_value_is_recommended_by_itself(tmp_path: Path) -> None:
    assert recommended_sampling(folder(tmp_path / "m", top_k=20)) == Sampling(top_k=20)


def test_drawing_switched_off_is_greedy(tmp_path: Path) -> None:
    assert recommended_sampling(folder(tmp_path / "m", temperature=0.7, do_sample=False)).temperature == 0


def test_what_no_engine_can_do_is_named_where_it_would_act(tmp_path: Path) -> None:
    found = recommended_sampling(folder(tmp_path / "m", no_repeat_ngram_size=3, min_p=0, typical_p=None))
    assert found.left_out == ("no_repeat_ngram_size",)


def test_penalties_are_recommended_where_they_act(tmp_path: Path) -> None:
    acts = recommended_sampling(folder(tmp_path / "m", repetition_penalty=1.05, min_p=0.1))
    idle = recommended_sampling(folder(tmp_path / "n", repetition_penalty=1, min_p=0.0))
    assert (acts, idle) == (Sampling(repetition_penalty=1.05, min_p=0.1), Sampling())


@pytest.mark.parametrize(
    "config",
    [
        {"temperature": 2.5},
        {"temperature": -1},
        {"temperature": True},
        {"temperature": "0.7"},
        {"temperature": 10**400},
        {"temperature": float("nan")},
        {"top_p": 1.1},
        {"top_p": [0.9]},
        {"top_k": 1.5},
        {"top_k": -2},
        {"top_k": 2_000_000},
        {"min_p": 1.5},
        {"repetition_penalty": 0},
        {"repetition_penalty": 11},
        {"eos_token_id": 2},
    ],
)
def test_what_no_request_could_ask_for_recommends_nothing(tmp_path: Path, config: dict) -> None:
    assert recommended_sampling(folder(tmp_path / "m", **config)) == Sampling()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"top_k": 5, "top_k": 6}'])
def test_a_file_that_cannot_be_read_recommends_nothing(tmp_path: Path, text: str) -> None:
    (folder(tmp_path / "m") / "generation_config.json").write_text(text)
    assert recommended_sampling(tmp_path / "m", tmp_path / "nowhere") == Sampling()


def test_an_adapters_own_comes_before_its_bases(tmp_path: Path) -> None:
    adapter, base = folder(tmp_path / "a", top_k=5), folder(tmp_path / "b", top_k=6)
    assert recommended_sampling(adapter, base).top_k == 5
    (adapter / "generation_config.json").unlink()
    assert recommended_sampling(adapter, base).top_k == 6


@pytest.mark.model
def test_the_packaged_model_has_what_its_model_card_says() -> None:
    assert recommended_sampling(real_model()) == Sampling(temperature=0.2, top_p=0.9)
