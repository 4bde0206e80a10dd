"""`POST /v1/rerank`: documents in the order in which they fit a query."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tallystick.tasks import neutral, rerank
from tallystick_platform import tasks
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, Truncated, outputs_of
from tallystick_platform.api.wire.texts.usage import TextCounts, usage_of
from tallystick_platform.exchange.line import Recorded

Documents = Annotated[list[str | dict[str, Any]], Meta(min_length=1)]


class RerankBody(Body, frozen=True, kw_only=True):
    """A rerank request. `documents` and `texts` are two names of the same.

    Of other parameters of the same APIs, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    query: Annotated[str, Meta(min_length=1)]
    documents: (
        Annotated[Documents, Meta(description='Up to 2,048 texts, each by itself or as {"text": ...}.')] | None
    ) = None
    texts: Documents | None = None
    top_n: Annotated[int, Meta(ge=1, description="So many of the best; all without it.")] | None = None
    raw_scores: Annotated[bool, Meta(description="A cross-encoder's own numbers, not brought to 0 to 1.")] | None = None
    truncate_prompt_tokens: Truncated | None = None
    return_documents: bool | None = None
    return_text: Annotated[bool, Meta(description="The same as 'return_documents'.")] | None = None


class Document(Struct, frozen=True, kw_only=True):
    """A document as it was sent."""

    text: str


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document by its place in the request, and how well it fits."""

    index: int
    relevance_score: float
    document: Document | None = None


class Ranking(Struct, frozen=True, kw_only=True, tag_field="object", tag=rerank.OBJECT):
    """An answer to a rerank request: the best document first."""

    id: str
    model: str
    results: list[Result]
    usage: TextCounts
    tallystick: Proof


class _Score(Struct, frozen=True):
    index: int
    score: float


def _whole(body: RerankBody, recorded: Recorded, tallystick: Proof) -> Ranking:
    scores = [one for output in outputs_of(recorded) for one in msgspec.convert(output.content, list[_Score])]
    documents = body.documents or body.texts or []
    shown = bool(body.return_documents or body.return_text)
    return Ranking(
        id=f"rerank-{recorded.record.id.hex()}",
        model=body.model,
        results=[
            Result(
                index=one.index,
                relevance_score=one.score,
                document=Document(text=_text(documents[one.index])) if shown else None,
            )
            for one in scores
        ],
        usage=usage_of(recorded.record.usage),
        tallystick=tallystick,
    )


def _text(document: str | dict[str, Any]) -> str:
    return document if isinstance(document, str) else str(document[rerank.TEXT])


RERANK = OpenAiAddress(
    name="rerank",
    routes=(rerank.TARGET,),
    summary="Have documents ranked by how well they fit a query",
    task=tasks.RERANK,
    reader=rerank.READER,
    subject=rerank.SUBJECTS[0],
    body=RerankBody,
    neutral=neutral.RERANK,
    read_members=rerank.read_members,
    answers=Ranking,
    whole=_whole,
)
