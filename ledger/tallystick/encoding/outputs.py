"""The outputs of a response, written: one function per kind, each strict about its content's shape. Source: SPEC 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tallystick import record as r
from tallystick.encoding.atoms import (
    ARRAY,
    NULL,
    TEXT,
    byte_string,
    expect,
    free_value,
    hash32,
    head,
    integer,
    scalar,
    text,
    text_or_null,
)
from tallystick.errors import RecordError

FLOAT32_BYTES: Final = 4
CONTENT_DEPTH: Final = r.MAX_DEPTH - 3
"""What a value inside an output may nest: the response, its list and the output are three containers around it."""

_UNBOUNDED: Final = r.MAX_INTEGER
_CONTENT: Final = "response.outputs.content"


def write_outputs(outputs: object) -> bytes:
    """A list of outputs. Raises: RecordError."""
    if type(outputs) is not tuple or len(outputs) > r.MAX_OUTPUTS:
        raise RecordError("response.outputs", f"is not a tuple of at most {r.MAX_OUTPUTS}")
    return head(ARRAY, len(outputs)) + b"".join(map(_output, outputs))


def _output(output: r.Output) -> bytes:
    expect(output, r.Output, "response.outputs")
    write = _KINDS.get(output.kind) if type(output.kind) is str else None
    if write is None:
        raise RecordError("response.outputs.kind", f"is not one of {', '.join(_KINDS)}")
    logprobs = output.logprobs
    return (
        b"\xa4dkind"
        + head(TEXT, len(output.kind))
        + output.kind.encode()
        + b"gcontent"
        + write(output.content)
        + b"hlogprobs"
        + (NULL if logprobs is None else free_value(logprobs, "response.outputs.logprobs", CONTENT_DEPTH))
        + b"mfinish_reason"
        + text_or_null(output.finish_reason, "response.outputs.finish_reason", _UNBOUNDED, 0)
    )


def _text(content: object) -> bytes:
    return text(content, _CONTENT, _UNBOUNDED, 0)


def _message(content: object) -> bytes:
    role, said, calls = _members(content, ("role", "content", "tool_calls"))
    return (
        b"\xa3drole"
        + _text(role)
        + b"gcontent"
        + text_or_null(said, _CONTENT, _UNBOUNDED, 0)
        + b"jtool_calls"
        + _list(calls, _tool_call)
    )


def _tool_call(call: object) -> bytes:
    call_id, name, arguments = _members(call, ("id", "name", "arguments"))
    return b"\xa3bid" + _text(call_id) + b"dname" + _text(name) + b"iarguments" + _text(arguments)


def _vector(content: object) -> bytes:
    if type(content) is not bytes or len(content) % FLOAT32_BYTES:
        raise RecordError(_CONTENT, f"is not bytes, {FLOAT32_BYTES} for each number of a vector")
    return byte_string(content, _CONTENT, 0, _UNBOUNDED)


def _labels(content: object) -> bytes:
    return _list(content, _label)


def _label(entry: object) -> bytes:
    label, score = _members(entry, ("label", "score"))
    return b"\xa2elabel" + _text(label) + b"escore" + _score(score)


def _scores(content: object) -> bytes:
    return _list(content, _scored)


def _scored(entry: object) -> bytes:
    index, score = _members(entry, ("index", "score"))
    return b"\xa2eindex" + integer(index, _CONTENT) + b"escore" + _score(score)


def _score(score: object) -> bytes:
    if type(score) is not float:
        raise RecordError(_CONTENT, "has a score that is not a float")
    return scalar(score, _CONTENT)


def _media(content: object) -> bytes:
    kind, digest, length = _members(content, ("type", "digest", "length"))
    return b"\xa3dtype" + _text(kind) + b"fdigest" + hash32(digest, _CONTENT) + b"flength" + integer(length, _CONTENT)


def _tensor(content: object) -> bytes:
    data, dtype, shape = _members(content, ("data", "dtype", "shape"))
    return (
        b"\xa3ddata"
        + byte_string(data, _CONTENT, 0, _UNBOUNDED)
        + b"edtype"
        + _text(dtype)
        + b"eshape"
        + _list(shape, _extent)
    )


def _extent(extent: object) -> bytes:
    return integer(extent, _CONTENT)


def _document(content: object) -> bytes:
    return free_value(content, _CONTENT, CONTENT_DEPTH)


def _members(value: object, names: tuple[str, ...]) -> list[Any]:
    if type(value) is not dict:
        raise RecordError(_CONTENT, f"is not a map of {', '.join(names)}")
    for name in names:
        if name not in value:
            raise RecordError(f"{_CONTENT}.{name}", "is missing")
    if len(value) != len(names):
        raise RecordError(_CONTENT, f"has more members than {', '.join(names)}")
    return [value[name] for name in names]


def _list(value: object, write: Callable[[object], bytes]) -> bytes:
    if type(value) is not list and type(value) is not tuple:
        raise RecordError(_CONTENT, "is not a list where its kind has one")
    return head(ARRAY, len(value)) + b"".join(map(write, value))


_KINDS: Final[dict[str, Callable[[object], bytes]]] = {
    "text": _text,
    "message": _message,
    "vector": _vector,
    "labels": _labels,
    "scores": _scores,
    "media": _media,
    "tensor": _tensor,
    "document": _document,
}
