"""The task `embedding`: what a request to `POST /v1/embeddings` asks, the inputs that a model is given, and what an answer says.

The reader `embedding/openai/1` takes requests as OpenAI's clients send them. An embedding is a vector of 32-bit floating-point numbers,
however it travels: as a list of numbers, or as base64 of their bytes.
"""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Final, TypeAlias

from tallystick.errors import AnswerError, RequestError
from tallystick.record import MAX_OUTPUTS, Output, Value
from tallystick.tasks import neutral
from tallystick.tasks.answers import in_order_at
from tallystick.tasks.reading import Reading, json_object, placed, texts_or_ids

NAME: Final = "embedding"
READER: Final = "embedding/openai/1"
TARGET: Final = "/v1/embeddings"
FLOAT_BYTES: Final = 4


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What an embedding request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What an embedding request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    if not isinstance(members.get("input"), str | list):
        raise RequestError("input", "is neither text nor a list")
    return placed(members, "input")


Text: TypeAlias = str | tuple[int, ...] | tuple[str, str]
"""A text, the ids of its tokens, or an instruction and a text."""


def inputs_of(prompt: Mapping[str, Value]) -> tuple[Text, ...]:
    """What a model is given one by one, each as text, as ids of tokens, or as an instruction with its text.

    Requires: the prompt of a reading or a record.
    Raises: RequestError for none, for more than a record has outputs, and for members that may change the answer.
    """
    neutral.require(prompt, neutral.EMBEDDING, ("input",))
    given = prompt.get("input")
    if isinstance(given, list | tuple) and given:
        pairs = tuple(filter(None, map(_pair, given)))
        if len(pairs) == len(given) <= MAX_OUTPUTS:
            return pairs
    return texts_or_ids(given, "input")


def vector_output(data: bytes) -> Output:
    """The embedding of one input, as its record holds it.

    Requires: little-endian 32-bit floats, one after another.
    Source: SPEC 1.
    """
    return Output(kind="vector", content=data)


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    return [
        vector_output(vector_at(one.get("embedding"), f"data[{at}].embedding"))
        for at, one in enumerate(in_order_at(answer.get("data"), "data"))
    ]


def _pair(given: Value) -> tuple[str, str] | None:
    """An instruction, which may be empty, and a text."""
    if isinstance(given, list | tuple) and len(given) == 2:
        instruction, text = given
        if isinstance(instruction, str) and isinstance(text, str) and text:
            return instruction, text
    return None


def vector_at(delivered: object, where: str) -> bytes:
    """The bytes of a vector, however it was delivered. Raises: AnswerError."""
    if isinstance(delivered, list):
        if not all(type(number) in (int, float) for number in delivered):
            raise AnswerError(where, "is not a list of numbers")
        try:
            return struct.pack(f"<{len(delivered)}f", *delivered)
        except (OverflowError, struct.error) as error:
            raise AnswerError(where, "holds a number beyond 32-bit floating point") from error
    try:
        data = b64decode(delivered, validate=True) if isinstance(delivered, str) else b""
    except (binascii.Error, ValueError) as error:
        raise AnswerError(where, "is not base64") from error
    if not data or len(data) % FLOAT_BYTES:
        raise AnswerError(where, "is neither a list of numbers nor base64 of 32-bit floats")
    return data
