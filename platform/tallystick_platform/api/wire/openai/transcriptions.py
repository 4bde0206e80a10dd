"""`POST /v1/audio/transcriptions`: a form with a sound, answered with what is said in it, in one of five formats."""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.record import Output
from tallystick.tasks import neutral, transcription
from tallystick.tasks.forms import read_form
from tallystick_platform import tasks
from tallystick_platform.api.credentials import Headers
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.replies import JSON
from tallystick_platform.api.wire.openai.reading import Body, OpenAiAddress, outputs_of
from tallystick_platform.exchange.line import Recorded
from tallystick_platform.tasks.transcription import Format, Segment, Transcript

MAX_LANGUAGE_CHARS = 32
MAX_PROMPT_CHARS = 2_048
MS_PER_S = 1_000
US_PER_S = 1_000_000
TYPES: Mapping[str, bytes] = {
    "json": JSON,
    "verbose_json": JSON,
    "text": b"text/plain; charset=utf-8",
    "srt": b"application/x-subrip; charset=utf-8",
    "vtt": b"text/vtt; charset=utf-8",
}


class TranscriptionBody(Body, frozen=True, kw_only=True):
    """A form that asks for a transcription.

    Of other parameters of the same API, what changes nothing is taken (`tallystick.tasks.neutral`); the rest is refused by name.
    """

    file: Annotated[
        Any,
        Meta(
            description="wav, mp3, flac, ogg or webm, of up to an hour.",
            extra_json_schema={"type": "string", "format": "binary", "minLength": 1},
        ),
    ]
    language: Annotated[str, Meta(max_length=MAX_LANGUAGE_CHARS, description="As `en`; heard if absent.")] | None = None
    prompt: (
        Annotated[str, Meta(max_length=MAX_PROMPT_CHARS, description="What was said before, in the same style.")] | None
    ) = None
    response_format: Format | None = None
    temperature: Annotated[float, Meta(ge=0, le=1, description="0, as without it, is greedy.")] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="An extension; drawn and recorded if absent.")] | None = (
        None
    )
    timestamp_granularities: (
        Annotated[list[Literal["segment"]], Meta(max_length=1, description="With verbose_json.")] | None
    ) = None


class SpokenSeconds(Struct, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """How long the sound lasts."""

    seconds: float


class SpokenSegment(Struct, frozen=True, kw_only=True):
    """What is said from when to when, in seconds, with what the model computed of it."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class Transcription(Struct, frozen=True, kw_only=True, tag_field="object", tag="transcription"):
    """What is said; with verbose_json also when, and in which language."""

    text: str
    task: Literal["transcribe"] | UnsetType = UNSET
    language: str | UnsetType = UNSET
    duration: float | UnsetType = UNSET
    segments: list[SpokenSegment] | UnsetType = UNSET
    usage: SpokenSeconds
    tallystick: Proof


@dataclass(frozen=True, kw_only=True)
class FormAddress(OpenAiAddress[TranscriptionBody]):
    """An address whose bodies are forms."""

    form: bool = True

    def members(self, headers: Headers, body: bytes) -> dict[str, Any]:
        """Raises: RequestError."""
        types = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
        return dict(transcription.members_of(read_form("POST", types[0] if len(types) == 1 else None, body)))


def _whole(body: TranscriptionBody, recorded: Recorded, tallystick: Proof) -> Transcription | bytes:
    form = body.response_format or "json"
    (output,) = outputs_of(recorded)
    if form == "text":
        return f"{output.content!s}\n".encode()
    if form in ("srt", "vtt"):
        segments = _transcript(output).segments
        return "".join(_captions(segments) if form == "srt" else _cues(segments)).encode()
    usage = SpokenSeconds(seconds=(recorded.record.usage or {}).get("audio_us", 0) / US_PER_S)
    if form == "json":
        return Transcription(text=str(output.content), usage=usage, tallystick=tallystick)
    said = _transcript(output)
    return Transcription(
        task="transcribe",
        text=said.text or "",
        language=said.language or "",
        duration=(said.duration_ms or 0) / MS_PER_S,
        segments=[_segment(number, one, body.temperature or 0.0) for number, one in enumerate(said.segments)],
        usage=usage,
        tallystick=tallystick,
    )


def _transcript(output: Output) -> Transcript:
    return msgspec.convert(output.content, Transcript)


def _segment(number: int, one: Segment, temperature: float) -> SpokenSegment:
    said = one.text.encode()
    return SpokenSegment(
        id=number,
        seek=one.seek or 0,
        start=one.start_ms / MS_PER_S,
        end=one.end_ms / MS_PER_S,
        text=one.text,
        tokens=list(one.tokens or ()),
        temperature=temperature,
        avg_logprob=one.avg_logprob or 0.0,
        compression_ratio=len(said) / len(zlib.compress(said)),
        no_speech_prob=one.no_speech_prob or 0.0,
    )


def _captions(segments: Iterable[Segment]) -> Iterable[str]:
    """SubRip: the captions, numbered from 1."""
    for number, one in enumerate(segments, 1):
        yield f"{number}\n{_clock(one.start_ms, ',')} --> {_clock(one.end_ms, ',')}\n{one.text}\n\n"


def _cues(segments: Iterable[Segment]) -> Iterable[str]:
    """WebVTT: in the text of a cue, `&`, `<` and `>` are written as HTML writes them."""
    yield "WEBVTT\n\n"
    for one in segments:
        yield f"{_clock(one.start_ms, '.')} --> {_clock(one.end_ms, '.')}\n{html.escape(one.text, quote=False)}\n\n"


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, MS_PER_S)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"


TRANSCRIPTIONS = FormAddress(
    name="transcriptions",
    routes=("/v1/audio/transcriptions",),
    summary="Have speech written down",
    task=tasks.TRANSCRIPTION,
    reader=transcription.READER,
    subject=transcription.FILE,
    body=TranscriptionBody,
    neutral=neutral.TRANSCRIPTION,
    read_members=transcription.read_members,
    answers=(Transcription, "text/plain", "application/x-subrip", "text/vtt"),
    whole=_whole,
    content_type=lambda body: TYPES[body.response_format or "json"],
)
