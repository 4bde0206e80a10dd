"""The task `image`: what a request to `POST /v1/images/generations` asks, the text that a model draws from, and what an answer says.

The reader `image/openai/1` takes requests as OpenAI's clients send them. An answer holds the pictures themselves (`media`), in base64.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

from tallystick.errors import AnswerError, RequestError
from tallystick.record import Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import list_at, object_at, text_at
from tallystick.tasks.media import media_outputs
from tallystick.tasks.reading import Reading, json_object, placed

NAME: Final = "image"
READER: Final = "image/openai/1"
TARGET: Final = "/v1/images/generations"
OBJECT: Final = "images"
TYPE: Final = "image/png"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a request for pictures asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a request for pictures asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    if not isinstance(members.get("prompt"), str):
        raise RequestError("prompt", "is no text")
    return placed(members, "prompt")


def text_of(prompt: Mapping[str, Value]) -> str:
    """The text that a model draws from.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.IMAGE, ("prompt",))
    text = prompt.get("prompt")
    if not isinstance(text, str) or not text.strip():
        raise RequestError("prompt", "holds no text")
    return text


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    pictures = []
    for at, one in enumerate(list_at(answer.get("data"), "data")):
        where = f"data[{at}].b64_json"
        try:
            pictures.append(b64decode(text_at(object_at(one, "data").get("b64_json"), where), validate=True))
        except (binascii.Error, ValueError) as error:
            raise AnswerError(where, "is not base64") from error
    return list(media_outputs(TYPE, pictures))
