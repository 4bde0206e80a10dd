"""Answers that are text: how tokens are drawn, what the engine is told, and how its pieces become texts again."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tallystick.record import Output
from tallystick.tasks.structure import Structure
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, Piece, TokenEntry
from tallystick_platform.tasks.task import FinishReasons, G, Gather, Task

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 0  # 0: every token stays a candidate
DEFAULT_MAX_TOKENS = 1024  # or what the model's context holds, where that is less
MAX_CHOICES = 16  # answers to one request, side by side
MAX_TOP_LOGPROBS = 20
MAX_SHOWN_TOKENS = 131_072  # of one request, with the alternatives of each: what a record and its reader hold

Turn = Mapping[str, Any]


class Draw(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How tokens are drawn, as the record states it. What has a default here changes nothing at that value."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    min_p: float = 0.0
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    n: int = 1
    best_of: int | None = None


class TextCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an engine computes texts from: the turns of a conversation, or a prompt as it stands, as text or as the model's own tokens.

    `tools` are what the chat template is told of. `template` came with the request and stands in for the model's.

    `logit_bias` is added to the logits of tokens, by their ids. `logprobs` is how many alternatives each token comes with, None where none
    of it is wanted; `echo` has the prompt stand in front of the answer, with the same.
    """

    draw: Draw
    turns: tuple[Turn, ...] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    template: str | None = None
    prompt: str | tuple[int, ...] | None = None
    structure: Structure | None = None
    logit_bias: Mapping[int, float] = {}
    logprobs: int | None = None
    echo: bool = False


def encode_call(draw: Draw, **given: Any) -> bytes:
    """The engine's message: `given` are the other members of a `TextCall`."""
    return msgspec.msgpack.encode(TextCall(draw=_as_drawn(draw), **given))


def decode_call(body: bytes) -> TextCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _decoder.decode(body)


_decoder = msgspec.msgpack.Decoder(TextCall)


def choice_seed(seed: int, index: int) -> int:
    """The seed of one of several answers to a request: the first has the request's own, so that it is the answer to a request for one.

    The others are the first 8 bytes, as a big-endian number, of SHA-256("tallystick choice" || seed || index), both as 8 bytes, big-endian.
    """
    if index == 0:
        return seed
    told = b"tallystick choice" + (seed % 2**64).to_bytes(8) + index.to_bytes(8)
    return int.from_bytes(hashlib.sha256(told).digest()[:8])


def defaults(model: ModelInfo) -> dict[str, Any]:
    """What a request runs with that says nothing of it: the model's own recommended values, and the server's where there are none.

    Each is filled in by itself, whatever else the sender gave.
    """
    own = model.sampling
    acting = {"min_p": own.min_p, "repetition_penalty": own.repetition_penalty}
    return {
        **{name: value for name, value in acting.items() if value is not None},
        "temperature": DEFAULT_TEMPERATURE if own.temperature is None else own.temperature,
        "top_p": DEFAULT_TOP_P if own.top_p is None else own.top_p,
        "top_k": DEFAULT_TOP_K if own.top_k is None else own.top_k,
        "max_tokens": min(DEFAULT_MAX_TOKENS, model.context_length),
    }


class TextTask(Task[G, Draw]):
    """A task that is answered with texts."""

    parameters = Draw

    def defaults(self, model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        """The same in full. A seed is drawn where the sender gave none, so that every answer can be repeated."""
        return {**defaults(model), "stop": (), "seed": draw_seed()}

    def check(self, used: Draw, model: ModelInfo) -> None:
        """Raises: ParameterOutOfRange for more tokens than the model's context holds, and where parameters contradict each other."""
        if used.max_tokens > model.context_length:
            reason = f"is {used.max_tokens}, the model's context holds {model.context_length} tokens"
            raise ParameterOutOfRange(param="max_tokens", reason=reason)
        if used.min_tokens > used.max_tokens:
            reason = f"is {used.min_tokens}, and 'max_tokens' is {used.max_tokens}"
            raise ParameterOutOfRange(param="min_tokens", reason=reason)
        if used.best_of is not None and used.best_of != used.n:
            reason = f"is {used.best_of} and must be 'n', {used.n}: no answers are computed to be thrown away"
            raise ParameterOutOfRange(param="best_of", reason=reason)

    def gather(self, _given: G, used: Draw) -> Gather:
        return GatheredTexts(self.output, used.n)

    @abstractmethod
    def output(self, text: str, finish_reason: str | None, entries: Sequence[TokenEntry] | None) -> Output:
        """One text as the record holds it, with its tokens where they were asked for."""


class GatheredTexts(Gather):
    """So many texts, put together from their pieces; `output` gives each the form of the record."""

    __slots__ = ("_entries", "_output", "_texts")

    def __init__(
        self, output: Callable[[str, str | None, Sequence[TokenEntry] | None], Output], count: int = 1
    ) -> None:
        self._output = output
        self._texts: list[list[str]] = [[] for _ in range(count)]
        self._entries: list[list[TokenEntry] | None] = [None] * count

    def add(self, part: Piece) -> None:
        """One more piece."""
        self._texts[part.output].append(part.data)
        if part.logprobs is not None:
            entries = self._entries[part.output] = self._entries[part.output] or []
            entries.extend(part.logprobs)

    def outputs(self, finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """The texts so far."""
        reasons = (*finish_reasons, *(None,) * len(self._texts))
        told = zip(self._texts, reasons, self._entries, strict=False)
        return tuple(self._output("".join(texts), reason, entries) for texts, reason, entries in told)


def _as_drawn(draw: Draw) -> Draw:
    """The same as an engine takes it: clients have two more ways to say something, and records keep what was said.

    A `top_p` of 0 leaves the most probable token alone, which is what a temperature of 0 takes; a `top_k` of -1 is no limit, as 0 is.
    """
    if draw.top_p == 0:
        return msgspec.structs.replace(draw, temperature=0.0, top_p=1.0, top_k=max(draw.top_k, 0))
    return draw if draw.top_k >= 0 else msgspec.structs.replace(draw, top_k=0)
