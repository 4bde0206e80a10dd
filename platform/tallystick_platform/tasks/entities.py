"""Entities: names, places and whatever else a model marks in texts, each with its place in the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Value
from tallystick.tasks import entities
from tallystick.tasks.entities import Strategy
from tallystick.tasks.neutral import CLASSIFICATION
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.each import Each, check_truncation
from tallystick_platform.tasks.task import Gather, Task


class Marking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How tokens are put together to entities (`tallystick.tasks.entities.Strategy`)."""

    aggregation_strategy: Strategy
    truncate_prompt_tokens: int | None = None


class EntitiesCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine looks through. It answers with one piece for each text: its entities, in msgpack."""

    texts: tuple[str, ...]
    how: Marking


_calls = msgspec.msgpack.Decoder(EntitiesCall)


def decode_call(body: bytes) -> EntitiesCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Entities(Task[tuple[str, ...], Marking]):
    """Texts to entities."""

    name = entities.NAME
    parameters = Marking
    neutral = CLASSIFICATION

    def defaults(self, _model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {"aggregation_strategy": "simple"}

    def check(self, used: Marking, model: ModelInfo) -> None:
        check_truncation(used.truncate_prompt_tokens, model)

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[str, ...]:
        return entities.texts_of(prompt)

    def call(self, given: tuple[str, ...], used: Marking) -> bytes:
        return msgspec.msgpack.encode(EntitiesCall(texts=given, how=used))

    def gather(self, _given: tuple[str, ...], _used: Marking) -> Gather:
        return Each(lambda piece: entities.entities_output(msgspec.msgpack.decode(piece)))
