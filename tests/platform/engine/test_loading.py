import pytest
import torch

from tallystick_platform.engine import concurrency, hardware, loading, weights_digest
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.errors import ModelUnusable
from tallystick_platform.protocol import Sampling
from tests.support.tiny_model import TEMPLATE, write_tiny_model


@pytest.fixture
def folder(tmp_path):
    return write_tiny_model(tmp_path / "Tiny-1.5B")


def load(folder, **changes):
    stages = []
    config = EngineConfig(model=str(folder), models_dir=folder.parent / "models", device="cpu", threads=1, **changes)
    return load_engine(config, lambda stage, fraction: stages.append((stage, fraction))), stages


def test_the_model_is_described_as_it_is(folder):
    engine, stages = load(folder)
    model = engine.model
    assert model.id == "tiny-1.5b"
    assert model.weights_digest == weights_digest.compute(folder).digest
    assert model.version == model.weights_digest.hex()[:12]
    assert (model.engine, model.dtype, model.device) == ("tallystick-audit", "float32", "cpu")
    assert f"torch {torch.__version__}" in model.engine_version
    assert model.quantisation is None
    assert (model.context_length, model.max_prompt_tokens) == (640, 639)
    assert model.chat_template == TEMPLATE
    assert engine.gpu == hardware.probe_cpu()
    assert stages[-1] == ("ready", 1.0)


def test_a_copy_of_a_converted_folder_is_named_after_itself(folder):
    (folder / "tallystick.json").write_text(
        '{"source": "tiny.gguf", "source_sha256": "00", "quantisation": "Q4_1", "converter": "transformers 5"}'
    )
    assert load(folder)[0].model.id == "tiny-1.5b"


def test_float32_on_a_cpu_is_reproducible_and_shares_batches(folder):
    engine, _ = load(folder)
    assert engine.model.reproducibility == "reproducible"
    assert engine.rows == engine.max_active > 1


def test_where_rows_disturb_each_other_they_run_alone(folder, monkeypatch):
    monkeypatch.setattr(concurrency, "independent_rows", lambda llama, most: 1)
    engine, _ = load(folder)
    assert (engine.model.reproducibility, engine.rows, engine.max_requests) == ("reproducible", 1, 64)
    assert 1 < engine.max_active <= concurrency.ACTIVE_ALONE


def test_bfloat16_is_statistical(folder):
    engine, _ = load(folder, dtype="bfloat16")
    assert (engine.model.dtype, engine.model.reproducibility) == ("bfloat16", "statistical")


def test_what_the_makers_recommend_is_told(folder):
    (folder / "generation_config.json").write_text('{"temperature": 0.3, "top_k": 7, "repetition_penalty": 1.2}')
    engine, _ = load(folder)
    assert engine.model.sampling == Sampling(temperature=0.3, top_k=7, repetition_penalty=1.2)


def test_end_tokens_come_from_both_configs(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 4]}')
    assert loading.load_codec(folder).end_tokens == {3, 4, 264}


def test_a_folder_without_tokenizer_is_unusable(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnusable, match=r"tokenizer\.json cannot be read"):
        load(folder)


def test_a_gpu_that_is_not_there_is_not_made_up(folder, monkeypatch):
    monkeypatch.setattr(loading, "probe_cuda", lambda: None)
    config = EngineConfig(model=str(folder), models_dir=folder.parent, device="cuda")
    with pytest.raises(ModelUnusable, match="there is none"):
        load_engine(config, lambda stage, fraction: None)


def test_a_folder_that_was_changed_behind_its_times_is_not_served(folder):
    import os

    load(folder)
    path = folder / "model.safetensors"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ModelUnusable, match="changed without a trace"):
        load(folder)
