"""The task `transcription`: what a request to `POST /v1/audio/transcriptions` asks, the sound a model is given, and what an answer says.

The reader `transcription/openai/1` takes forms as OpenAI's clients send them. The prompt of its record names the sound by its digest; the
sound itself stands in the record's request. What is recorded is what was delivered: a text, or what was said from when to when.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.errors import AnswerError, JsonError, RequestError
from tallystick.record import Output, Value
from tallystick.strict_json import read_json
from tallystick.tasks import neutral
from tallystick.tasks.answers import list_at, object_at, text_at, value_of
from tallystick.tasks.forms import MAX_TEXT_BYTES, Part, read_form
from tallystick.tasks.reading import Reading

NAME: Final = "transcription"
READER: Final = "transcription/openai/1"
TARGET: Final = "/v1/audio/transcriptions"
OBJECT: Final = "transcription"
FILE: Final = "file"
NUMBERS: Final = ("temperature", "seed")
SWITCHES: Final = ("stream",)
LISTS: Final = ("include", "timestamp_granularities")
HEARD: Final = ("avg_logprob", "no_speech_prob", "seek", "tokens")
"""What else a segment may say, recorded as it was delivered."""
MS_PER_S: Final = 1_000
_LISTED: Final = "[]"
_CLOCK: Final = r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})"
_SPAN: Final = re.compile(rf"{_CLOCK} --> {_CLOCK}")


def read(method: str, _target: str, content_type: str | None, body: bytes) -> Reading:
    """What a transcription request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(members_of(read_form(method, content_type, body)))


def read_members(members: Mapping[str, Value | Part]) -> Reading:
    """What a transcription request asks whose form is read already.

    Requires: what `members_of` gave.
    Raises: RequestError.
    """
    file, model = members.get(FILE), members.get("model")
    if not isinstance(file, Part) or not file.data:
        raise RequestError(FILE, "is not one file that holds something")
    if model is not None and not isinstance(model, str):
        raise RequestError("model", "is a list")
    asked = {name: value for name, value in members.items() if name != "model" and not isinstance(value, Part)}
    return Reading(prompt={FILE: file.stated()}, system=None, asked=asked, model=model, attached={FILE: file.data})


def members_of(parts: Sequence[Part]) -> dict[str, Value | Part]:
    """The members of a form: the file, texts, numbers and switches where a name stands for one, and lists where it ends in `[]`, or stands
    for one.

    Raises: RequestError.
    """
    members: dict[str, Value | Part] = {}
    for part in parts:
        name = part.name.removesuffix(_LISTED)
        if part.name != name or name in LISTS:
            listed = members.setdefault(name, [])
            if not isinstance(listed, list):
                raise RequestError(name, "is there twice")
            listed.append(_value(name, part.text()))
        elif name in members:
            raise RequestError(name, "is there twice")
        else:
            members[name] = part if name == FILE and part.file_name is not None else _value(name, part.text())
    return members


def sound_of(prompt: Mapping[str, Value]) -> bytes:
    """The sound that a model is given.

    Requires: the prompt of a reading, with what is attached to it.
    Raises: RequestError where it is not there.
    """
    neutral.require(prompt, {}, (FILE,))
    sound = prompt.get(FILE)
    if not isinstance(sound, bytes):
        raise RequestError(FILE, "is named by its digest, and its content is not there")
    return sound


def text_output(text: str) -> Output:
    """A transcript that was delivered without times. Source: SPEC 1."""
    return Output(kind="text", content=text)


def timed_output(transcript: Mapping[str, Value]) -> Output:
    """A transcript with times: its `segments`, each with `start_ms`, `end_ms` and `text`. Source: SPEC 7."""
    return Output(kind="document", content=dict(transcript))


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer in JSON.

    Raises: AnswerError.
    """
    text = text_at(answer.get("text"), "text")
    if "segments" not in answer:
        return [text_output(text)]
    found: dict[str, Value] = {
        "text": text,
        "language": text_at(answer.get("language"), "language"),
        "duration_ms": _ms(answer.get("duration"), "duration"),
        "segments": [_segment(one) for one in list_at(answer["segments"], "segments")],
    }
    return [timed_output(found)]


def _segment(one: object) -> Value:
    """A segment as records have it."""
    members = object_at(one, "segments")
    found: dict[str, Value] = {
        "start_ms": _ms(members.get("start"), "segments.start"),
        "end_ms": _ms(members.get("end"), "segments.end"),
        "text": text_at(members.get("text"), "segments.text"),
    }
    return found | {name: value_of(members[name]) for name in HEARD if name in members}


def text_received(text: str) -> list[Output]:
    """The outputs of an answer that is a text alone, which ends with a line feed."""
    return [text_output(text.removesuffix("\n"))]


def srt_received(text: str) -> list[Output]:
    """The outputs of an answer in the form of SubRip. Raises: AnswerError."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block.strip()]
    if any(len(lines) != 3 for lines in blocks):
        raise AnswerError("body", "is no list of numbered captions")
    return [timed_output({"segments": [_caption(span, said) for _, span, said in blocks]})]


def vtt_received(text: str) -> list[Output]:
    """The outputs of an answer in the form of WebVTT. Raises: AnswerError."""
    head, *blocks = [block.split("\n") for block in text.split("\n\n") if block.strip()] or [[""]]
    if head != ["WEBVTT"] or any(len(lines) != 2 for lines in blocks):
        raise AnswerError("body", "is no WebVTT of captions alone")
    return [timed_output({"segments": [_caption(span, html.unescape(said)) for span, said in blocks]})]


def _caption(span: str, said: str) -> Value:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise AnswerError("body", f"has {ascii(span)[:40]} where times are expected")
    numbers = [int(number) for number in found.groups()]
    start, end = (
        ((hours * 60 + minutes) * 60 + seconds) * MS_PER_S + ms
        for hours, minutes, seconds, ms in (numbers[:4], numbers[4:])
    )
    return {"start_ms": start, "end_ms": end, "text": said}


def _ms(value: object, where: str) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise AnswerError(where, "is no number of seconds")
    return round(value * MS_PER_S)


def _value(name: str, text: str) -> Value:
    """The number or switch that a text stands for, where its name says that it is one."""
    if name not in (*NUMBERS, *SWITCHES):
        return text
    try:
        value = read_json(text.encode(), MAX_TEXT_BYTES)
    except JsonError as error:
        raise RequestError(name, "is neither a number nor true or false") from error
    wanted = (int, float) if name in NUMBERS else (bool,)
    if type(value) not in wanted:
        raise RequestError(name, "is no number" if name in NUMBERS else "is neither true nor false")
    return value  # type: ignore[return-value]  # a number or a switch, as checked
