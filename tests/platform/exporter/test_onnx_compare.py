"""What the report says of two sides' numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tallystick_platform.exporter.onnx import encoder, language
from tallystick_platform.exporter.onnx.compare import compare
from tallystick_platform.exporter.onnx.plan import Family, Plan
from tallystick_platform.exporter.onnx.stages import REFERENCE, Stage
from tallystick_platform.exporter.spec import ExportSpec, ParityReport

LANGUAGE_BOUND = {"max_logit_difference": 1e-3, "greedy_agreement": 1.0}
WORDS = 11


def report(scratch: Path, family: Family, architecture: str, precision: str, bound: dict[str, float]) -> ParityReport:
    spec = ExportSpec(
        source=scratch,
        source_digest=bytes(32),
        model="people/tiny",
        version="0123456789ab",
        task="chat",
        format="onnx",
        target=scratch / "target",
        parity_tokens=4,
    )
    chosen = Plan(family=family, architecture=architecture, precision=precision, bound=bound)
    return compare(spec, chosen, scratch, {Stage.BUILD: 5_000_000})


def language_files(scratch: Path, *, shift: float = 0.0, tokens: int = 4) -> None:
    random = np.random.default_rng(1)
    steps, text = (random.standard_normal((count, WORDS)).astype(np.float32) for count in (tokens, 6))
    (scratch / language.PROMPTS_FILE).write_text(json.dumps({"prompt": [1, 2], "text": [3, 1, 4, 1, 5, 9]}))
    np.save(scratch / language.GREEDY_FILE, steps.argmax(-1))
    np.save(scratch / language.STEPS_FILE, steps)
    np.save(scratch / language.TEXT_FILE, text)
    np.save(scratch / (REFERENCE + language.STEPS_FILE), steps)
    np.save(scratch / (REFERENCE + language.TEXT_FILE), text + np.float32(shift))


def language_report(scratch: Path) -> ParityReport:
    return report(scratch, Family.LANGUAGE, "LlamaForCausalLM", "fp32", LANGUAGE_BOUND)


def test_the_same_numbers_pass(tmp_path: Path) -> None:
    language_files(tmp_path)
    found = language_report(tmp_path)
    assert found.passed
    assert found.max_logit_difference == 0
    assert (found.greedy_tokens, found.greedy_equal) == (4, 4)
    assert found.perplexity_difference == 0
    assert "build 5 MB" in found.notes[-1]


def test_a_difference_in_the_text_alone_is_seen(tmp_path: Path) -> None:
    language_files(tmp_path, shift=0.5)
    found = language_report(tmp_path)
    assert found.max_logit_difference == pytest.approx(0.5, abs=1e-6)
    assert not found.passed


def test_a_token_that_torch_would_not_have_chosen_ends_the_agreement(tmp_path: Path) -> None:
    language_files(tmp_path)
    tokens = np.load(tmp_path / language.GREEDY_FILE)
    tokens[2] = (tokens[2] + 1) % WORDS
    np.save(tmp_path / language.GREEDY_FILE, tokens)
    found = language_report(tmp_path)
    assert found.greedy_equal == 2
    assert not found.passed


def test_what_is_not_a_number_passes_nothing(tmp_path: Path) -> None:
    language_files(tmp_path)
    text = np.load(tmp_path / language.TEXT_FILE)
    text[3, 3] = np.nan
    np.save(tmp_path / language.TEXT_FILE, text)
    assert not language_report(tmp_path).passed


def test_logits_of_another_shape_pass_nothing(tmp_path: Path) -> None:
    language_files(tmp_path)
    np.save(tmp_path / language.TEXT_FILE, np.zeros((6, WORDS + 1), dtype=np.float32))
    assert not language_report(tmp_path).passed


def test_an_array_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    language_files(tmp_path)
    np.save(tmp_path / language.TEXT_FILE, np.array([{"an": "object"}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        language_report(tmp_path)


def encoder_files(scratch: Path, found: Any, wanted: Any, mask: Any) -> None:
    np.savez(scratch / encoder.INPUTS_FILE, **{"0.input_ids": mask, "0.attention_mask": mask})
    np.save(scratch / encoder.output_file(0), found.astype(np.float32))
    np.save(scratch / f"{REFERENCE}{encoder.output_file(0)}", wanted.astype(np.float32))


def test_padding_is_not_compared(tmp_path: Path) -> None:
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    wanted = np.arange(12.0).reshape(2, 3, 2)
    found = wanted.copy()
    found[0, 2] = 1e6
    encoder_files(tmp_path, found, wanted, mask)
    assert report(tmp_path, Family.ENCODER, "BertModel", "fp32", {"max_logit_difference": 1e-4}).passed


def test_a_real_token_is_compared(tmp_path: Path) -> None:
    mask = np.array([[1, 1, 0], [1, 1, 1]])
    wanted = np.arange(12.0).reshape(2, 3, 2)
    found = wanted.copy()
    found[0, 1, 0] += 1e-3
    encoder_files(tmp_path, found, wanted, mask)
    assert not report(tmp_path, Family.ENCODER, "BertModel", "fp32", {"max_logit_difference": 1e-4}).passed


def test_a_quantised_encoder_is_judged_by_its_similarities(tmp_path: Path) -> None:
    wanted = np.random.default_rng(2).standard_normal((4, 3, 8))
    encoder_files(tmp_path, wanted * 3, wanted, np.ones((4, 3), dtype=np.int64))
    bound = {"max_logit_difference": 1e-5, "greedy_agreement": 1.0}
    assert report(tmp_path, Family.ENCODER, "BertModel", "int8", bound).passed


def test_a_quantised_classifier_is_judged_by_its_probabilities(tmp_path: Path) -> None:
    wanted = np.array([[2.0, 1.0], [0.0, 3.0]])
    encoder_files(tmp_path, wanted + 7, wanted, np.ones((2, 3), dtype=np.int64))
    bound = {"max_logit_difference": 1e-5, "greedy_agreement": 1.0}
    assert report(tmp_path, Family.ENCODER, "BertForSequenceClassification", "int8", bound).passed


def test_another_label_is_seen(tmp_path: Path) -> None:
    wanted = np.array([[2.0, 1.0], [0.0, 3.0]])
    encoder_files(tmp_path, wanted[:, ::-1], wanted, np.ones((2, 3), dtype=np.int64))
    bound = {"greedy_agreement": 0.75}
    found = report(tmp_path, Family.ENCODER, "BertForSequenceClassification", "int8", bound)
    assert found.greedy_equal == 0
    assert not found.passed
