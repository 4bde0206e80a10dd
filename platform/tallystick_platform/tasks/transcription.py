"""Transcription: what is said in a sound, as text, or with the times at which it is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from tallystick.record import Output, Value
from tallystick.tasks import transcription
from tallystick.tasks.neutral import TRANSCRIPTION
from tallystick_platform.protocol import ModelInfo, Piece
from tallystick_platform.tasks.task import FinishReasons, Gather, Task

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
DETECTED = ""
"""The language where none was named: that of the first window, as the model hears it."""


class Transcribing(msgspec.Struct, frozen=True, kw_only=True):
    """How a sound is transcribed, as the record states it. A `temperature` of 0 takes the most probable token each time."""

    language: str
    prompt: str
    temperature: float
    seed: int
    response_format: Format
    timestamp_granularities: tuple[str, ...]


class TranscriptionCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine transcribes. It answers with the text, or, where times are asked for, with a `Transcript` in msgpack."""

    sound: bytes
    how: Transcribing


class Segment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said from when to when. `tokens` with their mean logarithmic probability, and how probable it is that nobody speaks.

    Units: `seek`, where the window begins in which it was heard, hundredths of a second.
    """

    start_ms: int
    end_ms: int
    text: str
    seek: int | None = None
    tokens: tuple[int, ...] | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None


class Transcript(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is delivered with times: captions are segments alone."""

    segments: tuple[Segment, ...]
    text: str | None = None
    language: str | None = None
    duration_ms: int | None = None


_calls = msgspec.msgpack.Decoder(TranscriptionCall)


def decode_call(body: bytes) -> TranscriptionCall:
    """What an engine was told. Raises: msgspec.DecodeError."""
    return _calls.decode(body)


class Transcription(Task[bytes, Transcribing]):
    """Sound to text."""

    name = transcription.NAME
    parameters = Transcribing
    neutral = TRANSCRIPTION

    def defaults(self, _model: ModelInfo, draw_seed: Callable[[], int]) -> dict[str, Any]:
        return {
            "language": DETECTED,
            "prompt": "",
            "temperature": 0.0,
            "seed": draw_seed(),
            "response_format": "json",
            "timestamp_granularities": ("segment",),
        }

    def given(self, prompt: Mapping[str, Value], _asked: Mapping[str, Value]) -> bytes:
        return transcription.sound_of(prompt)

    def call(self, given: bytes, used: Transcribing) -> bytes:
        return msgspec.msgpack.encode(TranscriptionCall(sound=given, how=used))

    def gather(self, _given: bytes, _used: Transcribing) -> Transcribed:
        return Transcribed()


class Transcribed(Gather):
    """The text, put together from its pieces, or the transcript with its times."""

    __slots__ = ("_texts", "_timed")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._timed: list[Output] = []

    def add(self, part: Piece) -> None:
        """More of the text, or the whole transcript."""
        if isinstance(part.data, str):
            self._texts.append(part.data)
        else:
            self._timed.append(transcription.timed_output(msgspec.msgpack.decode(part.data)))

    def outputs(self, finish_reasons: FinishReasons) -> tuple[Output, ...]:
        """What came. An empty piece is not sent: where nobody speaks the text is empty."""
        if self._timed:
            return tuple(self._timed)
        return (transcription.text_output("".join(self._texts)),) if self._texts or finish_reasons else ()
