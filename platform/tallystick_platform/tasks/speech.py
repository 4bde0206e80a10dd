"""Speech: a text to a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import speech
from tallystick.tasks.media import media_outputs
from tallystick.tasks.neutral import SPEECH
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import ModelInfo, Piece
from tallystick_platform.tasks.task import FinishReasons, Gather, Task

Format = Literal["mp3", "wav", "flac"]
TYPES: Mapping[str, str] = {"mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac"}
DEFAULT_FORMAT = "mp3"


class Speaking(msgspec.Struct, frozen=True, kw_only=True):
    """How a text is spoken, as the record states it: by which of the model's voices, how many times as fast, with which noise."""

    voice: str
    speed: float
    response_format: Format
    seed: int


class SpeechCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine speaks. It answers with the sound as one file."""

    text: str
    how: Speaking


_calls = msgspec.msgpack.Decoder(SpeechCall)


def decode_call(body: bytes) -> SpeechCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


def voices_of(model: ModelInfo) -> list[str]:
    """The names of a model's voices."""
    inputs = (model.schema or {}).get("inputs", ())
    return [name for one in inputs if one["name"] == "voice" for name in one["enum"]]


class Speech(Task[str, Speaking]):
    """Text to sound."""

    name = speech.NAME
    parameters = Speaking
    neutral = SPEECH

    def defaults(self, model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        voice = next(iter(voices_of(model)), "default")
        return {"voice": voice, "speed": 1.0, "response_format": DEFAULT_FORMAT, "seed": draw_seed()}

    def check(self, used: Speaking, model: ModelInfo) -> None:
        voices = voices_of(model)
        if voices and used.voice not in voices:
            raise ParameterOutOfRange(param="voice", reason=f"is none of the model's: {', '.join(voices[:20])}")

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> str:
        return speech.text_of(prompt)

    def call(self, given: str, used: Speaking) -> bytes:
        return msgspec.msgpack.encode(SpeechCall(text=given, how=used))

    def gather(self, _given: str, used: Speaking) -> Media:
        return Media(TYPES[used.response_format])


class Media(Gather):
    """Sounds or pictures of one type, one for each piece."""

    __slots__ = ("_items", "_type")

    def __init__(self, media_type: str) -> None:
        self._type = media_type
        self._items: list[bytes] = []

    def add(self, part: Piece) -> None:
        """One more."""
        self._items.append(part.data)

    def outputs(self, _finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """Those so far."""
        return media_outputs(self._type, self._items)
