"""A model folder with random weights, small enough to load in milliseconds and real enough for every code path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tallystick_platform.engine.text import byte_level_alphabet
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import CHAT, COMPLETION, EMBEDDING
from tallystick_platform.tasks.drawing import Draw, Turn, decode_call, encode_call
from tallystick_platform.tasks.embedding import EmbeddingCall, Length

END, START = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MERGES = ["t h", "th e", "Ġ a", "a n", "an d", "i n", "e r"]


def tiny_config(**changes: Any) -> dict[str, Any]:
    """A config.json: grouped heads, two layers, every token of the tiny tokenizer."""
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10_000.0, "rope_type": "default"},
        "max_position_embeddings": 640,
        "tie_word_embeddings": True,
        "vocab_size": 256 + len(MERGES) + 2,
        "bos_token_id": None,
        "eos_token_id": 257 + len(MERGES),
        "attention_bias": False,
        "mlp_bias": False,
    }
    return {**config, **changes}


def tiny_tokenizer() -> Tokenizer:
    """Byte-level, with a few merges and the two chat marks as special tokens."""
    vocabulary = {letter: index for index, letter in enumerate(sorted(byte_level_alphabet()))}
    merges = []
    for merge in MERGES:
        left, right = merge.split(" ")
        merges.append((left, right))
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(START, special=True), AddedToken(END, special=True)])
    return tokenizer


def write_tiny_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a whole model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "bos_token": {"content": START}}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    save_file(tiny_weights(config, seed), folder / "model.safetensors")
    return folder


def tiny_weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of the transformers library."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator) * 0.3

    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    weights = {
        "model.embed_tokens.weight": random(config["vocab_size"], hidden),
        "model.norm.weight": 1 + random(hidden),
    }
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = random(config["vocab_size"], hidden)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}."
        weights |= {
            layer + "self_attn.q_proj.weight": random(queries, hidden),
            layer + "self_attn.k_proj.weight": random(keys, hidden),
            layer + "self_attn.v_proj.weight": random(keys, hidden),
            layer + "self_attn.o_proj.weight": random(hidden, queries),
            layer + "mlp.gate_proj.weight": random(inner, hidden),
            layer + "mlp.up_proj.weight": random(inner, hidden),
            layer + "mlp.down_proj.weight": random(hidden, inner),
            layer + "input_layernorm.weight": 1 + random(hidden),
            layer + "post_attention_layernorm.weight": 1 + random(hidden),
        }
    return weights


def request(number: int = 1, text: str = "Hello", **changes: Any) -> Call:
    """A greedy chat for a few tokens. `messages` stand in place of the text."""
    turns = changes.pop("messages", ({"role": "user", "content": text},))
    return Call(number.to_bytes(16), CHAT.name, encode_call(draw(**changes), turns=tuple(turns)))


def completion(number: int, prompt: str | tuple[int, ...], **changes: Any) -> Call:
    """A greedy completion of a few tokens."""
    return Call(number.to_bytes(16), COMPLETION.name, encode_call(draw(**changes), prompt=prompt))


def embedding(number: int, inputs: tuple[str | tuple[int, ...], ...], dimensions: int) -> Call:
    """Vectors of texts."""
    body = msgspec.msgpack.encode(EmbeddingCall(inputs=inputs, how=Length(dimensions=dimensions)))
    return Call(number.to_bytes(16), EMBEDDING.name, body)


def draw(**changes: Any) -> Draw:
    """Greedy, for a few tokens."""
    values = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 8, "stop": (), "seed": 1}
    return Draw(**{**values, **changes})


def turns_of(call: Call) -> tuple[Turn, ...]:
    """What a chat says."""
    return decode_call(call.body).turns or ()
