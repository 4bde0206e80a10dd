"""The task `translation`: what a request to `POST /v1/translate` asks, the texts that a model is given, and what an answer says.

The reader `translation/tallystick/1` takes `text`, one or several. The same task serves every model that turns a text into another one, a
summary for example; those have no languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import in_order_at, text_at, text_or_none_at
from tallystick.tasks.completion import text_output
from tallystick.tasks.reading import Reading, json_object, placed, texts_in

NAME: Final = "translation"
READER: Final = "translation/tallystick/1"
TARGET: Final = "/v1/translate"
OBJECT: Final = "translation"
SUBJECT: Final = "text"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a translation request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a translation request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    if not isinstance(members.get(SUBJECT), str | list):
        raise RequestError(SUBJECT, "is neither text nor a list")
    return placed(members, SUBJECT)


def texts_of(prompt: Mapping[str, Value]) -> tuple[str, ...]:
    """What a model is given one by one.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, too many, anything but texts, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.TRANSLATION, (SUBJECT,))
    return texts_in(prompt.get(SUBJECT), SUBJECT)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    return [
        text_output(
            text_at(one.get("text"), f"translations[{at}].text"),
            text_or_none_at(one.get("finish_reason"), f"translations[{at}].finish_reason"),
        )
        for at, one in enumerate(in_order_at(answer.get("translations"), "translations"))
    ]
