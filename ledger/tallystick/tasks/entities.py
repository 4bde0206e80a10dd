"""The task `entities`: what a request to `POST /v1/entities` asks, the texts that a model is given, and what an answer says.

The reader `entities/tallystick/1` takes `inputs` or `input`, one text or several. Places in a text are counted in characters (Unicode code
points) from its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from tallystick.record import Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import in_order_at, list_at, number_at, object_at, position_at, text_at
from tallystick.tasks.classification import SUBJECTS, read_members
from tallystick.tasks.reading import MAX_BODY_BYTES, Reading, json_object, subject_of, texts_in

NAME: Final = "entities"
READER: Final = "entities/tallystick/1"
TARGET: Final = "/v1/entities"
OBJECT: Final = "entities"
Strategy = Literal["none", "simple", "first", "average", "max"]
"""How tokens are put together: not at all, side by side of one kind, or by whole words that have their first token's, their mean, or their
surest token's kind. Names are the transformers library's."""

__all__ = [
    "NAME",
    "READER",
    "TARGET",
    "OBJECT",
    "Strategy",
    "read",
    "read_members",
    "texts_of",
    "entities_output",
    "outputs_received",
]


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a request for entities asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def texts_of(prompt: Mapping[str, Value]) -> tuple[str, ...]:
    """What a model is given one by one.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, too many, anything but texts, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.CLASSIFICATION, SUBJECTS)
    subject = subject_of(prompt, SUBJECTS)
    return texts_in(prompt[subject], subject)


def entities_output(found: Sequence[Mapping[str, Value]]) -> Output:
    """The entities of one text in their order, as its record holds them.

    Requires: each has `entity`, `score`, `start`, `end` and `word`.
    Source: SPEC 7.
    """
    return Output(kind="document", content={"entities": [dict(one) for one in found]})


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    return [
        entities_output(
            [_entity(entity, f"data[{at}].entities") for entity in list_at(one.get("entities"), f"data[{at}].entities")]
        )
        for at, one in enumerate(in_order_at(answer.get("data"), "data"))
    ]


def _entity(delivered: object, where: str) -> dict[str, Value]:
    members = object_at(delivered, where)
    return {
        "entity": text_at(members.get("entity"), f"{where}.entity"),
        "score": number_at(members.get("score"), f"{where}.score"),
        "start": position_at(members.get("start"), f"{where}.start", MAX_BODY_BYTES),
        "end": position_at(members.get("end"), f"{where}.end", MAX_BODY_BYTES),
        "word": text_at(members.get("word"), f"{where}.word"),
    }
