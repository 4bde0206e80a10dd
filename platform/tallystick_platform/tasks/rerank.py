"""Rerank: how well each of several documents fits a query, the best first."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import rerank
from tallystick.tasks.neutral import RERANK
from tallystick_platform.protocol import ModelInfo, Piece
from tallystick_platform.tasks.each import check_truncation
from tallystick_platform.tasks.task import FinishReasons, Gather, Task

SCORE = struct.Struct("<d")
"""A piece of the answer: the score of the next document."""


class Ranking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How documents are ranked. `top_n` is how many of the best are given, None for all; `raw_scores` are a cross-encoder's own numbers.

    `truncate_prompt_tokens` is how many tokens of a document, with the query before it if the model reads both together, are read where it
    may be cut.
    """

    top_n: int | None = None
    raw_scores: bool = False
    truncate_prompt_tokens: int | None = None


class RerankCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine computes scores from. It answers with one piece for each document."""

    query: str
    documents: tuple[str, ...]
    how: Ranking


_calls = msgspec.msgpack.Decoder(RerankCall)


def decode_call(body: bytes) -> RerankCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Rerank(Task[tuple[str, tuple[str, ...]], Ranking]):
    """A query and documents to scores."""

    name = rerank.NAME
    parameters = Ranking
    neutral = RERANK

    def defaults(self, _model: ModelInfo, _draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {}

    def check(self, used: Ranking, model: ModelInfo) -> None:
        check_truncation(used.truncate_prompt_tokens, model)

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> tuple[str, tuple[str, ...]]:
        return rerank.query_and_documents(prompt)

    def call(self, given: tuple[str, tuple[str, ...]], used: Ranking) -> bytes:
        query, documents = given
        return msgspec.msgpack.encode(RerankCall(query=query, documents=documents, how=used))

    def gather(self, _given: tuple[str, tuple[str, ...]], used: Ranking) -> Gather:
        return Ranked(used.top_n)


class Ranked(Gather):
    """The scores, one after another."""

    __slots__ = ("_scores", "_top_n")

    def __init__(self, top_n: int | None) -> None:
        self._top_n = top_n
        self._scores: list[float] = []

    def add(self, part: Piece) -> None:
        """The score of the next document."""
        self._scores.extend(SCORE.unpack(part.data))

    def outputs(self, _finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """The documents by their scores."""
        return (rerank.scores_output(dict(enumerate(self._scores)), self._top_n),)
