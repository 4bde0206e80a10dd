"""What the engine without a model answers to requests that are lists of inputs: numbers, texts, tones, colours, made of each one's hash."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import wave
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import Call
from tallystick_platform.tasks import (
    CLASSIFICATION,
    EMBEDDING,
    ENTITIES,
    IMAGE,
    PREDICTION,
    RERANK,
    SPEECH,
    TRANSCRIPTION,
    TRANSLATION,
    classification,
    embedding,
    entities,
    image,
    prediction,
    rerank,
    speech,
    transcription,
    translation,
)
from tallystick_platform.tasks.translation import Written

DIMENSIONS = 8
DIGITS = 8
MS_PER_S = 1_000
RATE_HZ = 8_000
LABELS = ("good", "bad", "odd")
Given = str | tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The inputs of a request, what leaves for each, and what that is counted as, if it is."""

    inputs: Sequence[Given]
    piece: Callable[[Given], str | bytes]
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


def _transcription(body: bytes) -> Asked:
    """One segment of the digest of the sound, whatever it is."""
    asked = transcription.decode_call(body)
    text = hashlib.sha256(asked.sound).hexdigest()[:DIGITS]
    said = transcription.Transcript(segments=(transcription.Segment(start_ms=0, end_ms=MS_PER_S, text=text),))
    if asked.how.response_format == "verbose_json":
        said = msgspec.structs.replace(said, text=text, language="en", duration_ms=MS_PER_S)
    timed = asked.how.response_format not in ("json", "text")
    return Asked((text,), lambda _: msgspec.msgpack.encode(said) if timed else text)


def _speech(body: bytes) -> Asked:
    """A tenth of a second of one tone. Raises: ParameterOutOfRange for any other file than wav."""
    asked = speech.decode_call(body)
    if asked.how.response_format != "wav":
        raise ParameterOutOfRange(param="response_format", reason="is not wav, which alone is spoken without a model")
    return Asked((asked.text,), _tone)


def _image(body: bytes) -> Asked:
    """Pictures of one colour each."""
    asked = image.decode_call(body)
    sides = image.sides_of(asked.how.size) or (1, 1)
    return Asked(
        [f"{asked.how.seed + at} {asked.text}" for at in range(asked.how.n)],
        lambda given: _picture(given, sides),
        "images",
    )


def _prediction(body: bytes) -> Asked:
    """A number for each row."""
    asked = prediction.decode_call(body)
    found = [_share(repr(row)) for row in asked.rows]
    return Asked(("table",), lambda _: msgspec.msgpack.encode(prediction.Predicted(predictions=found)))


_ANSWERS: Mapping[str, Callable[[bytes], Asked]] = {
    EMBEDDING.name: _embedding,
    RERANK.name: _rerank,
    CLASSIFICATION.name: _classification,
    ENTITIES.name: _entities,
    TRANSLATION.name: _translation,
    TRANSCRIPTION.name: _transcription,
    SPEECH.name: _speech,
    IMAGE.name: _image,
    PREDICTION.name: _prediction,
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


def _tone(given: Given) -> bytes:
    """A wav file of a tone that only this input has."""
    step = 2 * math.pi * (200 + 800 * _share(given)) / RATE_HZ
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        target.writeframes(struct.pack("<800h", *(round(9_000 * math.sin(step * at)) for at in range(RATE_HZ // 10))))
    return file.getvalue()


def _picture(given: Given, sides: tuple[int, int]) -> bytes:
    """A PNG of a colour that only this input has."""
    width, height = sides
    pixels = (b"\0" + hashlib.sha256(_seed(given)).digest()[:3] * width) * height
    parts = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    )
    written = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def _vector(given: Given, dimensions: int) -> bytes:
    """A vector of unit length that only this input has."""
    numbers = [at - 127.5 for at in hashlib.sha256(_seed(given)).digest()[:dimensions]]
    length = math.hypot(*numbers)
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
