"""Requests to `POST /inferencia/v1/predict`: the labels of texts, with a slash in a model's name written as a colon in the answer.

The reader `classification/inferencia/1` takes `model_name` and `data`, a list of objects with `text`, a list, and `top_k`; one record has
one `top_k`, so it must be the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import classification
from tallystick.tasks.answers import list_at
from tallystick.tasks.comparison import same_value
from tallystick.tasks.reading import Reading, json_object

READER: Final = "classification/inferencia/1"
TARGET: Final = "/inferencia/v1/predict"
NAMED: Final = "model_name"
SLASH, COLON = "/", ":"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    _require(members, (NAMED, "data"), "")
    model, data = members.get(NAMED), members.get("data")
    if not isinstance(model, str):
        raise RequestError(NAMED, "is not text")
    if not isinstance(data, list) or not data:
        raise RequestError("data", "is no list that holds something")
    texts: list[Value] = []
    counts: list[Value] = []
    for at, one in enumerate(data):
        where = f"data[{at}]"
        if not isinstance(one, dict):
            raise RequestError(where, "is not an object")
        _require(one, ("text", "top_k"), where)
        given = one.get("text")
        if not isinstance(given, list) or not given:
            raise RequestError(f"{where}.text", "is no list that holds something")
        texts += given
        counts.append(one.get("top_k"))
        if not same_value(counts[0], counts[-1]):
            raise RequestError(f"{where}.top_k", "is another one than before, and one is taken at a time")
    asked = {} if counts[0] is None else {"top_k": counts[0]}
    return Reading(prompt={"inputs": texts}, system=None, asked=asked, model=model.replace(COLON, SLASH))


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer: of each object of `data`, of each of its texts.

    Raises: AnswerError.
    """
    return [
        classification.labels_in(labels, f"data[{at}]")
        for at, one in enumerate(list_at(answer.get("data"), "data"))
        for labels in list_at(one, f"data[{at}]")
    ]


def _require(members: Mapping[str, Value], known: tuple[str, ...], where: str) -> None:
    for name, value in members.items():
        if name not in known and value is not None:
            raise RequestError(f"{where}.{name}" if where else name, "is unknown here")
