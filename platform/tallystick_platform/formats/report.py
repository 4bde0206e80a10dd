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
class FolderReport:
    """A model folder, inspected and not loaded. Units: bytes, tokens, numbers of weights.

    `files` are all that belong to the model, by name: what `tallystick.manifest` covers. `dtype` is the type of most weights, for
    GGUF the name of its quantisation. `base_model` is what an adapter says it was trained on, in its author's words.
    """

    format: ModelFormat
    task: Task
    architecture: str | None
    licence: str | None
    dtype: str | None
    parameters: int | None
    context_length: int | None
    size_bytes: int
    files: tuple[str, ...]
    warnings: tuple[str, ...]
    base_model: str | None = None
