"""The task `classification`: what a request to `POST /v1/classify` asks, the texts that a model is given, and what an answer says.

The reader `classification/tallystick/1` takes requests as TEI's and vLLM's clients send them: `inputs` or `input`, one text or several,
or pairs of texts for models that were trained on pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import MAX_OUTPUTS, Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import in_order_at, list_at, number_at, object_at, text_at
from tallystick.tasks.reading import Reading, json_object, placed, subject_of

NAME: Final = "classification"
READER: Final = "classification/tallystick/1"
TARGET: Final = "/v1/classify"
OBJECT: Final = "classification"
SUBJECTS: Final = ("inputs", "input")

Texts = tuple[str, ...]
"""One text, or a pair."""


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a classification request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a classification request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    subject = subject_of(members, SUBJECTS)
    if not isinstance(members[subject], str | list):
        raise RequestError(subject, "is neither text nor a list")
    return placed(members, subject)


def texts_of(prompt: Mapping[str, Value]) -> tuple[Texts, ...]:
    """What a model is given one by one.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, too many, anything but texts and pairs of them, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.CLASSIFICATION, SUBJECTS)
    subject = subject_of(prompt, SUBJECTS)
    given = prompt[subject]
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not 1 <= len(texts) <= MAX_OUTPUTS:
        raise RequestError(subject, f"is neither text nor a list of 1 to {MAX_OUTPUTS}")
    return tuple(_texts(one, f"{subject}[{at}]") for at, one in enumerate(texts))


def labels_output(labels: Sequence[tuple[str, float]], top_k: int | None) -> Output:
    """The labels of one input with their scores, the most probable first, as its record holds them: as many as were asked for.

    Requires: the labels in the order of the model's own list.
    Source: SPEC 1.
    """
    ranked = sorted(labels, key=lambda one: -one[1])[:top_k]
    content: list[Value] = [{"label": label, "score": float(score)} for label, score in ranked]
    return Output(kind="labels", content=content)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    return [
        labels_in(one.get("labels"), f"data[{at}].labels")
        for at, one in enumerate(in_order_at(answer.get("data"), "data"))
    ]


def labels_in(delivered: object, where: str) -> Output:
    """The labels of one input, as they were delivered. Raises: AnswerError."""
    content: list[Value] = []
    for one in list_at(delivered, where):
        members = object_at(one, where)
        label, score = (
            text_at(members.get("label"), f"{where}.label"),
            number_at(members.get("score"), f"{where}.score"),
        )
        content.append({"label": label, "score": score})
    return Output(kind="labels", content=content)


def _texts(given: Value, where: str) -> Texts:
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or len(texts) not in (1, 2):
        raise RequestError(where, "is neither text nor a pair of texts")
    if not all(isinstance(one, str) and one for one in texts):
        raise RequestError(where, "holds something else than text, or an empty one")
    return tuple(str(one) for one in texts)
