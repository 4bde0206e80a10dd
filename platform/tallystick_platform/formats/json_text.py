"""JSON from strangers: bounded in bytes, values and depth, with every key once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick.strict_json import is_shallow
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_JSON_VALUES
from tallystick_platform.formats.names import shown
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
    # Every value but the first follows a comma or an opening bracket, so this bounds what the parser will allocate.
    if data.count(b",") + data.count(b"[") + data.count(b"{") > max_values:
        raise FormatError(path=path, reason=f"its JSON has more than {max_values} values")
    # Before the parser, which is recursive: some libraries raise the interpreter's own limit beyond what the stack holds.
    if not is_shallow(data, max_depth + 1):
        raise FormatError(path=path, reason=f"its JSON is nested more than {max_depth} deep")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FormatError(path=path, reason=f"the key {shown(twice)!r} stands twice in one object")
        return found

    try:
        value = json.loads(data.decode(), object_pairs_hook=once)
    except ValueError as error:
        raise FormatError(path=path, reason="it is not JSON in UTF-8") from error
    for depth, _, _ in walk(value):
        if depth > max_depth:
            raise FormatError(path=path, reason=f"its JSON is nested more than {max_depth} deep")
    return value


def walk(value: Any) -> Iterator[tuple[int, str | None, Any]]:
    """Every value inside a parsed JSON value, with its depth and, in objects, its key. Not recursive."""
    waiting: list[tuple[int, str | None, Any]] = [(0, None, value)]
    while waiting:
        depth, key, current = waiting.pop()
        yield depth, key, current
        if isinstance(current, dict):
            waiting.extend((depth + 1, name, item) for name, item in current.items())
        elif isinstance(current, list):
            waiting.extend((depth + 1, None, item) for item in current if isinstance(item, dict | list | str))


def short_text(value: Any, limit: int = 200) -> str | None:
    """A string that is fit to be stored and shown, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= limit and value.isprintable() else None


def whole_number(value: Any, limit: int) -> int | None:
    """A count between 1 and the limit, or None; true and 1.0 are no counts."""
    return value if type(value) is int and 0 < value <= limit else None
