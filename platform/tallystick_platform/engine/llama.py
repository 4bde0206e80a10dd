"""The forward pass of the Llama family, written out so that what runs is what the record says.

Rows of a decode batch meet in matrix products alone; attention runs per request over its own cache. The transformers library
is the oracle of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from tallystick_platform.engine.linear import Linear
from tallystick_platform.errors import ModelUnusable, kind_of
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.weights import read_config


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaShape:
    """The sizes of a model, as its config.json states them."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context_length: int
    norm_epsilon: float
    rope_theta: float
    tied: bool


def read_shape(config: Mapping[str, Any]) -> LlamaShape:
    """Raises: ModelUnusable naming what this engine does not compute."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    refused = {
        f"model type {config.get('model_type')!r}": config.get("model_type") != "llama",
        f"activation {config.get('hidden_act')!r}": config.get("hidden_act", "silu") != "silu",
        "attention with bias": bool(config.get("attention_bias")),
        "MLP with bias": bool(config.get("mlp_bias")),
        f"rope type {rope.get('rope_type')!r}": rope.get("rope_type", "default") != "default",
        "quantised weights": "quantization_config" in config,
    }
    for what, present in refused.items():
        if present:
            raise ModelUnusable(reason=f"this engine does not compute {what}")
    try:
        heads = int(config["num_attention_heads"])
        return LlamaShape(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            vocabulary=int(config["vocab_size"]),
            context_length=int(config["max_position_embeddings"]),
            norm_epsilon=float(config["rms_norm_eps"]),
            rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise ModelUnusable(reason=f"its config.json lacks {error.args[0]}") from error


def is_plain_llama(folder: Path) -> bool:
    """Whether this forward pass computes the model of a folder. Raises: ModelUnusable where the folder says nothing."""
    try:
        config = read_config(folder)
    except FormatError as error:
        raise ModelUnusable(reason=f"config.json cannot be read: {kind_of(error)}") from error
    try:
        read_shape(config)
    except (ModelUnusable, AttributeError, TypeError, ValueError):
        return False
    return True


class KvCache:
    """Keys and values of one request. Shapes: [layers, kv_heads, capacity, head_dim]."""

    __slots__ = ("keys", "length", "values")

    def __init__(self, shape: LlamaShape, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        size = (shape.layers, shape.kv_heads, capacity, shape.head_dim)
        self.keys = torch.empty(size, dtype=dtype, device=device)
        self.values = torch.empty(size, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.keys.shape[2]


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    out: Linear
    gate_up: Linear
    down: Linear
    attention_norm: Tensor
    mlp_norm: Tensor


class LlamaModel:
    """Weights and the two ways to run them."""

    def __init__(
        self, shape: LlamaShape, tensor: Callable[[str], Tensor], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape, self.dtype, self.device = shape, dtype, device

        def load(name: str) -> Tensor:
            return tensor(name).to(device=device, dtype=dtype)

        def fused(*names: str) -> Linear:
            return Linear(torch.cat([load(name) for name in names]))

        # The lookup copies rows, so the table may keep the file's own, smaller type.
        self._embedding = tensor("model.embed_tokens.weight").to(device)
        self._layers = []
        for index in range(shape.layers):
            prefix = f"model.layers.{index}."
            attention, mlp = prefix + "self_attn.", prefix + "mlp."
            self._layers.append(
                _Layer(
                    qkv=fused(*(f"{attention}{name}_proj.weight" for name in ("q", "k", "v"))),
                    out=fused(attention + "o_proj.weight"),
                    gate_up=fused(mlp + "gate_proj.weight", mlp + "up_proj.weight"),
                    down=fused(mlp + "down_proj.weight"),
                    attention_norm=load(prefix + "input_layernorm.weight"),
                    mlp_norm=load(prefix + "post_attention_layernorm.weight"),
                )
            )
        self._final_norm = load("model.norm.weight")
        self._head = fused("model.embed_tokens.weight" if shape.tied else "lm_head.weight")
        self._cos, self._sin = _rotations(shape, dtype, device)

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return self._embedding.shape[0]

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return self.shape.context_length

    @property
    def cache_bytes_per_token(self) -> int:
        """A key and a value for every layer and head of keys."""
        return 2 * self.shape.layers * self.shape.kv_heads * self.shape.head_dim * self.dtype.itemsize

    def products(self) -> list[Linear]:
        """One of the matrix products for each size that occurs: what computes them is chosen by size alone."""
        found = [self._head]
        for layer in self._layers:
            found += [layer.qkv, layer.out, layer.gate_up, layer.down]
        return list({product.shape: product for product in found}.values())

    def new_cache(self, capacity: int) -> KvCache:
        """Room for one request of at most `capacity` tokens."""
        return KvCache(self.shape, capacity, self.dtype, self.device)

    @torch.inference_mode()
    def prefill(self, cache: KvCache, tokens: Sequence[int]) -> Tensor:
        """Append a piece of a prompt. Shapes: answers the last token's logits, [vocabulary] float32.

        Requires: the piece fits the cache.
        """
        return self._logits(self._append(cache, tokens)[-1:])[0]

    @torch.inference_mode()
    def score(self, cache: KvCache, tokens: Sequence[int]) -> Tensor:
        """The same with the logits of each token, [tokens, vocabulary]; the last one's have the very bits of `prefill`."""
        hidden = self._append(cache, tokens)
        last = self._logits(hidden[-1:])
        return torch.cat((self._logits(hidden[:-1]), last)) if len(tokens) > 1 else last

    def fork(self, cache: KvCache) -> KvCache:
        """Another cache that holds the same."""
        fresh = self.new_cache(cache.capacity)
        fresh.keys[:, :, : cache.length] = cache.keys[:, :, : cache.length]
        fresh.values[:, :, : cache.length] = cache.values[:, :, : cache.length]
        fresh.length = cache.length
        return fresh

    def _append(self, cache: KvCache, tokens: Sequence[int]) -> Tensor:
        start, stop = cache.length, cache.length + len(tokens)
        positions = torch.arange(start, stop, device=self.device)
        mask = None if start == 0 else torch.arange(stop, device=self.device)[None, :] <= positions[:, None]

        def attend(index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            cache.keys[index, :, start:stop] = key.transpose(0, 1)
            cache.values[index, :, start:stop] = value.transpose(0, 1)
            group = self.shape.heads // self.shape.kv_heads
            mixed = functional.scaled_dot_product_attention(
                query.transpose(0, 1)[None],
                cache.keys[index, :, :stop].repeat_interleave(group, dim=0)[None],
                cache.values[index, :, :stop].repeat_interleave(group, dim=0)[None],
                attn_mask=mask,
                is_causal=mask is None,
            )
            return mixed[0].transpose(0, 1)

        hidden = self._blocks(tokens, positions, attend)
        cache.length = stop
        return hidden

    @torch.inference_mode()
    def decode(self, caches: Sequence[KvCache], tokens: Sequence[int]) -> Tensor:
        """One further token for each request. Shapes: answers logits [requests, vocabulary] float32.

        Requires: every cache has room for one more token.
        """
        positions = torch.tensor([cache.length for cache in caches], device=self.device)

        def attend(index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            mixed = torch.empty_like(query)
            for row, cache in enumerate(caches):
                at = cache.length
                cache.keys[index, :, at] = key[row]
                cache.values[index, :, at] = value[row]
                # One query token: the heads that share keys stand side by side as rows, so nothing is repeated.
                grouped = query[row].view(1, self.shape.kv_heads, -1, self.shape.head_dim)
                mixed[row] = functional.scaled_dot_product_attention(
                    grouped, cache.keys[index, :, : at + 1][None], cache.values[index, :, : at + 1][None]
                ).view(self.shape.heads, self.shape.head_dim)
            return mixed

        hidden = self._blocks(tokens, positions, attend)
        for cache in caches:
            cache.length += 1
        return self._logits(hidden)

    def _blocks(
        self, tokens: Sequence[int], positions: Tensor, attend: Callable[[int, Tensor, Tensor, Tensor], Tensor]
    ) -> Tensor:
        shape, rows = self.shape, len(tokens)
        hidden = self._embedding[torch.tensor(tokens, device=self.device)].to(self.dtype)
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        sizes = [shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, shape.kv_heads * shape.head_dim]
        for index, layer in enumerate(self._layers):
            query, key, value = torch.split(layer.qkv(self._norm(hidden, layer.attention_norm)), sizes, dim=-1)
            query = _rotate(query.view(rows, shape.heads, shape.head_dim), cos, sin)
            key = _rotate(key.view(rows, shape.kv_heads, shape.head_dim), cos, sin)
            mixed = attend(index, query, key, value.view(rows, shape.kv_heads, shape.head_dim))
            hidden = hidden + layer.out(mixed.reshape(rows, -1))
            gate, up = layer.gate_up(self._norm(hidden, layer.mlp_norm)).chunk(2, dim=-1)
            hidden = hidden + layer.down(functional.silu(gate) * up)
        return hidden

    def _logits(self, hidden: Tensor) -> Tensor:
        return self._head(self._norm(hidden, self._final_norm)).float()

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden, (self.shape.hidden,), weight, self.shape.norm_epsilon)


def load_llama(folder: Path, dtype: torch.dtype, device: torch.device) -> LlamaModel:
    """A model folder in the safetensors layout. Raises: ModelUnusable."""
    try:
        shape = read_shape(read_config(folder))
        index_path = folder / "model.safetensors.index.json"
        if index_path.exists():
            where = json.loads(index_path.read_text())["weight_map"]
        else:
            with safe_open(folder / "model.safetensors", framework="pt") as whole:
                where = dict.fromkeys(whole.keys(), "model.safetensors")
        files = {name: safe_open(folder / name, framework="pt") for name in sorted(set(where.values()))}

        def tensor(name: str) -> Tensor:
            found: Tensor = files[where[name]].get_tensor(name)  # type: ignore[no-untyped-call]
            return found

        return LlamaModel(shape, tensor, dtype, device)
    except KeyError as error:
        raise ModelUnusable(reason=f"it has no tensor {error.args[0]}") from error
    except (OSError, ValueError, SafetensorError, FormatError) as error:
        raise ModelUnusable(reason=f"its weights cannot be read: {kind_of(error)}") from error


def _rotations(shape: LlamaShape, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Shapes: cosines and sines, each [context_length, head_dim]. Source: RoFormer, arXiv 2104.09864."""
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.int64).float() / shape.head_dim
    angles = torch.outer(torch.arange(shape.context_length).float(), 1.0 / shape.rope_theta**exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(device=device, dtype=dtype), angles.sin().to(device=device, dtype=dtype)


def _rotate(rows: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = rows.shape[-1] // 2
    turned = torch.cat((-rows[..., half:], rows[..., :half]), dim=-1)
    return rows * cos + turned * sin
