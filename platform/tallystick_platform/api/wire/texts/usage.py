"""The counts of an answer."""

from __future__ import annotations

from msgspec import Struct

from tallystick.record import Usage as Counts


class TextCounts(Struct, frozen=True, kw_only=True):
    """The tokens of all texts, those that the model wrote among the total."""

    prompt_tokens: int
    total_tokens: int


def usage_of(counts: Counts | None) -> TextCounts:
    """What an answer says of the counts of its record."""
    given = counts or {}
    asked = given.get("input_tokens", 0)
    return TextCounts(prompt_tokens=asked, total_tokens=asked + given.get("output_tokens", 0))
