"""Encoders with random weights in the layout of sentence-transformers, in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WIDTH, LONGEST = 48, 64
WORDS = ("the", "sun", "moon", "river", "stick", "debt", "a", "of", "miller", "[", "]", "sep", "cls", "##s")


def encoder_tokenizer() -> Tokenizer:
    """Word pieces, with a token before and one after every text."""
    vocabulary = {word: at for at, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def write_tiny_headed(
    folder: Path,
    head: str,
    labels: Sequence[str] = ("good", "bad", "odd"),
    family: str = "Bert",
    **changes: Any,
) -> Path:
    """A folder of a family with a head, such as `SequenceClassification`."""
    import transformers

    torch.manual_seed(1)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
    config = getattr(transformers, f"{family}Config")(
        **{
            "vocab_size": len(SPECIAL) + len(WORDS),
            "max_position_embeddings": 2 * LONGEST,
            "pad_token_id": 0,
            **sizes,
            **names,
            **changes,
        }
    )
    model = getattr(transformers, f"{family}For{head}")(config)
    for weights in model.parameters():  # numbers that differ from label to label
        torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    encoder_tokenizer().save(str(folder / "tokenizer.json"))
    names_of_tokens = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    seen = ["input_ids", "attention_mask", *(["token_type_ids"] if family == "Bert" else [])]
    told = {"model_max_length": LONGEST, "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": seen}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **names_of_tokens}))
    return folder


def write_tiny_encoder(folder: Path, *, pooling: dict[str, Any] | None = None, longest: int | None = LONGEST) -> Path:
    """A BERT folder; with a `pooling` configuration it has the layout of sentence-transformers."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=WIDTH,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2 * LONGEST,
        pad_token_id=0,
    )
    transformers.BertModel(config).save_pretrained(folder)
    encoder_tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 2 * LONGEST}))
    if pooling is not None:
        kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    return folder
