"""A request's JSON body, read in one way only, or refused in the words of an API user."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from tallystick.errors import JsonError
from tallystick.strict_json import read_json
from tallystick_platform.api.refusals import BadRequest, quoted

B = TypeVar("B", bound=msgspec.Struct)

_CODES = {"utf8": "invalid_utf8", "duplicate": "duplicate_key"}
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)


def read_object(body: bytes) -> dict[str, object]:
    """Return the members of the body's object.

    Requires: a body whose size was bounded when it was received.
    Raises: BadRequest.
    """
    value = read_value(body)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_type")
    return value


def read_value(body: bytes) -> object:
    """The same of a body that may be anything. Raises: BadRequest."""
    try:
        return read_json(body, len(body))
    except JsonError as error:
        code = _CODES.get(error.kind, "invalid_json")
        if error.member is not None:
            shown = quoted(error.member)
            raise BadRequest(f"Duplicate key: '{shown}'.", param=shown, code=code) from error
        raise BadRequest(f"The body {error}.", code=code) from error


def converted(members: dict[str, object], kind: type[B]) -> B:
    """The members as a struct, whose types say what is taken. Raises: BadRequest, naming the member."""
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from error


def explained(message: str) -> BadRequest:
    """The validation error in the words of an API user: which parameter, and whether its type or its value is wrong."""
    match = _PATH.match(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    if unknown := _UNKNOWN.search(what):
        name = f"{path}.{unknown['name']}" if path else unknown["name"]
        return BadRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if missing := _MISSING.search(what):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        return BadRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    kind = "type" if ", got " in what else "value"
    return BadRequest(f"Invalid {kind} for '{path or 'body'}': {what}.", param=path or None, code=f"invalid_{kind}")
