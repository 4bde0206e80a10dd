"""Embedding: texts to vectors of unit length, one for each, in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import embedding
from tallystick.tasks.neutral import EMBEDDING
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, Piece
from tallystick_platform.tasks.task import FinishReasons, Gather, Task


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each vector is given: its first `dimensions` numbers, brought to unit length again."""

    dimensions: int


class EmbeddingCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine computes vectors from: texts, or the model's own tokens. It answers with one piece for each: little-endian float32."""

    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int


_decoder = msgspec.msgpack.Decoder(EmbeddingCall)


def decode_call(body: bytes) -> EmbeddingCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _decoder.decode(body)


class Embedding(Task[tuple[str | tuple[int, ...], ...], Length]):
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

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[str | tuple[int, ...], ...]:
        return embedding.inputs_of(prompt)

    def call(self, given: tuple[str | tuple[int, ...], ...], used: Length) -> bytes:
        return msgspec.msgpack.encode(EmbeddingCall(inputs=given, dimensions=used.dimensions))

    def gather(self, _given: tuple[str | tuple[int, ...], ...], _used: Length) -> Vectors:
        return Vectors()


class Vectors(Gather):
    """The vectors, in order."""

    __slots__ = ("_vectors",)

    def __init__(self) -> None:
        self._vectors: list[bytes] = []

    def add(self, part: Piece) -> None:
        """One more vector."""
        self._vectors.append(part.data)

    def outputs(self, _finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """The vectors so far."""
        return tuple(embedding.vector_output(vector) for vector in self._vectors)
