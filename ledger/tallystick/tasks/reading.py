"""What a reader gives, and the rules that all readers share for JSON bodies and addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from tallystick.errors import JsonError, RequestError
from tallystick.record import MAX_BLOB_BYTES, MAX_DEPTH, MAX_VALUE_INTEGER, MIN_VALUE_INTEGER, Value
from tallystick.strict_json import read_json

MAX_BODY_BYTES: Final = MAX_BLOB_BYTES
"""No record can hold a larger request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a request asks.

    `prompt` and `system` are what the record's `prompt` and `instructions.system` must be. `asked` holds the parameters that the sender
    gave, under the names of the record's `parameters`. `model` is the model that the request names, as it names it.
    """

    prompt: Mapping[str, Value] | None
    system: str | None
    asked: Mapping[str, Value] = field(default_factory=dict)
    model: str | None = None


def json_object(body: bytes) -> dict[str, Value]:
    """The body as a JSON object whose values a record can hold.

    Raises: RequestError.
    """
    try:
        value = read_json(body, MAX_BODY_BYTES)
    except JsonError as error:
        raise RequestError(error.member or "", str(error)) from error
    return checked_object(value)


def checked_object(value: object) -> dict[str, Value]:
    """A JSON object that was read strictly already, held to what a record can hold.

    Raises: RequestError.
    """
    if not isinstance(value, dict):
        raise RequestError("", "is not a JSON object")
    for name, member in value.items():
        _check_value(name, member, MAX_DEPTH - 1)  # the field itself is a map around it
    return value


def require_method(method: str, expected: str) -> None:
    """Raises: RequestError if the request came by another method."""
    if method != expected:
        raise RequestError("method", f"is {method!a:.40}, not {expected}")


def path_segments(target: str) -> list[str]:
    """The parts of the path, percent-decoded, without its query.

    Raises: RequestError.
    """
    path = target.partition("?")[0]
    if not path.startswith("/"):
        raise RequestError("target", "does not begin with a slash")
    try:
        return [unquote(segment, errors="strict") for segment in path[1:].split("/")]
    except UnicodeDecodeError as error:
        raise RequestError("target", "is not percent-encoded UTF-8") from error


def parameters_in(members: Mapping[str, Value], without: Iterable[str]) -> dict[str, Value]:
    """The members that are parameters: given, not null, and a value that the record's `parameters` can hold.

    An object, or a list that holds containers, is none; the caller must not lose it.
    """
    skipped = frozenset(without)
    return {
        name: value
        for name, value in members.items()
        if name not in skipped and value is not None and not is_compound(value)
    }


def is_compound(value: Value) -> bool:
    """Whether a value is more than a scalar or a list of scalars."""
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict)


def _check_value(where: str, value: object, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise RequestError(where, f"nests deeper than the {MAX_DEPTH} levels of a record")
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) is not str:  # most are
                _check_value(where, item, depth - 1)
    elif type(value) is int and not MIN_VALUE_INTEGER <= value <= MAX_VALUE_INTEGER:
        raise RequestError(where, "holds an integer beyond 64 bits")
