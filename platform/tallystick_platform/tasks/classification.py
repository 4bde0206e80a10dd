"""Classification: each text, or pair of texts, to the labels that a model knows, with their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Value
from tallystick.tasks import classification
from tallystick.tasks.classification import Texts
from tallystick.tasks.neutral import CLASSIFICATION
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.each import Each, check_truncation
from tallystick_platform.tasks.task import Gather, Task


class Labelling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How labels are given. `top_k` is how many of the most probable, None for all; `raw_scores` are the model's own numbers."""

    top_k: int | None = None
    raw_scores: bool = False
    truncate_prompt_tokens: int | None = None


class ClassificationCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine finds labels for. It answers with one piece for each: all labels with their scores, in msgpack."""

    texts: tuple[Texts, ...]
    how: Labelling


_calls = msgspec.msgpack.Decoder(ClassificationCall)


def decode_call(body: bytes) -> ClassificationCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Classification(Task[tuple[Texts, ...], Labelling]):
    """Texts to labels."""

    name = classification.NAME
    parameters = Labelling
    neutral = CLASSIFICATION

    def defaults(self, _model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {}

    def check(self, used: Labelling, model: ModelInfo) -> None:
        check_truncation(used.truncate_prompt_tokens, model)

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[Texts, ...]:
        return classification.texts_of(prompt)

    def call(self, given: tuple[Texts, ...], used: Labelling) -> bytes:
        return msgspec.msgpack.encode(ClassificationCall(texts=given, how=used))

    def gather(self, _given: tuple[Texts, ...], used: Labelling) -> Gather:
        return Each(lambda piece: classification.labels_output(_labels.decode(piece), used.top_k))


_labels = msgspec.msgpack.Decoder(list[tuple[str, float]])
