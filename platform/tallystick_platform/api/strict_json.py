"""JSON that can be read in one way only.

Two readers that disagree about a body would disagree about what its hash stands for, so what readers treat differently is refused:
duplicate keys, NaN and infinities, lone surrogates, anything but UTF-8.
"""

from __future__ import annotations

import json
from typing import NoReturn

from tallystick.chain.depth import MAX_JSON_DEPTH, is_shallow
from tallystick_platform.api.refusals import BadRequest, quoted

MAX_KEYS = 65_536  # of one object; a bound on what a hostile body makes us hold twice


def read_object(body: bytes) -> tuple[str, dict[str, object]]:
    """Return the body as text and as its top-level object. Raises: BadRequest."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not valid UTF-8 (byte {error.start}).", code="invalid_utf8") from error
    # Before the parser, which is recursive: some libraries raise the interpreter's own limit beyond what the stack holds.
    if not is_shallow(body):
        raise BadRequest(f"The body is nested deeper than {MAX_JSON_DEPTH} levels.", code="invalid_json")
    try:
        value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).", code="invalid_json"
        ) from error
    except BadRequest:
        raise
    except ValueError as error:  # integers of thousands of digits
        raise BadRequest("The body holds a number that is too long.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_type")
    return text, value


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_KEYS:
        raise BadRequest(f"An object has more than {MAX_KEYS} keys.", code="invalid_json")
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BadRequest(f"Duplicate key: '{quoted(key)}'.", param=quoted(key), code="duplicate_key")
            seen.add(key)
    return found


def _constant(name: str) -> NoReturn:
    raise BadRequest(f"The body is not valid JSON: {name} is not a JSON number.", code="invalid_json")
