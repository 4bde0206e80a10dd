"""Answers that are text: how tokens are drawn, what the engine is told, and how its pieces become text again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Output
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo
from tallystick_platform.tasks.task import G, Task

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 0  # 0: every token stays a candidate
DEFAULT_MAX_TOKENS = 1024  # or what the model's context holds, where that is less

Turn = Mapping[str, str]


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn, as the record states it."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...]
    seed: int


class TextCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine computes text from: the turns of a conversation, or a prompt as it stands, as text or as the model's own tokens."""

    draw: Draw
    turns: tuple[Turn, ...] | None = None
    prompt: str | tuple[int, ...] | None = None


def encode_call(
    draw: Draw, *, turns: tuple[Turn, ...] | None = None, prompt: str | tuple[int, ...] | None = None
) -> bytes:
    """The engine's message."""
    return msgspec.msgpack.encode(TextCall(draw=_as_drawn(draw), turns=turns, prompt=prompt))


def decode_call(body: bytes) -> TextCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _decoder.decode(body)


_decoder = msgspec.msgpack.Decoder(TextCall)


def defaults(model: ModelInfo) -> dict[str, Any]:
    """What a request runs with that says nothing of it: the model's own recommended values, and the server's where there are none.

    Each is filled in by itself, whatever else the sender gave.
    """
    own = model.sampling
    return {
        "temperature": DEFAULT_TEMPERATURE if own.temperature is None else own.temperature,
        "top_p": DEFAULT_TOP_P if own.top_p is None else own.top_p,
        "top_k": DEFAULT_TOP_K if own.top_k is None else own.top_k,
        "max_tokens": min(DEFAULT_MAX_TOKENS, model.context_length),
    }


class TextTask(Task[G, Draw]):
    """A task that is answered with one text."""

    parameters = Draw

    def defaults(self, model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        """The same in full. A seed is drawn where the sender gave none, so that every answer can be repeated."""
        return {**defaults(model), "stop": (), "seed": draw_seed()}

    def check(self, used: Draw, model: ModelInfo) -> None:
        """Raises: ParameterOutOfRange for more tokens than the model's context holds."""
        if used.max_tokens > model.context_length:
            reason = f"is {used.max_tokens}, the model's context holds {model.context_length} tokens"
            raise ParameterOutOfRange(param="max_tokens", reason=reason)

    def gather(self) -> GatheredText:
        return GatheredText(self.output)

    @abstractmethod
    def output(self, text: str, finish_reason: str | None) -> Output:
        """The text as the record holds it."""


class GatheredText:
    """One text, put together from its pieces; `output` gives it the form of the record."""

    __slots__ = ("_output", "_texts")

    def __init__(self, output: Callable[[str, str | None], Output]) -> None:
        self._output = output
        self._texts: list[str] = []

    def add(self, piece: str | bytes) -> None:
        """One more piece."""
        self._texts.append(piece if isinstance(piece, str) else piece.decode())

    def outputs(self, finish_reason: str | None) -> tuple[Output, ...]:
        """The text so far."""
        return (self._output("".join(self._texts), finish_reason),)


def _as_drawn(draw: Draw) -> Draw:
    """The same as an engine takes it: clients have two more ways to say something, and records keep what was said.

    A `top_p` of 0 leaves the most probable token alone, which is what a temperature of 0 takes; a `top_k` of -1 is no limit, as 0 is.
    """
    if draw.top_p == 0:
        return msgspec.structs.replace(draw, temperature=0.0, top_p=1.0, top_k=max(draw.top_k, 0))
    return draw if draw.top_k >= 0 else msgspec.structs.replace(draw, top_k=0)
