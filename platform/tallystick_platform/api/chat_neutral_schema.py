"""What the description says of the members of a chat request that are taken only where they change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick.tasks.chat_neutral import MESSAGE, PARAMETERS, PART, Neutral

_JSON_TYPES: Final[Mapping[type, str]] = {str: "string", bool: "boolean", dict: "object"}
_PLACES: Final = (("ChatBody", PARAMETERS), ("Message", MESSAGE), ("TextPart", PART))
DESCRIPTION: Final = "Taken where it changes nothing, and recorded."


def add_neutral(schemas: dict[str, Any]) -> None:
    """Add them to the schemas that were made from the types of the body, which know only what acts."""
    for name, known in _PLACES:
        properties = schemas[name]["properties"]
        for member, neutral in known.items():
            properties.setdefault(member, _schema(neutral))
    message = schemas["Message"]
    message["required"] = [name for name in message["required"] if name != "content"]
    message["properties"]["content"] = {
        "anyOf": [*message["properties"]["content"]["anyOf"], {"type": "null"}],
        "description": "Only the assistant's may be null or missing.",
    }


def _schema(neutral: Neutral) -> dict[str, Any]:
    values = {"enum": [*neutral.values, None]}
    kinds = [{"type": _JSON_TYPES[kind]} for kind in neutral.any_of]
    return {"anyOf": [*kinds, values], "description": DESCRIPTION} if kinds else {**values, "description": DESCRIPTION}
