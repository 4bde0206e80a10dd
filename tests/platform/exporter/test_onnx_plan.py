"""Which models go to ONNX, and with which bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.onnx.plan import MAX_CONFIG_BYTES, Family, Plan, plan
from tallystick_platform.exporter.spec import ExportSpec

LLAMA = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4}


def planned(folder: Path, config: Any, quantization: str | None = None) -> Plan:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return plan(
        ExportSpec(
            source=folder,
            source_digest=bytes(32),
            model="people/tiny",
            version="0123456789ab",
            task="chat",
            format="onnx",
            target=folder / "target",
            quantization=quantization,
        )
    )


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("Qwen2ForCausalLM", Family.LANGUAGE),
        ("BertModel", Family.ENCODER),
        ("BertForSequenceClassification", Family.ENCODER),
        ("WhisperForConditionalGeneration", Family.SPEECH),
    ],
)
def test_the_architecture_decides_the_family(tmp_path: Path, architecture: str, family: Family) -> None:
    assert planned(tmp_path, {**LLAMA, "architectures": [architecture]}).family is family


def test_full_precision_of_a_language_model_must_agree_in_every_token(tmp_path: Path) -> None:
    assert planned(tmp_path, LLAMA).bound == {"max_logit_difference": 1e-3, "greedy_agreement": 1.0}


def test_full_precision_of_an_encoder_is_held_to_a_ten_thousandth(tmp_path: Path) -> None:
    assert planned(tmp_path, {"architectures": ["BertModel"]}).bound == {"max_logit_difference": 1e-4}


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_few_bits_are_held_to_perplexity(tmp_path: Path, quantization: str) -> None:
    assert set(planned(tmp_path, LLAMA, quantization).bound) == {"perplexity_difference"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({**LLAMA, "auto_map": {"AutoModel": "modeling.Model"}}, "code of its own"),
        ({**LLAMA, "quantization_config": {"bits": 4}}, "already quantised"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "T5ForConditionalGeneration"),
        ({"architectures": ["BartModel"], "is_encoder_decoder": True}, "BartModel"),
        ({}, "names no architecture"),
        ({**LLAMA, "hidden_size": 32}, "heads are 8 numbers wide"),
        ([], "not an object"),
        ("{", "cannot be read"),
        ('"' + "x" * MAX_CONFIG_BYTES + '"', "the limit is"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(tmp_path: Path, config: Any, words: str) -> None:
    with pytest.raises(ExportRefused, match=words):
        planned(tmp_path, config)


def test_an_unknown_precision_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="fp32, int8, int4, not as 'int3'"):
        planned(tmp_path, LLAMA, "int3")


def test_an_encoder_does_not_go_to_four_bits(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="fp32, int8, not as 'int4'"):
        planned(tmp_path, {"architectures": ["BertModel"]}, "int4")
