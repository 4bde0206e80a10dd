"""The task `speech`: what a request to `POST /v1/audio/speech` asks, and the text that a voice is given.

The reader `speech/openai/1` takes requests as OpenAI's clients send them. An answer is the sound itself (`media`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks import neutral
from tallystick.tasks.reading import Reading, json_object, placed

NAME: Final = "speech"
READER: Final = "speech/openai/1"
TARGET: Final = "/v1/audio/speech"


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a speech request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a speech request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    if not isinstance(members.get("input"), str):
        raise RequestError("input", "is no text")
    return placed(members, "input")


def text_of(prompt: Mapping[str, Value]) -> str:
    """The text that a voice is given.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.SPEECH, ("input",))
    text = prompt.get("input")
    if not isinstance(text, str) or not text.strip():
        raise RequestError("input", "holds no text")
    return text
