"""A quantisation that a configuration names and the weights do not have.

Tools that dequantise a model, or merge an adapter into one, often leave the entry `quantization_config` behind. Loaders then
refuse plain weights, or quantise them anew. The files decide: where every tensor is plain, the entry counts for nothing, and
whoever writes the model out again leaves it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tallystick_platform.formats.json_text import read_json_object
from tallystick_platform.formats.weights import safetensors_weights

ENTRY = "quantization_config"
PLAIN_TYPES = frozenset(
    {"F64", "F32", "F16", "BF16", "I64", "BOOL"}
)  # whole numbers of 64 bits are positions, not weights


def is_leftover(config: Mapping[str, Any], types: Iterable[str]) -> bool:
    """Whether a configuration names a quantisation, and tensors of these types are none."""
    kinds = set(types)
    return ENTRY in config and bool(kinds) and kinds <= PLAIN_TYPES


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json without an entry that its weights contradict. Raises: FormatError."""
    config = read_json_object(folder / "config.json")
    if ENTRY in config:
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        if is_leftover(config, safetensors_weights(folder, names).elements):
            del config[ENTRY]
    return config
