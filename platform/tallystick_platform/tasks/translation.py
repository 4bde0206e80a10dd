"""Translation, and whatever else turns a text into another one, by a model that reads it whole and then writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import translation
from tallystick.tasks.completion import text_output
from tallystick.tasks.neutral import TRANSLATION
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.each import Each, check_truncation
from tallystick_platform.tasks.task import Gather, Task

DEFAULTS: Mapping[str, Any] = {
    "max_tokens": 256,
    "num_beams": 1,
    "length_penalty": 1.0,
    "early_stopping": False,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}
"""Where the model's files say nothing either."""


class Writing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a text is written: the most probable one that a search with so many beams finds.

    What a request leaves open, the model's files say. Languages are the model's own codes; None where it knows one direction, or none.
    """

    max_tokens: int
    num_beams: int
    length_penalty: float
    early_stopping: bool
    repetition_penalty: float
    no_repeat_ngram_size: int
    source_language: str | None = None
    target_language: str | None = None
    truncate_prompt_tokens: int | None = None


class TranslationCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine reads. It answers with one piece for each text: a `Written` in msgpack."""

    texts: tuple[str, ...]
    how: Writing


_calls = msgspec.msgpack.Decoder(TranslationCall)


def decode_call(body: bytes) -> TranslationCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Translation(Task[tuple[str, ...], Writing]):
    """Texts to texts."""

    name = translation.NAME
    parameters = Writing
    neutral = TRANSLATION

    def defaults(self, model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {**DEFAULTS, **model.defaults}

    def check(self, used: Writing, model: ModelInfo) -> None:
        check_truncation(used.truncate_prompt_tokens, model)
        if used.max_tokens > model.context_length:
            reason = f"is {used.max_tokens}, and the model writes up to {model.context_length} tokens"
            raise ParameterOutOfRange(param="max_tokens", reason=reason)

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[str, ...]:
        return translation.texts_of(prompt)

    def call(self, given: tuple[str, ...], used: Writing) -> bytes:
        return msgspec.msgpack.encode(TranslationCall(texts=given, how=used))

    def gather(self, _given: tuple[str, ...], _used: Writing) -> Gather:
        return Each(_output)


class Written(msgspec.Struct, frozen=True, array_like=True):
    """A text, and whether it came to its end or was cut at the most tokens."""

    text: str
    finish_reason: str


_written = msgspec.msgpack.Decoder(Written)


def _output(piece: bytes) -> Output:
    found = _written.decode(piece)
    return text_output(found.text, found.finish_reason)
