"""JSON from strangers: bounded in bytes, values and depth, with every key once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick.errors import JsonError
from tallystick.strict_json import JsonBounds, read_json, without_bom
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_JSON_VALUES
from tallystick_platform.formats.reading import read_whole


def read_json_object(path: Path, max_bytes: int = MAX_JSON_BYTES, max_values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    """Raises: FormatError."""
    return parse_json_object(read_whole(path, max_bytes), path, max_values)


def parse_json_object(data: bytes, path: Path | str, max_values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    """Requires: `data` is bounded. Raises: FormatError."""
    value = parse_json(data, path, max_values)
    if not isinstance(value, dict):
        raise FormatError(path=path, reason="its JSON is not an object")
    return value


def parse_json(
    data: bytes, path: Path | str, max_values: int = MAX_JSON_VALUES, max_depth: int = MAX_JSON_DEPTH
) -> Any:
    """Requires: `data` is bounded. Raises: FormatError."""
    # A value stands behind a comma or a bracket, and the reader counts the colons too.
    bounds = JsonBounds(depth=max_depth, values=2 * max_values, members=max_values, not_finite=True)
    if without_bom(data) != data:
        raise FormatError(path=path, reason="its text begins with a byte order mark, which loaders of models refuse")
    try:
        return read_json(data, len(data), bounds)
    except JsonError as error:
        raise FormatError(path=path, reason=f"its text {error}") from error


def walk(value: Any) -> Iterator[tuple[str | None, Any]]:
    """Every value inside a parsed JSON value, in objects with its key. Not recursive."""
    waiting: list[tuple[str | None, Any]] = [(None, value)]
    while waiting:
        key, current = waiting.pop()
        yield key, current
        if isinstance(current, dict):
            waiting.extend(current.items())
        elif isinstance(current, list):
            waiting.extend((None, item) for item in current if isinstance(item, dict | list | str))


def short_text(value: Any, limit: int = 200) -> str | None:
    """A string that is fit to be stored and shown, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() else None


def whole_number(value: Any, limit: int) -> int | None:
    """A count between 1 and the limit, or None; true and 1.0 are no counts."""
    return value if type(value) is int and 0 < value <= limit else None
