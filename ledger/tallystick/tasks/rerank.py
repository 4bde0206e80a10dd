"""The task `rerank`: what a request to `POST /v1/rerank` asks, the query and the documents that a model is given, and what an answer says.

The reader `rerank/tallystick/1` takes requests as Jina's, Cohere's and TEI's clients send them: a `query`, and `documents` or `texts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tallystick.errors import AnswerError, RequestError
from tallystick.record import MAX_OUTPUTS, Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import list_at, number_at, object_at, position_at
from tallystick.tasks.reading import Reading, json_object, placed, subject_of

NAME: Final = "rerank"
READER: Final = "rerank/tallystick/1"
TARGET: Final = "/v1/rerank"
OBJECT: Final = "rerank"
QUERY: Final = "query"
SUBJECTS: Final = ("documents", "texts")
MAX_DOCUMENTS: Final = MAX_OUTPUTS
TEXT: Final = "text"
"""The member of a document that is an object."""


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a rerank request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a rerank request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    subject, query = subject_of(members, SUBJECTS), members.get(QUERY)
    if not isinstance(members[subject], list):
        raise RequestError(subject, "is not a list")
    if not isinstance(query, str):
        raise RequestError(QUERY, "is not text")
    reading = placed(members, subject, (QUERY,))
    return replace(reading, prompt={QUERY: query, **(reading.prompt or {})})


def query_and_documents(prompt: Mapping[str, Value]) -> tuple[str, tuple[str, ...]]:
    """What a model is given.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for an empty query, no document or too many, a document without text, and members that may change the answer.
    """
    neutral.require(prompt, neutral.RERANK, (QUERY, *SUBJECTS))
    subject, query = subject_of(prompt, SUBJECTS), prompt.get(QUERY)
    if not isinstance(query, str) or not query:
        raise RequestError(QUERY, "is empty or no text")
    documents = prompt[subject]
    if not isinstance(documents, list | tuple) or not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise RequestError(subject, f"is not a list of 1 to {MAX_DOCUMENTS} documents")
    return query, tuple(_text(one, f"{subject}[{at}]") for at, one in enumerate(documents))


def scores_output(scores: Mapping[int, float], top_n: int | None) -> Output:
    """How well each document fits the query, the best first, as its record holds it: as many as were asked for.

    Requires: the scores by the documents' places.
    Source: SPEC 1.
    """
    ranked = sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:top_n]
    content: list[Value] = [{"index": index, "score": float(score)} for index, score in ranked]
    return Output(kind="scores", content=content)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    content: list[Value] = []
    for at, one in enumerate(list_at(answer.get("results"), "results")):
        members, where = object_at(one, "results"), f"results[{at}]"
        index = position_at(members.get("index"), f"{where}.index", MAX_DOCUMENTS)
        content.append({"index": index, "score": number_at(members.get("relevance_score"), f"{where}.relevance_score")})
    if not content:
        raise AnswerError("results", "is empty")
    return [Output(kind="scores", content=content)]


def _text(document: Value, where: str) -> str:
    if isinstance(document, Mapping):
        neutral.require(document, {}, (TEXT,), where)
        document = document.get(TEXT)
    if not isinstance(document, str) or not document:
        raise RequestError(where, "is empty or no text")
    return document
