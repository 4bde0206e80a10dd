"""The estimate of what a worker will hold."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tallystick_platform.formats.memory import PROCESS_BYTES, estimate
from tests.support.model_files import small_gguf, write_model

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def folder(tmp_path):
    """A hundred thousand half-precision numbers, and sixteen whole ones."""
    folder = write_model(tmp_path / "m", SHAPE)
    save_file({"w": np.zeros(100_000, np.float16), "i": np.zeros(16, np.int64)}, folder / "model.safetensors")
    return folder


def test_weights_take_the_width_that_they_are_computed_in(folder):
    assert estimate(folder, kv_tokens=0).weights_bytes == 100_000 * 4 + 16 * 8


def test_every_token_leaves_a_key_and_a_value_for_each_layer_and_head_of_keys(folder):
    assert estimate(folder, kv_tokens=10).kv_bytes == 10 * 2 * 3 * 2 * 8 * 4


def test_the_total_has_the_process_and_the_largest_tensor_besides(folder):
    found = estimate(folder, kv_tokens=10)
    assert found.overhead_bytes == PROCESS_BYTES + 100_000 * 4
    assert found.total_bytes == found.weights_bytes + found.kv_bytes + found.overhead_bytes


def test_quantised_weights_of_a_gguf_file_count_as_they_are_computed_with(tmp_path):
    (tmp_path / "m.gguf").write_bytes(small_gguf())
    found = estimate(tmp_path, kv_tokens=1)
    assert (found.weights_bytes, found.kv_bytes) == (68 * 4, 2 * 2 * 2 * 8 * 4)


def test_a_model_that_does_not_generate_keeps_no_cache(folder):
    (folder / "config.json").write_text(json.dumps({**SHAPE, "architectures": ["BertModel"]}))
    assert estimate(folder, kv_tokens=10).kv_bytes == 0


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 10**12}, {"hidden_size": -1}, {"num_attention_heads": "4"}])
def test_a_shape_that_no_model_has_is_not_multiplied(folder, changes):
    (folder / "config.json").write_text(json.dumps({**SHAPE, **changes}))
    assert estimate(folder, kv_tokens=10).kv_bytes == 0


def test_the_text_model_of_a_composed_one_counts(folder):
    config = {"architectures": ["LlavaForConditionalGeneration"], "text_config": SHAPE}
    (folder / "config.json").write_text(json.dumps(config))
    assert estimate(folder, kv_tokens=10).kv_bytes == 10 * 2 * 3 * 2 * 8 * 4
