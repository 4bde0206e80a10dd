"""What a version is offered as, told from its configuration alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnxruntime_genai
import pytest

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.offers import QUANTISED, offers
from tallystick_platform.exporter.onnx.plan import BUILT
from tallystick_platform.exporter.spec import QUANTIZATIONS
from tests.support.export_jobs import CONFIG

GEMMA3 = {"architectures": ["Gemma3ForCausalLM"]}
ROTATIONS = {"full_attention": {"rope_type": "linear", "factor": 8.0}, "sliding_attention": {"rope_type": "default"}}


def folder(place: Path, config: dict[str, Any] | None) -> Path:
    if config is not None:
        (place / "config.json").write_text(json.dumps(config))
    return place


def test_a_plain_language_model_goes_everywhere(tmp_path: Path) -> None:
    found = offers(folder(tmp_path, CONFIG), "safetensors")
    assert {name: set(kinds) for name, kinds in found.formats.items()} == {
        name: set(kinds) for name, kinds in QUANTIZATIONS.items()
    }
    assert found.refused == {}


@pytest.mark.parametrize(
    ("config", "form", "reason"),
    [
        ({"architectures": ["BertModel"]}, "gguf", "'BertModel' is not written as GGUF"),
        (
            {"architectures": ["T5ForConditionalGeneration"]},
            "onnx",
            "T5ForConditionalGeneration cannot be exported to ONNX",
        ),
        ({"head_dim": 24}, "onnx", "heads are 24 numbers wide"),
        ({"quantization_config": {"bits": 4}}, "safetensors", QUANTISED),
        ({"quantization_config": {"bits": 4}}, "gguf", "quantized already"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "gguf", "rotary scaling 'llama3'"),
        (GEMMA3 | {"rope_parameters": ROTATIONS}, "onnx", "scaled rotary embedding"),
        (GEMMA3 | {"rope_scaling": {"rope_type": "linear"}}, "onnx", "scaled rotary embedding"),
    ],
)
def test_what_is_not_offered_has_its_reason(tmp_path: Path, config: dict[str, Any], form: str, reason: str) -> None:
    found = offers(folder(tmp_path, CONFIG | config), "safetensors")
    assert form not in found.formats
    assert reason in found.refused[form]
    with pytest.raises(ExportRefused, match=re.escape(reason)):
        found.require(form, None)


@pytest.mark.parametrize("stored_as", ["gguf", "onnx", "skops", "upstream", "adapter"])
def test_what_is_stored_otherwise_is_offered_as_nothing(tmp_path: Path, stored_as: str) -> None:
    found = offers(folder(tmp_path, CONFIG), stored_as)
    assert found.formats == {}
    assert all(f"it is stored as {stored_as}" in reason for reason in found.refused.values())


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_a_folder_without_a_readable_configuration_says_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    found = offers(tmp_path, "safetensors")
    assert set(found.formats) == ({"safetensors"} if text is None else set())
    assert str(tmp_path) not in str(found.refused)


def test_a_quantization_is_taken_in_any_case_and_another_is_named(tmp_path: Path) -> None:
    found = offers(folder(tmp_path, CONFIG), "safetensors")
    found.require("gguf", "q8_0")
    with pytest.raises(ExportRefused, match="as F16, BF16, Q8_0, Q4_1, not as 'int4'"):
        found.require("gguf", "int4")


def test_the_library_writes_every_architecture_that_is_offered() -> None:
    source = Path(onnxruntime_genai.__file__).with_name("models") / "builder.py"
    known = set(re.findall(r'architectures\[0\] == "(\w+)"', source.read_text()))
    assert set(BUILT) <= known
