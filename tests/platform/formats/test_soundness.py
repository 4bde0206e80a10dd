"""Parts of a model that do not fit each other, and weights that are no numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tallystick_platform.formats import soundness
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.folder import inspect_folder
from tallystick_platform.formats.soundness import check_numbers, highest_token
from tallystick_platform.formats.weights import read_config

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
EMBEDDING = "model.embed_tokens.weight"


def model(folder: Path, tensors: dict[str, np.ndarray] | None = None, ids: int = 10, **changes: object) -> Path:
    """A folder with an embedding of ten rows and a tokenizer of so many ids."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    save_file({EMBEDDING: np.ones((10, 2), np.float32), **(tensors or {})}, folder / "model.safetensors")
    vocabulary = {f"t{at}": at for at in range(ids - 1)}
    tokenizer = {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": [{"id": ids - 1, "content": "<e>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(FormatError) as caught:
        inspect_folder(folder)
    assert str(folder) not in str(caught.value)
    return str(caught.value)


def test_a_tokenizer_within_the_embedding_is_taken(tmp_path: Path) -> None:
    inspect_folder(model(tmp_path / "m"))


def test_a_tokenizer_beyond_the_embedding_is_refused_with_both_numbers(tmp_path: Path) -> None:
    reason = refused(model(tmp_path / "m", ids=11))
    assert "up to the id 10" in reason
    assert "has 10 rows" in reason


@pytest.mark.parametrize(
    ("text", "highest"),
    [
        ('{"model": {"vocab": [["a", 0.0], ["b", -1.5]]}}', 1),
        ('{"model": {"vocab": {"a": 7}}, "added_tokens": [{"id": 9, "content": "x", "special": true}]}', 9),
        ('{"model": {"vocab": {}}}', None),
        ("{}", None),
        ("not json", None),
        ('{"model": {"vocab": 3}}', None),
        ("[" * 10_000, None),
    ],
)
def test_the_highest_token_of_each_kind_of_tokenizer(tmp_path: Path, text: str, highest: int | None) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    assert highest_token(tmp_path / "tokenizer.json") == highest


@pytest.mark.parametrize("tied", [{"tie_word_embeddings": False}, {"tie_word_embeddings": None}])
def test_a_head_that_is_neither_there_nor_tied_is_missed(tmp_path: Path, tied: dict[str, object]) -> None:
    assert "no lm_head.weight" in refused(model(tmp_path / "m", **tied))
    head = {"lm_head.weight": np.ones((10, 2), np.float32)}
    inspect_folder(model(tmp_path / "whole", head, **tied))


def test_models_without_a_head_of_words_need_none(tmp_path: Path) -> None:
    inspect_folder(model(tmp_path / "a", architectures=["LlamaModel"], tie_word_embeddings=False))
    inspect_folder(model(tmp_path / "b", model_type="gpt2", tie_word_embeddings=None))


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.lora_A.default.weight",
        "model.layers.0.self_attn.q_proj.base_layer.weight",
    ],
)
def test_names_that_an_adapter_gave_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    reason = refused(model(tmp_path / "m", {name: np.ones(2, np.float32)}))
    assert "merge_and_unload" in reason


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("at", [0, 4_096, 9_999])
def test_one_weight_that_is_no_number_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type, at: int
) -> None:
    monkeypatch.setattr(soundness, "READ_BYTES", 4_096)
    weights = np.full(10_000, -np.inf, dtype)
    folder = model(tmp_path / "m", {"sound": weights, "counts": np.full(4, -1, np.int64)})
    told: list[float] = []
    check_numbers(folder, lambda _, fraction: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] <= 1.0
    weights[at] = np.nan
    save_file({EMBEDDING: np.ones((10, 2), np.float32), "bad": weights}, folder / "model.safetensors")
    with pytest.raises(FormatError, match="its tensor bad holds weights that are not numbers"):
        check_numbers(folder, lambda *_: None)


def test_a_bfloat16_weight_that_is_no_number_is_found(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch

    folder = model(tmp_path / "m")
    for value, sound in ((float("-inf"), True), (float("nan"), False)):
        save_torch({"w": torch.tensor([1.0, value]).bfloat16()}, folder / "model.safetensors")
        if sound:
            check_numbers(folder, lambda *_: None)
        else:
            with pytest.raises(FormatError, match="not numbers"):
                check_numbers(folder, lambda *_: None)


def test_a_leftover_entry_is_left_out_and_a_true_one_stays(tmp_path: Path) -> None:
    plain = model(tmp_path / "plain", quantization_config={"load_in_4bit": True})
    assert read_config(plain) == CONFIG
    packed = model(tmp_path / "packed", {"w": np.ones(4, np.uint8)}, quantization_config={"load_in_4bit": True})
    assert "quantization_config" in read_config(packed)
