"""What the engine without a model answers to requests that are lists of inputs: numbers and texts made of each input's hash."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tallystick_platform.protocol import Call
from tallystick_platform.tasks import (
    CLASSIFICATION,
    EMBEDDING,
    ENTITIES,
    RERANK,
    TRANSLATION,
    classification,
    embedding,
    entities,
    rerank,
    translation,
)
from tallystick_platform.tasks.translation import Written

DIMENSIONS = 8
LABELS = ("good", "bad", "odd")
Given = str | tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The inputs of a request, what leaves for each, and what that is counted as, if it is."""

    inputs: Sequence[Given]
    piece: Callable[[Given], bytes]
    counted: str | None = None


def count(given: Given) -> int:
    """Words count as tokens."""
    return (
        len(given.split())
        if isinstance(given, str)
        else sum(count(one) if isinstance(one, str) else 1 for one in given)
    )


def _embedding(body: bytes) -> Asked:
    asked = embedding.decode_call(body)
    return Asked(asked.inputs, lambda given: _vector(given, asked.how.dimensions), "vectors")


def _rerank(body: bytes) -> Asked:
    asked = rerank.decode_call(body)
    return Asked(asked.documents, lambda given: rerank.SCORE.pack(_share((asked.query, str(given)))))


def _classification(body: bytes) -> Asked:
    asked = classification.decode_call(body)
    return Asked(
        asked.texts,
        lambda given: msgspec.msgpack.encode([(label, _share((label, *map(str, given)))) for label in LABELS]),
    )


def _entities(body: bytes) -> Asked:
    """The first word of every text is one."""
    asked = entities.decode_call(body)

    def piece(given: Given) -> bytes:
        word = str(given).split()[0] if str(given).split() else str(given)
        start = str(given).index(word)
        found = {
            "entity": LABELS[0],
            "score": _share(str(given)),
            "start": start,
            "end": start + len(word),
            "word": word,
        }
        return msgspec.msgpack.encode([found])

    return Asked(asked.texts, piece)


def _translation(body: bytes) -> Asked:
    """Every text backwards."""
    asked = translation.decode_call(body)
    return Asked(asked.texts, lambda given: msgspec.msgpack.encode(Written(str(given)[::-1], "stop")), "output_tokens")


_ANSWERS: Mapping[str, Callable[[bytes], Asked]] = {
    EMBEDDING.name: _embedding,
    RERANK.name: _rerank,
    CLASSIFICATION.name: _classification,
    ENTITIES.name: _entities,
    TRANSLATION.name: _translation,
}
TASKS = tuple(_ANSWERS)


def asked_of(call: Call) -> Asked | None:
    """A request of one of these tasks; None of any other. Raises: msgspec.DecodeError."""
    read = _ANSWERS.get(call.task)
    return None if read is None else read(call.body)


def _seed(given: Given) -> bytes:
    if isinstance(given, str):
        return given.encode()
    return b"".join(one.encode() + b"\0" if isinstance(one, str) else struct.pack("<q", one) for one in given)


def _share(given: Given) -> float:
    """A number from 0 to 1 that only this input has."""
    return int.from_bytes(hashlib.sha256(_seed(given)).digest()[:4]) / 2**32


def _vector(given: Given, dimensions: int) -> bytes:
    """A vector of unit length that only this input has."""
    numbers = [at - 127.5 for at in hashlib.sha256(_seed(given)).digest()[:dimensions]]
    length = math.hypot(*numbers)
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
