"""A request's JSON body, read in one way only, or refused in the words of an API user."""

from __future__ import annotations

from tallystick.errors import JsonError
from tallystick.strict_json import read_json, without_bom
from tallystick_platform.api.refusals import BadRequest, quoted

_CODES = {"utf8": "invalid_utf8", "duplicate": "duplicate_key"}


def read_object(body: bytes) -> tuple[bytes, dict[str, object]]:
    """Return the body without a byte order mark, and as its top-level object.

    Requires: a body whose size was bounded when it was received.
    Raises: BadRequest.
    """
    try:
        value = read_json(body, len(body))
    except JsonError as error:
        code = _CODES.get(error.kind, "invalid_json")
        if error.member is not None:
            shown = quoted(error.member)
            raise BadRequest(f"Duplicate key: '{shown}'.", param=shown, code=code) from error
        raise BadRequest(f"The body {error}.", code=code) from error
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.", code="invalid_type")
    return without_bom(body), value
