"""Which way a model goes to ONNX, in which precisions, and what its export must hold: decided from config.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.spec import (
    GREEDY_AGREEMENT,
    MAX_LOGIT_DIFFERENCE,
    PERPLEXITY_DIFFERENCE,
    ExportSpec,
)
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.json_text import read_json_object
from tallystick_platform.formats.tasks import GENERATORS

MAX_CONFIG_BYTES = 1 << 20
HEAD_MULTIPLE = 16

LANGUAGE_LOGIT_BOUND = 1e-3
ENCODER_BOUND = 1e-4
SPEECH_LOGIT_BOUND = 1e-3
# The demonstration model of 135 million parameters loses 1 % in 8 bits and 14 % in 4; a larger model loses less.
INT8_PERPLEXITY_BOUND = 0.02
INT4_PERPLEXITY_BOUND = 0.25
INT8_SIMILARITY_BOUND = 0.05
INT8_CHOICE_BOUND = 0.75

_HEADS: Final = ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM", "ForQuestionAnswering")


BUILT: Final = (
    "Ernie4_5ForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "GemmaForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM",
    "HunYuanDenseV1ForCausalLM", "Lfm2ForCausalLM", "Lfm2MoeForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
    "NemotronForCausalLM", "OlmoForCausalLM", "Phi3ForCausalLM", "PhiForCausalLM", "PhiMoEForCausalLM", "Qwen2ForCausalLM",
    "Qwen3ForCausalLM", "SmolLM3ForCausalLM",
)  # fmt: skip
"""The language models that the builder of onnxruntime-genai writes, and that need no code of their own."""


class Family(StrEnum):
    """How a model is built and run as ONNX."""

    LANGUAGE = "language"
    ENCODER = "encoder"
    SPEECH = "speech"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be written and what it must hold."""

    family: Family
    architecture: str
    precision: str
    bound: Mapping[str, float]


_BOUNDS: Final[Mapping[tuple[Family, str], Mapping[str, float]]] = {
    (Family.LANGUAGE, "fp32"): {MAX_LOGIT_DIFFERENCE: LANGUAGE_LOGIT_BOUND, GREEDY_AGREEMENT: 1.0},
    (Family.LANGUAGE, "int8"): {PERPLEXITY_DIFFERENCE: INT8_PERPLEXITY_BOUND},
    (Family.LANGUAGE, "int4"): {PERPLEXITY_DIFFERENCE: INT4_PERPLEXITY_BOUND},
    (Family.ENCODER, "fp32"): {MAX_LOGIT_DIFFERENCE: ENCODER_BOUND},
    (Family.ENCODER, "int8"): {MAX_LOGIT_DIFFERENCE: INT8_SIMILARITY_BOUND, GREEDY_AGREEMENT: INT8_CHOICE_BOUND},
    (Family.SPEECH, "fp32"): {MAX_LOGIT_DIFFERENCE: SPEECH_LOGIT_BOUND, GREEDY_AGREEMENT: 1.0},
}


def plan(spec: ExportSpec) -> Plan:
    """How to export this model, or why not. Raises: ExportRefused."""
    try:
        config = read_json_object(spec.source / "config.json", MAX_CONFIG_BYTES)
    except FormatError as error:
        raise ExportRefused(reason=f"the model's config.json cannot be read: {error.reason}") from error
    architecture, family = _kind(config)
    precision = (spec.quantization or "fp32").lower()
    bound = _BOUNDS.get((family, precision))
    if bound is None:
        known = ", ".join(_known(family))
        raise ExportRefused(reason=f"{architecture} goes to ONNX as {known}, not as {precision!r}")
    return Plan(family=family, architecture=architecture, precision=precision, bound=bound)


def precisions(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The number formats that a model of this configuration can be had in. Raises: ExportRefused, with why in none."""
    return _known(_kind(config)[1])


def _known(family: Family) -> tuple[str, ...]:
    return tuple(name for kind, name in _BOUNDS if kind is family)


def _kind(config: Mapping[str, Any]) -> tuple[str, Family]:
    """The architecture, and how its family is built. Raises: ExportRefused."""
    architecture = str((config.get("architectures") or [""])[0])
    if config.get("auto_map"):
        raise ExportRefused(
            reason=f"{architecture or 'the model'} brings code of its own, and no model's code is run here"
        )
    if config.get("quantization_config"):
        raise ExportRefused(reason="the model's weights are already quantised; export the model that they came from")
    family = _family(architecture, encoder_decoder=bool(config.get("is_encoder_decoder")))
    if family is Family.LANGUAGE:
        if architecture not in BUILT:
            raise ExportRefused(
                reason=f"{architecture} is not among the architectures that can be written as ONNX: {', '.join(BUILT)}"
            )
        _check_heads(config)
        _check_rotations(config, architecture)
    return architecture, family


def _check_heads(config: Mapping[str, Any]) -> None:
    """What the runtime's attention takes. Raises: ExportRefused."""
    width = config.get("head_dim") or config.get("hidden_size", 0) // max(1, config.get("num_attention_heads", 1))
    if width % HEAD_MULTIPLE:
        reason = f"the model's heads are {width} numbers wide, ONNX Runtime takes multiples of {HEAD_MULTIPLE}"
        raise ExportRefused(reason=reason)


def _check_rotations(config: Mapping[str, Any], architecture: str) -> None:
    """The builder would scale the rotation of local layers, too. Raises: ExportRefused."""
    ways = config.get("rope_parameters") or {}
    whole = ways.get("full_attention") if isinstance(ways, dict) else None
    scaled = whole.get("rope_type", "default") != "default" if isinstance(whole, dict) else config.get("rope_scaling")
    if architecture == "Gemma3ForCausalLM" and scaled:
        raise ExportRefused(reason=f"{architecture} with a scaled rotary embedding cannot be written as ONNX")


def _family(architecture: str, *, encoder_decoder: bool) -> Family:
    if architecture == "WhisperForConditionalGeneration":
        return Family.SPEECH
    if architecture.endswith(GENERATORS):
        return Family.LANGUAGE
    if not encoder_decoder and architecture.endswith((*_HEADS, "Model")):
        return Family.ENCODER
    raise ExportRefused(
        reason=f"{architecture or 'a model that names no architecture'} cannot be exported to ONNX here; "
        "language models, encoders, classifiers and whisper can"
    )
