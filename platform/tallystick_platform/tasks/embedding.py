"""Embedding: texts to vectors of unit length, one for each, in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Value
from tallystick.tasks import embedding
from tallystick.tasks.embedding import Text
from tallystick.tasks.neutral import EMBEDDING
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.each import Each, check_truncation
from tallystick_platform.tasks.task import Gather, Task


class Length(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much of each vector is given: its first `dimensions` numbers, brought to unit length again.

    `truncate_prompt_tokens` is how many tokens of each text are read, where it may be cut; -1 is as many as the model reads. `prompt_name`
    is one of the model's own prompts, to be put before each text in place of its default one.
    """

    dimensions: int
    truncate_prompt_tokens: int | None = None
    prompt_name: str | None = None


class EmbeddingCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine computes vectors from: texts, the model's own tokens, or instructions with texts.

    It answers with one piece for each: little-endian float32.
    """

    inputs: tuple[str | tuple[int | str, ...], ...]
    how: Length


_decoder = msgspec.msgpack.Decoder(EmbeddingCall)


def decode_call(body: bytes) -> EmbeddingCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _decoder.decode(body)


class Embedding(Task[tuple[Text, ...], Length]):
    """Texts to vectors."""

    name = embedding.NAME
    parameters = Length
    neutral = EMBEDDING

    def defaults(self, model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {"dimensions": model.dimensions or 0}

    def check(self, used: Length, model: ModelInfo) -> None:
        if not 1 <= used.dimensions <= (model.dimensions or 0):
            reason = f"is {used.dimensions}, the model's vectors have {model.dimensions}"
            raise ParameterOutOfRange(param="dimensions", reason=reason)
        check_truncation(used.truncate_prompt_tokens, model)

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[Text, ...]:
        return embedding.inputs_of(prompt)

    def call(self, given: tuple[Text, ...], used: Length) -> bytes:
        return msgspec.msgpack.encode(EmbeddingCall(inputs=given, how=used))

    def gather(self, _given: tuple[Text, ...], _used: Length) -> Gather:
        return Each(embedding.vector_output)
