"""Config-built models of other families than Llama, and adapters for them: the real loading code, in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.support.tiny_model import END, MERGES, START, TEMPLATE, tiny_tokenizer

VOCABULARY = 256 + len(MERGES) + 2
COMMON: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1}
SHAPE: dict[str, Any] = {
    **COMMON,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 640,
}
KINDS = ("qwen2", "gpt2", "mistral")


def config_of(kind: str) -> Any:
    """A tiny configuration of one family."""
    import transformers

    if kind == "qwen2":
        return transformers.Qwen2Config(**SHAPE)
    if kind == "mistral":
        return transformers.MistralConfig(**SHAPE, sliding_window=24)
    return transformers.GPT2Config(**COMMON, n_embd=48, n_layer=2, n_head=6, n_positions=640)


def write_tiny_causal(folder: Path, kind: str = "qwen2", seed: int = 0) -> Path:
    """A whole model folder as the transformers library would save it, with the tiny tokenizer and template."""
    import transformers

    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config_of(kind))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "bos_token": {"content": START}}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def write_tiny_adapter(folder: Path, base: Path, seed: int = 1) -> Path:
    """A LoRA adapter with random weights for a base folder."""
    import peft
    import transformers

    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(0.0, 0.5)
    adapted.save_pretrained(folder)
    return folder
