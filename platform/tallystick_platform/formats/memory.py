"""How much memory a model takes, from its headers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tallystick_platform.formats.folder import Contents, look_into, task_in
from tallystick_platform.formats.json_text import whole_number
from tallystick_platform.formats.limits import MIB
from tallystick_platform.formats.report import ModelFormat, Task
from tallystick_platform.formats.weights import is_leftover

PROCESS_BYTES = 640 * MIB  # interpreter, torch, tokenizer, the file's pages and one forward pass, as measured
WIDTH_BYTES = 4  # of a number as it is computed with
_GENERATING = frozenset({Task.CHAT, Task.COMPLETION, Task.SEQ2SEQ, Task.TRANSLATION, Task.TRANSCRIPTION})
_WHOLE = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "STRING"})  # stay as they are


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """What a worker will hold. Units: bytes. `overhead_bytes` is the process, its libraries and the largest intermediate."""

    weights_bytes: int
    kv_bytes: int
    overhead_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.overhead_bytes


def estimate(folder: Path, *, kv_tokens: int) -> MemoryEstimate:
    """Weights in 32 bits, and caches for `kv_tokens` tokens over all requests together. Raises: FormatError, UnsafeModel."""
    found = look_into(folder)
    if found.format is ModelFormat.SKOPS and found.skops is not None:
        # The library keeps the file's arrays beside what it builds of them.
        return MemoryEstimate(weights_bytes=2 * found.skops.arrays_bytes, kv_bytes=0, overhead_bytes=PROCESS_BYTES)
    weights = found.weights
    stored = weights.total_bytes
    if found.format is not ModelFormat.ONNX and not _quantised(found):
        stored = sum(
            weights.stored_bytes[name] if name in _WHOLE else WIDTH_BYTES * count
            for name, count in weights.elements.items()
        )
    return MemoryEstimate(
        weights_bytes=stored,
        kv_bytes=kv_tokens * _kv_numbers(found) * WIDTH_BYTES,
        # While it is loaded, the largest tensor is there twice: as it was stored and as it is computed with.
        overhead_bytes=PROCESS_BYTES + weights.largest * WIDTH_BYTES,
    )


def _quantised(found: Contents) -> bool:
    entry = found.config.get("quantization_config")
    return isinstance(entry, dict) and not is_leftover(found.config, found.weights.elements)


def _kv_numbers(found: Contents) -> int:
    """Numbers that one token leaves in the cache: a key and a value for every layer and head of keys."""
    if task_in(found) not in _GENERATING:
        return 0
    if found.gguf is not None:
        family = found.gguf.architecture
        read = {key: found.gguf.metadata.get(f"{family}.{name}") for key, name in _GGUF_NAMES.items()}
    else:
        inner = found.config.get("text_config")
        config = {**found.config, **inner} if isinstance(inner, dict) else found.config
        read = {key: next((config[name] for name in names if name in config), None) for key, names in _NAMES.items()}
    known = {key: whole_number(value, MAX_SHAPE_NUMBER) for key, value in read.items()}
    layers, hidden, heads = known["layers"], known["hidden"], known["heads"]
    if layers is None or hidden is None or heads is None:
        return 0
    return 2 * layers * (known["kv_heads"] or heads) * (known["head_dim"] or -(-hidden // heads))


MAX_SHAPE_NUMBER = 1 << 24
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"),
        "hidden": ("hidden_size", "n_embd", "d_model"),
        "heads": ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads"),
        "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
        "head_dim": ("head_dim",),
    }
)
_GGUF_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "layers": "block_count",
        "hidden": "embedding_length",
        "heads": "attention.head_count",
        "kv_heads": "attention.head_count_kv",
        "head_dim": "attention.key_length",
    }
)
