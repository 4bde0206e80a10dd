"""A Whisper that was never trained, with every file of a real folder: small enough to run in a test."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

LANGUAGES = ("en", "de")
WORDS = 200
END = WORDS
"""The first special token; the others stand behind it in Whisper's own order."""


def write_tiny_whisper(folder: Path, *, multilingual: bool = True) -> Path:
    """A folder in the layout of openai/whisper-*, for texts of up to 31 tokens a window."""
    folder.mkdir(exist_ok=True)
    names = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{name}|>" for name in LANGUAGES), "<|translate|>"]
    names += ["<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{at * 0.02:.2f}|>" for at in range(1_501)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())[:WORDS]
    vocabulary = {word: at for at, word in enumerate([*letters, *names, *times])}
    tokenizer = Tokenizer(models.BPE(vocab={word: at for word, at in vocabulary.items() if at < WORDS}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(names)
    tokenizer.add_tokens(times)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(7)
    config = transformers.WhisperConfig(
        vocab_size=len(vocabulary), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=80, max_target_positions=32,
        decoder_start_token_id=END + 1, bos_token_id=END, eos_token_id=END, pad_token_id=END,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():  # else the same token comes again and again
        for weight in model.parameters():
            weight.mul_(6)
    spoken = {"lang_to_id": {f"<|{name}|>": vocabulary[f"<|{name}|>"] for name in LANGUAGES},
              "task_to_id": {name: vocabulary[f"<|{name}|>"] for name in ("translate", "transcribe")}}  # fmt: skip
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=END + 1, bos_token_id=END, eos_token_id=END, pad_token_id=END, max_length=32,
        is_multilingual=multilingual, no_timestamps_token_id=vocabulary["<|notimestamps|>"],
        prev_sot_token_id=vocabulary["<|startofprev|>"], max_initial_timestamp_index=50, return_timestamps=False,
        suppress_tokens=list(range(END + 1, vocabulary["<|notimestamps|>"])), begin_suppress_tokens=[END],
        **(spoken if multilingual else {}),
    )  # fmt: skip
    model.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    return folder
