import json

import pytest
import torch

from tallystick_platform.engine.llama import load_llama, read_shape
from tallystick_platform.errors import ModelUnusable
from tests.support.tiny_model import tiny_config, write_tiny_model

CPU = torch.device("cpu")
TOKENS = [int(token) for token in torch.randint(0, 250, (40,), generator=torch.Generator().manual_seed(3))]


def load(folder, dtype=torch.float32):
    return load_llama(folder, dtype, CPU)


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path):
    return write_tiny_model(tmp_path / "tiny", tie_word_embeddings=request.param)


def test_logits_are_those_of_the_transformers_library(folder):
    from transformers import LlamaForCausalLM

    with torch.inference_mode():
        theirs = LlamaForCausalLM.from_pretrained(folder)(torch.tensor([TOKENS])).logits[0]
    model = load(folder)
    cache = model.new_cache(len(TOKENS))
    ours = [model.prefill(cache, TOKENS[:30])]
    ours += [model.decode([cache], [token])[0] for token in TOKENS[30:]]
    assert torch.allclose(torch.stack(ours), theirs[29:], atol=1e-4)


def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(folder):
    model = load(folder)
    whole, pieces = model.new_cache(40), model.new_cache(40)
    expected = model.prefill(whole, TOKENS)
    for start in range(0, 40, 16):
        found = model.prefill(pieces, TOKENS[start : start + 16])
    assert torch.allclose(found, expected, atol=1e-4)
    assert pieces.length == 40


def test_rows_of_a_batch_do_not_change_each_other_to_the_last_bit(folder):
    model = load(folder)

    def row(beside):
        caches = [model.new_cache(41) for _ in range(beside + 1)]
        for number, cache in enumerate(caches):
            model.prefill(cache, TOKENS[: 40 - 3 * number])
        return model.decode(caches, [5 + number for number in range(beside + 1)])[0]

    alone = row(0)
    for beside in range(1, 8):
        assert torch.equal(row(beside), alone)


def test_weights_in_several_files_load_alike(tmp_path):
    from safetensors.torch import load_file, save_file

    whole = write_tiny_model(tmp_path / "whole")
    split = write_tiny_model(tmp_path / "split")
    weights = load_file(split / "model.safetensors")
    (split / "model.safetensors").unlink()
    names = sorted(weights)
    files = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in files.items():
        save_file({name: weights[name] for name in held}, split / file)
    index = {"weight_map": {name: file for file, held in files.items() for name in held}}
    (split / "model.safetensors.index.json").write_text(json.dumps(index))
    first, second = load(whole), load(split)
    assert torch.equal(first.prefill(first.new_cache(40), TOKENS), second.prefill(second.new_cache(40), TOKENS))


def test_bfloat16_is_close(folder):
    exact, rough = load(folder), load(folder, torch.bfloat16)
    assert torch.allclose(
        rough.prefill(rough.new_cache(9), TOKENS[:9]), exact.prefill(exact.new_cache(9), TOKENS[:9]), atol=0.5
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mamba"}, "model type 'mamba'"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"attention_bias": True}, "attention with bias"),
        ({"mlp_bias": True}, "MLP with bias"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope type 'llama3'"),
        ({"quantization_config": {}}, "quantised weights"),
    ],
)
def test_what_the_engine_does_not_compute_is_refused_by_name(changes, reason):
    read_shape(tiny_config())
    with pytest.raises(ModelUnusable, match=reason):
        read_shape(tiny_config(**changes))


def test_a_config_that_lacks_a_size_is_refused_by_its_name():
    config = tiny_config()
    del config["hidden_size"]
    with pytest.raises(ModelUnusable, match="lacks hidden_size"):
        read_shape(config)


def test_a_folder_that_lacks_a_tensor_is_refused_by_its_name(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny", num_hidden_layers=2)
    (folder / "config.json").write_text(json.dumps(tiny_config(num_hidden_layers=3)))
    with pytest.raises(ModelUnusable, match=r"model\.layers\.2"):
        load(folder)


def test_a_folder_without_weights_is_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnusable, match="cannot be read"):
        load(folder)


def test_weights_that_are_cut_short_are_refused(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelUnusable):
        load(folder)
