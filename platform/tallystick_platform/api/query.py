"""Query parameters, read strictly."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick_platform.api.refusals import BadRequest

MAX_DIGITS = 16


def whole_number(
    query: Mapping[str, str], name: str, *, least: int, most: int = 2**53 - 1, default: int | None
) -> int | None:
    """A whole number within bounds, or the default where there is none; an empty one is none.

    Raises: BadRequest.
    """
    text = query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and least <= int(text) <= most):
        raise BadRequest(f"'{name}' must be a whole number from {least} to {most}.", param=name, code="invalid_value")
    return int(text)


def flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    """`true` or `false`, or the default where there is none.

    Raises: BadRequest.
    """
    text = query.get(name)
    if text is None:
        return default
    if text not in {"true", "false"}:
        raise BadRequest(f"'{name}' must be true or false.", param=name, code="invalid_value")
    return text == "true"
