"""The weights of a folder, added up from their headers, shard by shard.

A configuration may name a quantisation that the weights do not have. Tools that dequantise a model, or merge an adapter into one, often
leave the entry `quantization_config` behind. Loaders then refuse plain weights, or quantise them anew. The files decide: where every
tensor is plain, the entry counts for nothing, and whoever writes the model out again leaves it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.gguf_file import GgufHeader
from tallystick_platform.formats.json_text import parse_json_object, read_json_object
from tallystick_platform.formats.limits import MAX_CONFIGS, MAX_INDEX_BYTES, MAX_INDEX_TENSORS
from tallystick_platform.formats.names import name_fault, shown
from tallystick_platform.formats.reading import read_whole
from tallystick_platform.formats.safetensors_file import TensorIndex, read_index

ENTRY = "quantization_config"
# Whole numbers of 64 bits are positions, not weights.
PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16", "I64", "BOOL"})
INDEX_SUFFIX = ".safetensors.index.json"
SINGLE = "model.safetensors"
# Names of the transformers library, and of the models that it takes over.
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.|^output\.weight$")
_ADAPTER = re.compile(r"^base_model\.model\.|\.(?:lora_[A-Za-z_]+|base_layer)\.")


@dataclass(slots=True)
class Weights:
    """Tensors added up: `elements` and `stored_bytes` by type, `largest` the number of elements in the largest tensor.

    `embedding_rows` are those of the table that tokens are looked up in, `adapter_tensor` is a tensor that belongs to an adapter;
    both None where there is none. `has_head` says whether a head has a tensor of its own.
    """

    elements: dict[str, int] = field(default_factory=dict)
    stored_bytes: dict[str, int] = field(default_factory=dict)
    largest: int = 0
    embedding_rows: int | None = None
    has_head: bool = False
    adapter_tensor: str | None = None

    @property
    def parameters(self) -> int:
        """Numbers stored."""
        return sum(self.elements.values())

    @property
    def total_bytes(self) -> int:
        """Bytes stored."""
        return sum(self.stored_bytes.values())

    @property
    def dtype(self) -> str | None:
        """The type that takes most of the bytes."""
        return max(self.stored_bytes, key=lambda name: self.stored_bytes[name], default=None)

    def note_name(self, tensor: str, shape: tuple[int, ...]) -> None:
        """What the name of a tensor tells of the model."""
        if _EMBEDDING.search(tensor) and shape:
            self.embedding_rows = max(shape[0], self.embedding_rows or 0)
        self.has_head = self.has_head or _HEAD.search(tensor) is not None
        if self.adapter_tensor is None and _ADAPTER.search(tensor):
            self.adapter_tensor = tensor

    def add(self, dtype: str, elements: int, stored_bytes: int) -> None:
        """Count one tensor."""
        self.elements[dtype] = self.elements.get(dtype, 0) + elements
        self.stored_bytes[dtype] = self.stored_bytes.get(dtype, 0) + stored_bytes
        self.largest = max(self.largest, elements)


def safetensors_weights(folder: Path, names: Iterable[str]) -> Weights:
    """All safetensors files that a folder's loaders read; every file is checked, also those that none reads.

    Raises: FormatError where an index and its shards do not hold exactly the same tensors.
    """
    files = sorted(name for name in names if name.endswith(".safetensors"))
    indices = sorted(name for name in names if name.endswith(INDEX_SUFFIX))
    if len(indices) > MAX_CONFIGS:
        raise FormatError(path=folder, reason=f"more than {MAX_CONFIGS} indices")
    placed = {name: _read_placement(folder, name) for name in indices}
    sharded = {shard for shards in placed.values() for shard in shards}
    # A whole model and its shards side by side are the same weights twice; loaders take the whole one.
    skipped = sharded if SINGLE in files and f"model{INDEX_SUFFIX}" in placed else set()
    missing = sorted(sharded - set(files))
    if missing:
        raise FormatError(path=missing[0], reason="an index names it and it is not there")
    weights, count = Weights(), 0
    for name in files:
        index = read_index(folder / name)
        count += len(index.tensors)
        if count > MAX_INDEX_TENSORS:
            raise FormatError(path=folder, reason=f"its files hold more than {MAX_INDEX_TENSORS} tensors")
        for shards in placed.values():
            if name in shards:
                _check_shard(name, index, shards[name])
        if name not in skipped and _is_read(name, sharded, files):
            for tensor, entry in index.tensors.items():
                weights.note_name(tensor, entry.shape)
                weights.add(entry.dtype, entry.elements, entry.end - entry.begin)
    return weights


def gguf_weights(header: GgufHeader) -> Weights:
    """The tensors of one GGUF file."""
    weights = Weights()
    for tensor in header.tensors.values():
        weights.add(tensor.type_name, tensor.elements, tensor.size_bytes)
    return weights


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


def _is_read(name: str, sharded: set[str], files: list[str]) -> bool:
    """At the top of the folder only the file that loaders look for counts, where there is one; parts in folders all do."""
    if "/" in name or name in sharded:
        return True
    tops = {file for file in files if "/" not in file and file not in sharded}
    return name == SINGLE or (SINGLE not in tops and not any("/" not in shard for shard in sharded))


def _read_placement(folder: Path, name: str) -> dict[str, set[str]]:
    """Shards by name, relative to the folder, and the tensors that an index puts into each."""
    data = read_whole(folder / name, MAX_INDEX_BYTES)
    weight_map = parse_json_object(data, name, MAX_INDEX_TENSORS).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(path=name, reason="it has no weight_map")
    placed: dict[str, set[str]] = {}
    parent = PurePosixPath(name).parent
    for tensor, file in weight_map.items():
        if not isinstance(file, str) or name_fault(file) or not file.endswith(".safetensors"):
            raise FormatError(
                path=name, reason=f"it puts {shown(tensor)} into what is no safetensors file of the folder"
            )
        placed.setdefault((parent / file).as_posix(), set()).add(tensor)
    return placed


def _check_shard(name: str, index: TensorIndex, expected: set[str]) -> None:
    found = index.tensors.keys()
    lacking, extra = expected - found, found - expected
    if lacking or extra:
        which = f"lacks {shown(min(lacking))}" if lacking else f"holds {shown(min(extra))}"
        raise FormatError(path=name, reason=f"it does not fit its index: it {which}")
