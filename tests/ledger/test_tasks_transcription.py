"""What a request for a transcription asks, and what its answers say."""

from __future__ import annotations

import pytest

from tallystick.errors import AnswerError, RequestError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.record import Output
from tallystick.tasks import read, received_body
from tallystick.tasks.transcription import READER, TARGET, sound_of

TYPE = "multipart/form-data; boundary=b"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nsound'
SRT = "1\n00:00:00,000 --> 00:00:02,500\nOne\n\n"
CAPTION = {"start_ms": 0, "end_ms": 2500, "text": "One"}


def asked(*fields: tuple[str, str], file: bytes = FILE):
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in [*parts, *([file] if file else [])]) + b"--b--\r\n"
    return read(READER, "POST", TARGET, TYPE, body)


def test_a_sound_is_named_by_its_digest_and_attached():
    reading = asked(
        ("model", "m"), ("temperature", "0.5"), ("timestamp_granularities[]", "segment"), ("stream", "false")
    )
    named = {"digest": to_hex(keccak256(b"sound")), "length": 5, "name": "a.wav", "type": None}
    assert (reading.prompt, reading.model, reading.system) == ({"file": named}, "m", None)
    assert reading.asked == {"temperature": 0.5, "timestamp_granularities": ["segment"], "stream": False}
    assert sound_of(reading.whole) == b"sound"


def test_a_list_may_be_spelled_with_or_without_brackets():
    fields = [("timestamp_granularities", "segment"), ("timestamp_granularities[]", "word"), ("include[]", "logprobs")]
    assert asked(*fields).asked == {"timestamp_granularities": ["segment", "word"], "include": ["logprobs"]}


def test_a_sound_that_is_not_attached_cannot_be_given_to_a_model():
    with pytest.raises(RequestError, match="file"):
        sound_of(asked(("model", "m")).prompt)


@pytest.mark.parametrize(
    ("fields", "file", "param"),
    [
        ((), b"", ""),
        ((("model", "m"),), b"", "file"),
        ((("file", "text"),), b"", "file"),
        ((), FILE.removesuffix(b"sound"), "file"),
        ((("file", "text"),), FILE, "file"),
        ((("model", "a"), ("model", "b")), FILE, "model"),
        ((("model[]", "a"),), FILE, "model"),
        ((("seed", "one"),), FILE, "seed"),
        ((("seed", "true"),), FILE, "seed"),
        ((("seed", "NaN"),), FILE, "seed"),
        ((("stream", "1"),), FILE, "stream"),
        ((("a", "1"), ("a[]", "2")), FILE, "a"),
        ((("a[]", "1"), ("a", "2")), FILE, "a"),
    ],
)
def test_a_form_that_says_nothing_or_two_things_is_refused(fields, file, param):
    with pytest.raises(RequestError) as refused:
        asked(*fields, file=file)
    assert refused.value.param == param


def test_a_second_file_has_no_place():
    with pytest.raises(RequestError) as refused:
        asked(file=FILE + b"\r\n--b\r\n" + FILE.replace(b'"file"', b'"other"'))
    assert refused.value.param == "other"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain; charset=utf-8", "One\n", Output(kind="text", content="One")),
        ("text/plain", "\n", Output(kind="text", content="")),
        ("application/x-subrip", SRT, Output(kind="document", content={"segments": [CAPTION]})),
        ("text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nOne &lt; 2\n\n",
         Output(kind="document", content={"segments": [CAPTION | {"text": "One < 2"}]})),
        ("text/vtt", "WEBVTT\n\n", Output(kind="document", content={"segments": []})),
    ],
)  # fmt: skip
def test_answers_that_are_no_json_are_read_by_their_content_type(content_type, body, expected):
    received = received_body(content_type, body.encode())
    assert (received.outputs, received.whole) == ((expected,), True)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/zip", b"x"),
        ("text/plain", b"\xff"),
        ("application/x-subrip", b"1\n00:00 --> 00:01\nOne\n\n"),
        ("application/x-subrip", b"1\n\n"),
        ("text/vtt", b"00:00:00.000 --> 00:00:02.500\nOne\n\n"),
        ("text/vtt", b""),
    ],
)
def test_what_is_no_such_answer_is_refused(content_type, body):
    with pytest.raises(AnswerError):
        received_body(content_type, body)
