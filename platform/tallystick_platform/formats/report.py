"""What is known of a model from its files alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ModelFormat(StrEnum):
    """How the weights are stored, and so which engine may read them."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    ONNX = "onnx"
    SKOPS = "skops"
    ADAPTER = "adapter"


class Task(StrEnum):
    """What a model is for. `other` has safe files and nothing here that could serve it."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    CLASSIFICATION = "classification"
    ENTITIES = "entities"
    TRANSLATION = "translation"
    SEQ2SEQ = "seq2seq"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"
    IMAGE = "image"
    CLASSICAL = "classical"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a model is, as its files say. Units: bytes, tokens, numbers of weights.

    `format` is one of `ModelFormat`, or the registry's own for a model that others serve; `task` one of `Task`. `dtype` is the type of
    most weights, for GGUF the name of its quantisation.
    """

    format: str
    task: str
    architecture: str | None = None
    licence: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    size_bytes: int
    warnings: tuple[str, ...] = ()
