"""The outputs of a response, written: one function per kind, each strict about its content's shape. Source: SPEC 1."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import cbor2

from tallystick import record as r
from tallystick.encoding.atoms import (
    ARRAY,
    MAP,
    NULL,
    TEXT,
    Writer,
    byte_string,
    expect,
    free_value,
    hash32,
    head,
    integer,
    or_null,
    scalar,
    text,
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
        + write(output.content, _CONTENT)
        + b"hlogprobs"
        + (NULL if logprobs is None else free_value(logprobs, "response.outputs.logprobs", CONTENT_DEPTH))
        + b"mfinish_reason"
        + or_null(_text)(output.finish_reason, "response.outputs.finish_reason")
    )


def _vector(content: object, path: str) -> bytes:
    if type(content) is not bytes or len(content) % FLOAT32_BYTES:
        raise RecordError(path, f"is not bytes, {FLOAT32_BYTES} for each number of a vector")
    return byte_string(content, path, 0, _UNBOUNDED)


def _score(score: object, path: str) -> bytes:
    if type(score) is not float:
        raise RecordError(path, "has a score that is not a float")
    return scalar(score, path)


def _map_of(**members: Writer) -> Writer:
    """A map of exactly these members, which stand here in canonical order."""
    names = tuple(members)
    start = head(MAP, len(names))
    written = [(cbor2.dumps(name), write) for name, write in members.items()]

    def write_map(value: object, path: str) -> bytes:
        values = _members(value, names)
        return start + b"".join([key + write(one, path) for (key, write), one in zip(written, values, strict=True)])

    return write_map


def _list_of(write: Writer) -> Writer:
    def write_list(value: object, path: str) -> bytes:
        if type(value) is not list and type(value) is not tuple:
            raise RecordError(path, "is not a list where its kind has one")
        return head(ARRAY, len(value)) + b"".join([write(one, path) for one in value])

    return write_list


def _members(value: object, names: tuple[str, ...]) -> list[Any]:
    if type(value) is not dict:
        raise RecordError(_CONTENT, f"is not a map of {', '.join(names)}")
    for name in names:
        if name not in value:
            raise RecordError(f"{_CONTENT}.{name}", "is missing")
    if len(value) != len(names):
        raise RecordError(_CONTENT, f"has more members than {', '.join(names)}")
    return [value[name] for name in names]


_text: Final = partial(text, most=_UNBOUNDED, least=0)
_TOOL_CALLS: Final = _list_of(_map_of(id=_text, name=_text, arguments=_text))
_KINDS: Final[dict[str, Writer]] = {
    "text": _text,
    "message": _map_of(role=_text, content=or_null(_text), tool_calls=_TOOL_CALLS),
    "vector": _vector,
    "labels": _list_of(_map_of(label=_text, score=_score)),
    "scores": _list_of(_map_of(index=integer, score=_score)),
    "media": _map_of(type=_text, digest=hash32, length=integer),
    "tensor": _map_of(data=partial(byte_string, least=0, most=_UNBOUNDED), dtype=_text, shape=_list_of(integer)),
    "document": partial(free_value, depth=CONTENT_DEPTH),
}
