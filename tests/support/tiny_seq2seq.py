"""Encoders with decoders, with random weights and real tokenizers: T5, Marian and NLLB styles, in milliseconds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

SENTENCES = ("the sun and the moon", "a stick of the miller", "the river of debts", "moon and sun and stick")
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}
INNER = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
LONGEST = 48


def _sentencepiece(path: Path, **given: Any) -> list[str]:
    """Train a tiny model; its pieces."""
    import sentencepiece

    written = io.BytesIO()
    told = {"vocab_size": 60, "hard_vocab_limit": False, "minloglevel": 2, **given}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES * 20), model_writer=written, **told)
    path.write_bytes(written.getvalue())
    found = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [found.id_to_piece(at) for at in range(found.get_piece_size())]


def _save(model: Any, folder: Path) -> None:
    torch.manual_seed(3)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    model.save_pretrained(folder)


def write_tiny_t5(folder: Path, **generation: Any) -> Path:
    """Text to text, with prefixes for two directions of translation."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    pieces = _sentencepiece(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = transformers.T5Tokenizer(vocab=[(piece, 0.0 - at) for at, piece in enumerate(pieces)], extra_ids=0)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
    prefixes = {
        "translation_en_to_de": {"prefix": "sun to moon: "},
        "translation_en_to_fr": {"prefix": "sun to river: "},
    }
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0, n_positions=64, task_specific_params=prefixes,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    model.generation_config.update(**generation)
    _save(model, folder)
    return folder


def write_tiny_marian(folder: Path, marks: tuple[str, ...] = ()) -> Path:
    """One direction, or several target languages by marks before a text."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    pieces = _sentencepiece(folder / "source.spm")
    _sentencepiece(folder / "target.spm")
    vocabulary = {piece: at for at, piece in enumerate(["</s>", "<unk>", *marks, *pieces[3:], "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    told = {
        "source_lang": "eng",
        "target_lang": "fra",
        "model_max_length": LONGEST,
        "tokenizer_class": "MarianTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary), max_position_embeddings=64, pad_token_id=len(vocabulary) - 1, eos_token_id=0,
        decoder_start_token_id=len(vocabulary) - 1, scale_embedding=True, **SIZES, **INNER,
    )  # fmt: skip
    model = transformers.MarianMTModel(config)
    model.generation_config.update(num_beams=3, max_length=20, bad_words_ids=[[len(vocabulary) - 1]])
    _save(model, folder)
    return folder


def write_tiny_nllb(folder: Path) -> Path:
    """Many languages, by a token before the text and one that its translation begins with."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    pieces = _sentencepiece(folder / "sentencepiece.bpe.model", model_type="bpe")
    vocabulary = {piece: at for at, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces[3:]])}
    codes = ["deu_Latn", "eng_Latn", "fra_Latn"]
    tokenizer = transformers.NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=codes, src_lang="eng_Latn")
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer) + 8, max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        decoder_start_token_id=2, **SIZES, **INNER,
    )  # fmt: skip
    model = transformers.M2M100ForConditionalGeneration(config)
    model.generation_config.update(max_length=24)
    _save(model, folder)
    return folder
