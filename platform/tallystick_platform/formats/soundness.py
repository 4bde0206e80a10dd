"""Whether a folder's parts fit each other, so that a model that cannot run is refused when it is registered, and not by its first customer.

`check` looks at names, shapes and the tokenizer; `check_numbers` reads every weight once, for one that is no number makes every answer one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import MAX_TEXT_BYTES, MIB
from tallystick_platform.formats.names import shown
from tallystick_platform.formats.reading import open_regular, read_exactly, read_whole
from tallystick_platform.formats.safetensors_file import LENGTH_BYTES, TensorEntry, read_index
from tallystick_platform.formats.tasks import GENERATORS
from tallystick_platform.formats.weights import Weights

TOKENIZER = "tokenizer.json"
READ_BYTES = 16 * MIB  # a multiple of every type's size
_UNTIED = frozenset(
    {
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "phi",
        "phi3",
        "olmo",
        "olmo2",
        "gpt_neox",
    }
)
"""Families of the transformers library whose head is a tensor of its own unless the configuration says otherwise."""

_NUMBERS: Mapping[str, tuple[Literal["<u2", "<u4", "<u8"], int, int]] = {
    "F16": ("<u2", 0x7FFF, 0x7C00),
    "BF16": ("<u2", 0x7FFF, 0x7F80),
    "F32": ("<u4", 0x7FFF_FFFF, 0x7F80_0000),
    "F64": ("<u8", 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000),
}
"""How each type is read as whole numbers: without its sign, whatever is above infinity is no number. Source: IEEE 754."""


class _Added(msgspec.Struct, frozen=True):
    id: int


class _Model(msgspec.Struct, frozen=True):
    vocab: dict[str, int] | list[tuple[str, float]] = msgspec.field(default_factory=dict)


class _Tokenizer(msgspec.Struct, frozen=True):
    added_tokens: list[_Added] = msgspec.field(default_factory=list)
    model: _Model = msgspec.field(default_factory=_Model)


def check(folder: Path, config: Mapping[str, Any], weights: Weights) -> None:
    """A whole model in the safetensors layout. Raises: FormatError with the reason."""
    if weights.adapter_tensor is not None:
        raise FormatError(
            path=folder,
            reason=f"its tensor {shown(weights.adapter_tensor)} has the name that an adapter gives it: merge the adapter into its"
            " base (merge_and_unload) and save that, or bring the adapter with its adapter_config.json",
        )
    if weights.embedding_rows is None:
        return
    if _lacks_head(config, weights):
        raise FormatError(
            path=folder, reason="it has no lm_head.weight, and its config.json does not tie the head to the embedding"
        )
    if (folder / TOKENIZER).is_file():
        highest = highest_token(folder / TOKENIZER)
        if highest is not None and highest >= weights.embedding_rows:
            reason = (
                f"it has tokens up to the id {highest}, and the model's embedding has {weights.embedding_rows} rows: resize the"
                " embedding (resize_token_embeddings) or bring the tokenizer that the model was trained with"
            )
            raise FormatError(path=TOKENIZER, reason=reason)


def highest_token(path: Path) -> int | None:
    """The highest id that a tokenizer gives out; None for a file that is no tokenizer. Raises: FormatError."""
    try:
        tokenizer = msgspec.json.decode(read_whole(path, MAX_TEXT_BYTES), type=_Tokenizer)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    vocabulary = tokenizer.model.vocab
    listed = max(vocabulary.values(), default=-1) if isinstance(vocabulary, dict) else len(vocabulary) - 1
    highest = max(listed, max((token.id for token in tokenizer.added_tokens), default=-1))
    return None if highest < 0 else highest


def check_numbers(folder: Path, progress: Callable[[str, float], None]) -> None:
    """Every weight is a number. Raises: FormatError naming the first tensor that holds one that is none."""
    files = sorted(path for path in folder.rglob("*.safetensors") if path.is_file())
    total = sum(path.stat().st_size for path in files) or 1
    done = 0
    for path in files:
        index = read_index(path)
        start = index.file_bytes - index.data_bytes
        with open_regular(path) as (file, _):
            for name, entry in sorted(index.tensors.items(), key=lambda item: item[1].begin):
                file.seek(start + entry.begin)
                if entry.dtype in _NUMBERS and _holds_none(file, entry, path):
                    within = path.relative_to(folder).as_posix()
                    raise FormatError(
                        path=within, reason=f"its tensor {shown(name)} holds weights that are not numbers (NaN)"
                    )
                done += entry.end - entry.begin
                progress("checking the weights", min(1.0, (done + LENGTH_BYTES) / total))


def _lacks_head(config: Mapping[str, Any], weights: Weights) -> bool:
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else ""
    if weights.has_head or not isinstance(architecture, str) or not architecture.endswith(GENERATORS):
        return False
    tied = config.get("tie_word_embeddings")
    return config.get("model_type") in _UNTIED if tied is None else not tied


def _holds_none(file: Any, entry: TensorEntry, path: Path) -> bool:
    import numpy as np  # beside skops; nothing else of this package needs it

    kind, unsigned, infinity = _NUMBERS[entry.dtype]
    left = entry.end - entry.begin
    while left:
        part = np.frombuffer(read_exactly(file, min(left, READ_BYTES), path), dtype=kind)
        if bool(((part & part.dtype.type(unsigned)) > infinity).any()):
            return True
        left -= part.nbytes
    return False
