"""Which models can become GGUF files: the names of their tensors there, and what the file says of their shape.

Source: the GGUF specification's standard names, and for the Llama family the order in which llama.cpp expects the rows
of the query and key projections: rotation pairs side by side instead of one half after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick_platform.exporter.errors import ExportRefused

Value = int | float | str | bool

_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_IN_LAYER = re.compile(r"model\.layers\.(\d{1,5})\.([a-z_.]+)\.(weight|bias)")
_FORGOTTEN = re.compile(r"model\.layers\.\d{1,5}\.self_attn\.rotary_emb\.inv_freq")  # old files store what is computed
EMBEDDINGS = frozenset({"token_embd.weight", "output.weight"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How one family is written. `biases` are the layer's parts that may have one; `pairs` asks for rotation pairs."""

    name: str
    pairs: bool
    biases: frozenset[str]
    names_head_size: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a configuration says of a model. Units: tokens, numbers of layers, heads and features."""

    architecture: Architecture
    layers: int
    context: int
    hidden: int
    inner: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    rope_theta: float
    norm_epsilon: float
    tied: bool

    def keys(self) -> dict[str, Value]:
        """The file's keys for the shape; the GGUF specification names them."""
        name = self.architecture.name
        return {
            f"{name}.block_count": self.layers,
            f"{name}.context_length": self.context,
            f"{name}.embedding_length": self.hidden,
            f"{name}.feed_forward_length": self.inner,
            f"{name}.attention.head_count": self.heads,
            f"{name}.attention.head_count_kv": self.key_heads,
            f"{name}.attention.key_length": self.head_size,
            f"{name}.attention.value_length": self.head_size,
            f"{name}.attention.layer_norm_rms_epsilon": self.norm_epsilon,
            f"{name}.rope.dimension_count": self.head_size,
            f"{name}.rope.freq_base": self.rope_theta,
            f"{name}.vocab_size": self.vocabulary,
        }

    def place(self, name: str) -> str | None:
        """A tensor's name in the file; None for what the file does not hold. Raises: ExportRefused for unknown ones."""
        if _FORGOTTEN.fullmatch(name) or (name == "lm_head.weight" and self.tied):
            return None
        if name in _WHOLE:
            return _WHOLE[name]
        found = _IN_LAYER.fullmatch(name)
        part = _LAYER.get(found[2]) if found else None
        if found is None or part is None or int(found[1]) >= self.layers:
            raise ExportRefused(reason=f"the tensor {name!a} has no place in a GGUF file of {self.architecture.name}")
        if found[3] == "bias" and found[2] not in self.architecture.biases:
            raise ExportRefused(reason=f"{self.architecture.name} has no bias at {name!a} in GGUF")
        return f"blk.{int(found[1])}.{part}.{found[3]}"

    def heads_of(self, name: str) -> int | None:
        """How many heads the rows of a tensor of the file belong to, where their order changes."""
        if not self.architecture.pairs:
            return None
        return {"attn_q": self.heads, "attn_k": self.key_heads}.get(name.split(".")[-2])

    def expected(self) -> frozenset[str]:
        """The weights that a loader will look for."""
        parts = (f"blk.{layer}.{part}.weight" for layer in range(self.layers) for part in _LAYER.values())
        return frozenset(
            {*parts, "token_embd.weight", "output_norm.weight"} | (set() if self.tied else {"output.weight"})
        )


_ATTENTION_BIASES = frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"})
_LLAMA = Architecture(name="llama", pairs=True, biases=_ATTENTION_BIASES | {"self_attn.o_proj"}, names_head_size=True)
ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Architecture(name="qwen2", pairs=False, biases=_ATTENTION_BIASES, names_head_size=False),
}


def read_shape(config: Mapping[str, Any]) -> Shape:
    """What a config.json says, where all of it can be said in GGUF. Raises: ExportRefused, naming what cannot."""
    listed = config.get("architectures")
    named = str(listed[0]) if isinstance(listed, list) and listed else "none"
    architecture = ARCHITECTURES.get(named)
    if architecture is None:
        raise ExportRefused(reason=f"the architecture {named!a} is not written as GGUF; {', '.join(ARCHITECTURES)} are")
    _refuse_unsaid(config, named)
    heads, hidden = _count(config, "num_attention_heads"), _count(config, "hidden_size")
    head_size = _count(config, "head_dim", hidden // heads)
    if not architecture.names_head_size and head_size * heads != hidden:
        raise ExportRefused(reason=f"readers of {architecture.name} take heads of {hidden // heads}, not {head_size}")
    rope = config.get("rope_parameters") or {}
    return Shape(
        architecture=architecture,
        layers=_count(config, "num_hidden_layers"),
        context=_count(config, "max_position_embeddings"),
        hidden=hidden,
        inner=_count(config, "intermediate_size"),
        heads=heads,
        key_heads=_count(config, "num_key_value_heads", heads),
        head_size=head_size,
        vocabulary=_count(config, "vocab_size"),
        rope_theta=_number(rope.get("rope_theta", config.get("rope_theta", 10_000.0)), "rope_theta"),
        norm_epsilon=_number(config.get("rms_norm_eps", 1e-6), "rms_norm_eps"),
        tied=config.get("tie_word_embeddings") is True,
    )


def _refuse_unsaid(config: Mapping[str, Any], named: str) -> None:
    """Refuse what these architectures' files cannot express, or what their readers would not heed."""
    rope, scaling = config.get("rope_parameters") or {}, config.get("rope_scaling") or {}
    kinds = {rope.get("rope_type"), scaling.get("rope_type"), scaling.get("type")} - {None, "default"}
    if kinds:
        raise ExportRefused(reason=f"{named} with rotary scaling {kinds.pop()!a} is not written as GGUF")
    if config.get("hidden_act", "silu") != "silu":
        raise ExportRefused(reason=f"{named} with the activation {config['hidden_act']!a} is not written as GGUF")
    window = config.get("sliding_window")
    used = config.get("use_sliding_window", named == "MistralForCausalLM") is True
    if used and isinstance(window, int) and window < config.get("max_position_embeddings", 0):
        raise ExportRefused(reason=f"{named} with a sliding window of {window} is not written as GGUF")
    if config.get("quantization_config"):
        raise ExportRefused(reason="the source is quantized already; export it from the weights that it was made of")


def _count(config: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = config.get(name)
    value = default if value is None else value
    if type(value) is not int or not 0 < value < 2**31:
        raise ExportRefused(reason=f"the configuration's {name} is {value!a}, not a count")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e12:
        raise ExportRefused(reason=f"the configuration's {name} is {value!a}, not a positive number")
    return float(value)
