"""How a folder says that vectors are made, in the layout of sentence-transformers; any other encoder's are the mean of its outputs.

`modules.json` names the modules: the encoder, how its outputs are pooled, products behind that. What is put before texts stands in
`config_sentence_transformers.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tallystick_platform.engine.causal import read_json, read_text
from tallystick_platform.engine.model_store import MODULES_FILE
from tallystick_platform.engine.states import AFTER_PADDING
from tallystick_platform.errors import ModelUnusable, kind_of

MAX_LAYOUT_BYTES = 1_048_576
DEFAULT_LONGEST = 512

Pool = Callable[[Tensor], Tensor]
"""Shapes: [tokens, width] to [width]."""


def _weighted_mean(states: Tensor) -> Tensor:
    """Later tokens weigh more."""
    weights = torch.arange(1, len(states) + 1, device=states.device, dtype=states.dtype)
    return (states * weights[:, None]).sum(0) / weights.sum()


POOLS: Mapping[str, Pool] = {
    "cls": lambda states: states[0],
    "max": lambda states: states.amax(0),
    "mean": lambda states: states.mean(0),
    "mean_sqrt_len_tokens": lambda states: states.sum(0) / len(states) ** 0.5,
    "weightedmean": _weighted_mean,
    "lasttoken": lambda states: states[-1],
}
"""By the names of sentence-transformers, in the order in which that joins several of them."""
_OLDER_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda vector: vector,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": torch.nn.functional.gelu,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A product that a pooled vector goes through."""

    weight: Tensor
    bias: Tensor | None
    activation: str

    def __call__(self, vector: Tensor) -> Tensor:
        """Shapes: [width] to [other width]."""
        return ACTIVATIONS[self.activation](torch.nn.functional.linear(vector, self.weight, self.bias))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a folder says that vectors are made. `prompts` are put before texts, and pooled with them where `pools_prompt`.

    `dense` are the folders of products, in their order.
    """

    pools: tuple[str, ...] = ("mean",)
    pools_prompt: bool = True
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    longest: int | None = None
    dense: tuple[str, ...] = ()

    def prompt_of(self, names: Sequence[str]) -> str:
        """The first of the prompts that is there, else the default one."""
        return next((self.prompts[name] for name in names if name in self.prompts), self.default_prompt)


def read_dense(folder: Path, place: str, dtype: torch.dtype, device: torch.device) -> Dense:
    """A product's folder. Raises: ModelUnusable."""
    activation = str(_optional(folder, f"{place}/config.json").get("activation_function")).rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise ModelUnusable(reason=f"its vectors go through {activation[:60]}, which is not computed here")
    try:
        tensors = load_file(folder / place / "model.safetensors")
        weight, bias = tensors["linear.weight"].to(device, dtype), tensors.get("linear.bias")
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelUnusable(reason=f"{place}/model.safetensors cannot be read: {kind_of(error)}") from error
    return Dense(weight=weight, bias=None if bias is None else bias.to(device, dtype), activation=activation)


def read_layout(folder: Path) -> Layout:
    """How vectors are made. Raises: ModelUnusable for what is not computed here."""
    if not (folder / MODULES_FILE).is_file():
        return Layout()
    try:
        modules = json.loads(read_text(folder / MODULES_FILE, MAX_LAYOUT_BYTES))
        kinds = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ModelUnusable(reason=f"{MODULES_FILE} does not list the modules") from error
    pooling: dict[str, Any] = {"pooling_mode": "mean"}
    dense: list[str] = []
    for at, (kind, place) in enumerate(kinds):
        if kind == "Pooling" and at == 1:
            pooling = _optional(folder, f"{place}/config.json")
        elif kind == "Dense" and at > 1:
            dense.append(place)
        elif (kind, at, place) != ("Transformer", 0, "") and kind != "Normalize":
            raise ModelUnusable(reason=f"{MODULES_FILE} has {kind[:60]} in place {at}, which is not computed here")
    settings = _optional(folder, "sentence_bert_config.json")
    prompts, default = _prompts(_optional(folder, "config_sentence_transformers.json"))
    longest = settings.get("max_seq_length")
    return Layout(
        pools=tuple(_pools(pooling)),
        pools_prompt=pooling.get("include_prompt") is not False,
        lower_case=settings.get("do_lower_case") is True,
        prompts=prompts,
        default_prompt=default,
        longest=longest if type(longest) is int else None,
        dense=tuple(dense),
    )


def _prompts(config: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The prompts by their names, and the one that is put before a text unasked. Raises: ModelUnusable for a default that is not there."""
    found = config.get("prompts")
    prompts = {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
    name = config.get("default_prompt_name")
    if name is not None and name not in prompts:
        raise ModelUnusable(reason="its default prompt is none of its prompts")
    return prompts, "" if name is None else prompts[name]


def _pools(config: Mapping[str, Any]) -> list[str]:
    """The names in a pooling module's configuration, in either of its two spellings. Raises: ModelUnusable."""
    named = config.get("pooling_mode")
    found = (
        named
        if isinstance(named, list)
        else [named]
        if named
        else [name for key, name in _OLDER_NAMES.items() if config.get(key)]
    )
    if not found or any(name not in POOLS for name in found):
        raise ModelUnusable(reason="its pooling is not computed here")
    return [name for name in POOLS if name in found]


def longest_of(folder: Path, config: Any, stated: int | None = None) -> int:
    """Tokens of one input: the least of what the folder, its tokenizer and the model's learned positions say."""
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and config.model_type in AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    told = [stated, _optional(folder, "tokenizer_config.json").get("model_max_length"), positions]
    return min((each for each in told if type(each) is int and each > 0), default=DEFAULT_LONGEST)


def _optional(folder: Path, name: str) -> dict[str, Any]:
    """A configuration, empty where there is no such file. Raises: ModelUnusable, for a file outside of the folder too."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelUnusable(reason=f"{MODULES_FILE} names a place outside of the folder")
    return read_json(path, MAX_LAYOUT_BYTES) if path.is_file() else {}
