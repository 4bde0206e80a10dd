"""The one spelling of numbers, addresses and bytes in JSON and TOML."""

import json
import re
from typing import Any

from tests.support.stranger.crypto import checksummed
from tests.support.stranger.errors import Refused
from tests.support.stranger.record import MAX_NUMBER


def exactly(kind: str, value: Any, members: set[str], optional: set[str] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
    """A map with these members."""
    if not isinstance(value, dict):
        raise Refused(kind, "a map is missing")
    wrong = (members - value.keys()) | (value.keys() - members - optional)
    if wrong:
        raise Refused(kind, f"{min(wrong)} is missing, or is one too many", min(wrong))
    return value


def number(kind: str, value: Any, low: int = 0, high: int = MAX_NUMBER) -> int:
    """An integer within bounds."""
    if type(value) is not int or not low <= value <= high:
        raise Refused(kind, f"{value!r} is no number of {low} to {high}")
    return value


def binary(kind: str, value: Any, low: int, high: int | None = None) -> bytes:
    """Bytes as lower-case hex after 0x."""
    if not isinstance(value, str) or not re.fullmatch("0x([0-9a-f]{2})*", value):
        raise Refused(kind, "not lower-case hex after 0x")
    raw = bytes.fromhex(value[2:])
    if not low <= len(raw) <= (low if high is None else high):
        raise Refused(kind, "bytes of another length")
    return raw


def hash32(kind: str, value: Any) -> bytes:
    """Thirty-two bytes."""
    return binary(kind, value, 32)


def address(kind: str, value: Any) -> bytes:
    """An address with its checksum."""
    if not isinstance(value, str) or not re.fullmatch("0x[0-9A-Fa-f]{40}", value):
        raise Refused(kind, "not an address")
    raw = bytes.fromhex(value[2:])
    if checksummed(raw) != value:
        raise Refused(kind, "an address without its checksum")
    return raw


def strict_json(kind: str, data: bytes | str, *, mark: bool = True) -> Any:
    """A JSON document in UTF-8 without duplicate members, numbers that JSON has not, or lone surrogates."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                raise Refused(kind, f"the member {name} twice", name)
            seen.add(name)
        return dict(members)

    def constant(name: str) -> Any:
        raise Refused(kind, f"{name} is no number of JSON", "")

    def real(text: str) -> float:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise Refused(kind, "an infinite number", "")
        return value

    try:
        text = data if isinstance(data, str) else data.decode()
        text = text.removeprefix("\ufeff") if mark else text
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=real)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused(kind, "not JSON in UTF-8", "") from None
    return value
