"""Vectors of rerank, classification, entities and translation: what their readers give, and what answers say (SPEC 7)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.record import Output, RecordFault
from tallystick.tasks.completion import text_output
from tests.support.vectors.bindings import TYPE

TARGETS = {
    "rerank/tallystick/1": "/v1/rerank",
    "classification/tallystick/1": "/v1/classify",
    "entities/tallystick/1": "/v1/entities",
    "translation/tallystick/1": "/v1/translate",
}
RERANK, CLASSIFICATION, ENTITIES, TRANSLATION = TARGETS


def _asked(reader: str, **members: Any) -> tuple[str, str, str, str, bytes]:
    return reader, "POST", TARGETS[reader], TYPE, json.dumps({"model": "m", **members}).encode()


def requests() -> Iterator[tuple[Any, ...]]:
    """Requests that their readers take."""
    yield "a usual rerank request", *_asked(RERANK, query="debts", documents=["A tally stick.", "The moon."], top_n=1)
    yield (
        "a rerank request with every kind of member",
        *_asked(
            RERANK,
            query="",
            texts=[{"text": "A"}, None, 1],
            documents=None,
            return_documents=True,
            metadata={"a": 1},
            later=None,
        ),
    )
    yield "a usual classification", *_asked(CLASSIFICATION, inputs="A good day.", top_k=3)
    yield "a classification of pairs", *_asked(CLASSIFICATION, input=[["A", "B"], "C"], inputs=None, stream=False)
    yield "usual entities", *_asked(ENTITIES, inputs=["Ann sings.", "Bo."], aggregation_strategy="first")
    yield "a usual translation", *_asked(TRANSLATION, text="A good day.", source_language="en", target_language="de")
    yield "a translation of several texts", *_asked(TRANSLATION, text=["A", "B"], num_beams=4.0, length_penalty=1)


def refused() -> Iterator[tuple[Any, ...]]:
    """Requests that no reader takes, with the place of the fault."""
    yield "a rerank request without a query", "query", *_asked(RERANK, documents=["A"])
    yield "a query that is a list", "query", *_asked(RERANK, query=["A"], documents=["A"])
    yield "a rerank request without documents", "documents", *_asked(RERANK, query="A")
    yield "a rerank request with documents and texts", "texts", *_asked(RERANK, query="A", documents=["A"], texts=["B"])
    yield "documents that are a text", "documents", *_asked(RERANK, query="A", documents="A")
    yield "texts that are an object", "texts", *_asked(RERANK, query="A", texts={})
    yield "a classification of nothing", "inputs", *_asked(CLASSIFICATION, text="A")
    yield "a classification of two subjects", "input", *_asked(CLASSIFICATION, inputs="A", input="B")
    yield "a classification of a number", "input", *_asked(CLASSIFICATION, input=1)
    yield "entities that are fetched", "method", ENTITIES, "GET", TARGETS[ENTITIES], TYPE, b'{"inputs":"A"}'
    yield "entities of an object", "inputs", *_asked(ENTITIES, inputs={})
    yield "a translation of nothing", "text", *_asked(TRANSLATION, inputs="A")
    yield "a translation whose model is a number", "model", *_asked(TRANSLATION, text="A", model=1)
    yield "a translation's member that records keep", "blob", *_asked(TRANSLATION, text="A", blob=[{}])


def answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    """Answers that came whole, with their outputs."""
    ranked = {
        "object": "rerank",
        "results": [
            {"index": 1, "relevance_score": 0.5, "document": {"text": "B"}},
            {"index": 0, "relevance_score": 0},
        ],
    }
    scores = Output(kind="scores", content=[{"index": 1, "score": 0.5}, {"index": 0, "score": 0.0}])
    yield "scores of documents", False, json.dumps(ranked), None, (scores,)
    labelled = {
        "object": "classification",
        "data": [
            {"index": 1, "labels": [{"label": "bad", "score": 1}]},
            {
                "index": 0,
                "label": "good",
                "labels": [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}],
            },
        ],
    }
    first = Output(kind="labels", content=[{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}])
    second = Output(kind="labels", content=[{"label": "bad", "score": 1.0}])
    yield "labels of two texts", False, json.dumps(labelled), None, (first, second)
    ann = {"entity": "PER", "score": 0.75, "start": 0, "end": 3, "word": "Ann"}
    marked = {"object": "entities", "data": [{"index": 0, "entities": [ann]}, {"index": 1, "entities": []}]}
    found = tuple(Output(kind="document", content={"entities": each}) for each in ([ann], []))
    yield "entities of two texts", False, json.dumps(marked), None, found
    translated = {
        "object": "translation",
        "translations": [{"index": 0, "text": "Guten Tag.", "finish_reason": "stop"}, {"index": 1, "text": ""}],
    }
    yield (
        "two translations",
        False,
        json.dumps(translated),
        None,
        (text_output("Guten Tag.", "stop"), text_output("", None)),
    )
