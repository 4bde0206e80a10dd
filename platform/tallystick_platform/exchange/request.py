"""What one chat request asks, after the edge has read it and before anything ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tallystick.tasks import Reading
from tallystick_platform.protocol import ModelInfo

DEFAULT_TEMPERATURE = 1.0
DEFAULT_TOP_P = 1.0
DEFAULT_TOP_K = 0  # 0: every token stays a candidate
DEFAULT_MAX_TOKENS = 1024  # or what the model's context holds, where that is less
SEED_BITS = 63  # a drawn seed fits a signed 64-bit integer on every path to the sampler

Turn = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat request as the sender stated it: None means that the sender left it to the server.

    `reading` is what the record holds of it; `turns` are its messages with each content as one text, for the model.
    """

    model: str
    reading: Reading
    turns: tuple[Turn, ...]
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFacts:
    """What the record keeps of the HTTP request."""

    method: str
    path: str
    request_hash: bytes
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The parameters that the model really runs with: nothing is left to a default behind the record's back."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: tuple[str, ...]
    seed: int


def effective(request: ChatRequest, model: ModelInfo, draw_seed: Callable[[], int]) -> Effective:
    """Fill in what the sender left out; a seed is drawn where the sender gave none, so that every answer can be repeated."""
    return Effective(
        temperature=DEFAULT_TEMPERATURE if request.temperature is None else request.temperature,
        top_p=DEFAULT_TOP_P if request.top_p is None else request.top_p,
        top_k=DEFAULT_TOP_K if request.top_k is None else request.top_k,
        max_tokens=min(DEFAULT_MAX_TOKENS, model.context_length) if request.max_tokens is None else request.max_tokens,
        stop=request.stop,
        seed=draw_seed() if request.seed is None else request.seed,
    )
