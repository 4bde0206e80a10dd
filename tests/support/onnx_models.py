"""Small model folders with random weights for the ONNX exporter: other language models, a classifier, an encoder, whisper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.tiny_model import END, START, TEMPLATE, tiny_tokenizer


def write_tokenizer(folder: Path) -> Path:
    """The byte-level tokenizer of the tiny model."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    names = {"eos_token": END, "bos_token": START, "pad_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def write_qwen2(folder: Path, seed: int = 0) -> Path:
    """A language model with biases in its projections and a head of its own."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=tiny_tokenizer().get_vocab_size(),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        initializer_range=0.1,
        eos_token_id=tiny_tokenizer().token_to_id(END),
        bos_token_id=tiny_tokenizer().token_to_id(START),
    )
    return _saved(Qwen2ForCausalLM(config).to(torch.bfloat16), folder)


GEMMA = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "query_pre_attn_scalar": 16,
    "max_position_embeddings": 8192,
    "initializer_range": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def write_gemma2(folder: Path, seed: int = 0) -> Path:
    """A language model every other layer of which looks back over a window that is longer than any text of a test."""
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(seed)
    size = tiny_tokenizer().get_vocab_size()
    config = Gemma2Config(vocab_size=size, num_hidden_layers=2, sliding_window=4096, **GEMMA)
    return _saved(Gemma2ForCausalLM(config), folder)


def write_gemma3(folder: Path, seed: int = 0) -> Path:
    """One whose local layers rotate otherwise than its global one."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(seed)
    size = tiny_tokenizer().get_vocab_size()
    config = Gemma3TextConfig(vocab_size=size, num_hidden_layers=6, sliding_window=512, **GEMMA)
    return _saved(Gemma3ForCausalLM(config), folder)


def write_mamba(folder: Path, seed: int = 0) -> Path:
    """A language model without attention, and so without a cache of keys and values."""
    import torch
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(seed)
    config = MambaConfig(
        vocab_size=tiny_tokenizer().get_vocab_size(),
        hidden_size=32,
        state_size=8,
        num_hidden_layers=2,
        time_step_rank=4,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
    )
    return _saved(MambaForCausalLM(config), folder)


def write_gpt2(folder: Path, seed: int = 0) -> Path:
    """A language model that the builder of onnxruntime-genai does not know."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    size = tiny_tokenizer().get_vocab_size()
    config = GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=1)
    return _saved(GPT2LMHeadModel(config), folder)


def write_bert(folder: Path, labels: int | None = None, seed: int = 0) -> Path:
    """An encoder, or with labels a classifier."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=tiny_tokenizer().get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=128,
        initializer_range=0.1,
        num_labels=labels or 2,
        pad_token_id=tiny_tokenizer().token_to_id(END),
    )
    return _saved(BertModel(config) if labels is None else BertForSequenceClassification(config), folder)


def write_whisper(folder: Path, seed: int = 0) -> Path:
    """Speech to text with two layers on each side."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(seed)
    end = tiny_tokenizer().token_to_id(END)
    config = WhisperConfig(
        vocab_size=tiny_tokenizer().get_vocab_size(),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_mel_bins=80,
        max_source_positions=1500,
        max_target_positions=64,
        init_std=0.3,
        decoder_start_token_id=tiny_tokenizer().token_to_id(START),
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = WhisperForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):  # the library starts them at zero, as no trained model has them
            torch.nn.init.normal_(weight, std=0.1)
    folder = _saved(model, folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder


def _saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    write_tokenizer(folder)
    if model.can_generate():
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder
