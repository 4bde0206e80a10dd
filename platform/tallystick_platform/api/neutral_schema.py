"""What the description says of the members of a request that are taken only where they change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick.tasks.neutral import MESSAGE, PART, Neutral
from tallystick_platform.api.wire.openai import WIRES
from tallystick_platform.api.wire.openai.chat import MESSAGES, TextPart

_JSON_TYPES: Final[Mapping[type, str]] = {str: "string", bool: "boolean", dict: "object"}
_PLACES: Final = (
    *((wire.body, wire.neutral) for wire in WIRES),
    *((kind, MESSAGE) for kind in MESSAGES),
    (TextPart, PART),
)
DESCRIPTION: Final = "Taken where it changes nothing, and recorded."


def add_neutral(schemas: dict[str, Any]) -> None:
    """Add them to the schemas that were made from the types of the bodies, which know only what acts."""
    for kind, known in _PLACES:
        properties = schemas[kind.__name__]["properties"]
        for member, neutral in known.items():
            properties.setdefault(member, _schema(neutral))


def _schema(neutral: Neutral) -> dict[str, Any]:
    values = {"enum": [*neutral.values, None]}
    kinds = [{"type": _JSON_TYPES[kind]} for kind in neutral.any_of]
    return {"anyOf": [*kinds, values], "description": DESCRIPTION} if kinds else {**values, "description": DESCRIPTION}
