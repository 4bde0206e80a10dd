"""Vectors of transcription, speech, images and predictions: what their readers give, and what answers say (SPEC 7)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from tallystick.record import Output, RecordFault
from tallystick.tasks.media import media_outputs
from tests.support.vectors.bindings import TYPE

TARGETS = {
    "transcription/openai/1": "/v1/audio/transcriptions",
    "speech/openai/1": "/v1/audio/speech",
    "image/openai/1": "/v1/images/generations",
    "prediction/tallystick/1": "/v1/predict",
}
TRANSCRIPTION, SPEECH, IMAGE, PREDICTION = TARGETS
FORM = "multipart/form-data; boundary=----b"
FILE = (
    b'Content-Disposition: form-data; name="file"; filename="a \\"b\\".wav"\r\nContent-Type: audio/wav\r\n\r\n\0\r\n--c'
)


def _asked(reader: str, **members: Any) -> tuple[str, str, str, str, bytes]:
    return reader, "POST", TARGETS[reader], TYPE, json.dumps({"model": "m", **members}).encode()


def _field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def _form(*parts: bytes, content_type: str | None = FORM, end: bytes = b"------b--\r\n") -> tuple[Any, ...]:
    body = b"".join(b"------b\r\n" + part + b"\r\n" for part in parts) + end
    return TRANSCRIPTION, "POST", TARGETS[TRANSCRIPTION], content_type, body


def requests() -> Iterator[tuple[Any, ...]]:
    """Requests that their readers take."""
    yield "a usual transcription", *_form(_field("model", "m"), FILE)
    every = (
        ("temperature", "0.50"), ("seed", "7"), ("stream", "false"), ("language", ""), ("prompt", "é"),
        ("timestamp_granularities[]", "segment"), ("timestamp_granularities[]", "word"), ("later", "1"),
    )  # fmt: skip
    yield "a transcription with every kind of member", *_form(*(_field(*one) for one in every), FILE)
    plain = b"content-disposition:form-data; filename=a.wav; name=file\r\nContent-Transfer-Encoding: Binary\r\n\r\n1"
    quoted = 'Multipart/Form-Data ; Boundary="----b"'
    yield "a form as another client writes it", *_form(plain, content_type=quoted, end=b"------b--")
    yield "a usual speech request", *_asked(SPEECH, input="A tally stick.", voice="ann", speed=1.5, instructions=None)
    yield (
        "a usual request for pictures",
        *_asked(IMAGE, prompt="A tally stick.", n=2, size="512x512", metadata={"a": 1}),
    )
    yield "a prediction from rows", *_asked(PREDICTION, inputs=[[1, 2.5], ["a", None]], probabilities=True)
    yield "a prediction from columns", *_asked(PREDICTION, instances={"b": [1], "a": [[1, 2]]}, inputs=None)
    yield "a prediction from a split table", *_asked(PREDICTION, dataframe_split={"columns": ["a"], "data": [[1]]})
    yield "a prediction from records", *_asked(PREDICTION, dataframe_records=[{"a": 1}])


def refused() -> Iterator[tuple[Any, ...]]:
    """Requests that their readers refuse, each for one fault."""
    yield "a form that is put", "method", TRANSCRIPTION, "PUT", TARGETS[TRANSCRIPTION], FORM, _form(FILE)[-1]
    yield "a form without a content type", "content_type", *_form(FILE, content_type=None)
    yield "a form of another type", "content_type", *_form(FILE, content_type="multipart/mixed; boundary=----b")
    yield "a form with two parameters", "content_type", *_form(FILE, content_type=f"{FORM}; charset=utf-8")
    yield "a boundary that ends with a space", "content_type", *_form(FILE, content_type=f'{FORM[:-5]}"----b "')
    yield "another boundary", "", *_form(FILE, content_type=f"{FORM}b")
    yield "a form without parts", "", *_form()
    yield "a form of 65 parts", "", *_form(*[_field(f"a{at}", "1") for at in range(64)], FILE)
    yield "a form that breaks off", "", *_form(FILE, end=b"")
    yield "a form that goes on", "", *_form(FILE, end=b"------b--\r\n\r\n")
    yield "a boundary within a part", "", *_form(FILE + b"\r\n------bc")
    yield "a part without a head", "", *_form(b"\r\n1", FILE)
    yield "a part without a name", "", *_form(b"Content-Type: text/plain\r\n\r\n1", FILE)
    yield "a part that is no form-data", "", *_form(b"Content-Disposition: attachment; name=a\r\n\r\n1", FILE)
    yield "a header twice", "", *_form(b"A: 1\r\na: 1\r\n" + _field("a", "1"), FILE)
    yield "a folded header", "", *_form(b"A: 1\r\n b: 1\r\n" + _field("a", "1"), FILE)
    yield "a head of 4,097 bytes", "", *_form(b"A: " + b"x" * (4_097 - 45) + b"\r\n" + _field("a", "1"), FILE)
    yield "a part in base64", "a", *_form(b"Content-Transfer-Encoding: base64\r\n" + _field("a", "1"), FILE)
    yield "a text that is not UTF-8", "a", *_form(_field("a", "")[:-1] + b"\n\xff", FILE)
    yield "a text of 65,537 bytes", "a", *_form(_field("a", "x" * 65_537), FILE)
    yield "a transcription without a file", "file", *_form(_field("model", "m"))
    yield "a file that is text", "file", *_form(_field("file", "1"))
    yield "an empty file", "file", *_form(FILE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    yield "two files", "file", *_form(FILE, FILE)
    yield "another file", "other", *_form(FILE, FILE.replace(b'"file"', b'"other"'))
    yield "a member of a form twice", "a", *_form(_field("a", "1"), _field("a", "1"), FILE)
    yield "a member that is a list, too", "a", *_form(_field("a[]", "1"), _field("a", "1"), FILE)
    yield "models in a list", "model", *_form(_field("model[]", "m"), FILE)
    yield "a seed that is a word", "seed", *_form(_field("seed", "one"), FILE)
    yield "a temperature that is true", "temperature", *_form(_field("temperature", "true"), FILE)
    yield "a stream that is a number", "stream", *_form(_field("stream", "0"), FILE)
    yield "speech of nothing", "input", *_asked(SPEECH)
    yield "speech of a list", "input", *_asked(SPEECH, input=["A"])
    yield "a picture of a list", "prompt", *_asked(IMAGE, prompt=["A"])
    yield "a prediction from nothing", "inputs", *_asked(PREDICTION)
    yield "a prediction from two tables", "instances", *_asked(PREDICTION, inputs=[1], instances=[1])
    yield "a prediction from a text", "inputs", *_asked(PREDICTION, inputs="1")


def answers() -> Iterator[tuple[str, bool, str, RecordFault | None, Sequence[Output]]]:
    """What clients received, and what their records must say."""
    said = {"object": "transcription", "text": "One.", "usage": {"type": "duration", "seconds": 2.5}}
    yield "a transcription", False, json.dumps(said), None, (Output(kind="text", content="One."),)
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 2.4995, "text": "One.", "tokens": [5], "avg_logprob": -0.5}
    verbose = {**said, "task": "transcribe", "language": "en", "duration": 2.5005, "segments": [segment]}
    timed = {
        "text": "One.",
        "language": "en",
        "duration_ms": 2500,
        "segments": [{"start_ms": 0, "end_ms": 2500, "text": "One.", "seek": 0, "tokens": [5], "avg_logprob": -0.5}],
    }
    yield "a transcription with times", False, json.dumps(verbose), None, (Output(kind="document", content=timed),)
    pictures = (b"\x89PNG", b"\x89PNG2")
    drawn = {"object": "images", "created": 1, "data": [{"b64_json": b64encode(one).decode()} for one in pictures]}
    yield "two pictures", False, json.dumps(drawn), None, media_outputs("image/png", pictures)
    found = {"object": "prediction", "predictions": [1, "a"], "usage": {"rows": 2}}
    numbers = Output(kind="document", content={"predictions": [1, "a"]})
    yield "predictions", False, json.dumps(found), None, (numbers,)
    likely = {"classes": ["a", "b"], "probabilities": [[0.5, 0.5], [0, 1]]}
    both = Output(kind="document", content={"predictions": [1, "a"], **likely})
    yield "predictions with probabilities", False, json.dumps({**found, **likely}), None, (both,)
