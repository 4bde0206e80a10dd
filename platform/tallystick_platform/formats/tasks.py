"""What a model is for, from what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick_platform.formats.json_text import short_text, whole_number
from tallystick_platform.formats.report import Task

MAX_CONTEXT_TOKENS = 1 << 40
_CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_sequence_length",
    "seq_length",
    "max_target_positions",
)
_TRANSCRIBERS = frozenset({"whisper", "speech_to_text", "moonshine", "speech-encoder-decoder"})
_TRANSLATORS = frozenset({"marian", "m2m_100", "nllb-moe", "fsmt", "seamless_m4t", "seamless_m4t_v2"})
_SPEAKERS = frozenset({"vits", "bark", "speecht5", "csm", "dia"})
_EMBEDDERS_GGUF = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "t5encoder", "gemma-embedding"})
_BY_HEAD: tuple[tuple[str, Task], ...] = (
    ("ForSequenceClassification", Task.CLASSIFICATION),
    ("ForTokenClassification", Task.ENTITIES),
    ("ForImageClassification", Task.CLASSIFICATION),
    ("ForAudioClassification", Task.CLASSIFICATION),
    ("ForSpeechSeq2Seq", Task.TRANSCRIPTION),
    ("ForCTC", Task.TRANSCRIPTION),
    ("ForTextToSpeech", Task.SPEECH),
    ("ForTextToWaveform", Task.SPEECH),
    ("ForMaskedLM", Task.EMBEDDING),
    ("EncoderModel", Task.EMBEDDING),
)
_SERVED: Mapping[str, tuple[str, ...]] = {
    Task.CHAT: ("chat", "completion"),
    Task.EMBEDDING: ("embedding", "rerank"),
    Task.RERANK: ("rerank", "classification"),
    Task.SEQ2SEQ: ("translation",),
    Task.CLASSICAL: ("prediction",),
}
GENERATORS = ("ForCausalLM", "LMHeadModel")
"""How the transformers library's classes of language models end."""
_BY_ADAPTER = {
    "CAUSAL_LM": Task.CHAT,
    "SEQ_CLS": Task.CLASSIFICATION,
    "TOKEN_CLS": Task.ENTITIES,
    "SEQ_2_SEQ_LM": Task.SEQ2SEQ,
    "FEATURE_EXTRACTION": Task.EMBEDDING,
}


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The class that the weights belong to, or the family where none is named."""
    named = config.get("architectures")
    return short_text(named[0] if isinstance(named, list) and named else None) or short_text(config.get("model_type"))


def task_of(config: Mapping[str, Any], *, chat_template: bool, sentence_encoder: bool) -> Task:
    """From a transformers configuration."""
    architecture, family = architecture_of(config) or "", short_text(config.get("model_type")) or ""
    if sentence_encoder:
        return Task.EMBEDDING
    if family in _TRANSCRIBERS:
        return Task.TRANSCRIPTION
    if family in _SPEAKERS:
        return Task.SPEECH
    if family in _TRANSLATORS:
        return Task.TRANSLATION
    for head, task in _BY_HEAD:
        if architecture.endswith(head):
            # One label is a score: how well two texts fit each other.
            return Task.RERANK if head == "ForSequenceClassification" and _labels(config) == 1 else task
    if architecture.endswith(GENERATORS):
        return Task.CHAT if chat_template else Task.COMPLETION
    if architecture.endswith(("ForConditionalGeneration", "MTModel")):
        return Task.CHAT if chat_template else Task.SEQ2SEQ
    return Task.EMBEDDING if architecture.endswith("Model") else Task.OTHER


def task_of_adapter(kind: str | None) -> Task:
    """From the task that an adapter was trained for. Its base alone knows whether a causal one chats; most do."""
    return _BY_ADAPTER.get(kind or "CAUSAL_LM", Task.OTHER)


def task_of_gguf(architecture: str | None, *, chat_template: bool) -> Task:
    """From a GGUF file's architecture."""
    if architecture in _EMBEDDERS_GGUF:
        return Task.EMBEDDING
    if architecture in {None, "clip", "imatrix"}:
        return Task.OTHER
    return Task.CHAT if chat_template else Task.COMPLETION


def context_length_of(config: Mapping[str, Any]) -> int | None:
    """Units: tokens."""
    for part in (config, config.get("text_config")):
        if isinstance(part, dict):
            for key in _CONTEXT_KEYS:
                found = whole_number(part.get(key), MAX_CONTEXT_TOKENS)
                if found is not None:
                    return found
    return None


def served_by(task: str) -> tuple[str, ...]:
    """What a model that is for this can be asked with, first of all what it is for: the names of tasks in records."""
    return _SERVED.get(task, (str(task),))


def _labels(config: Mapping[str, Any]) -> int | None:
    names = config.get("id2label")
    return len(names) if isinstance(names, dict) else whole_number(config.get("num_labels"), 1 << 20)
