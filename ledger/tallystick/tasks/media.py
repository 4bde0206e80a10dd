"""Answers that are sounds or pictures: how they stand in a record, and what a client received.

A record names each by its digest and length, and holds the bytes themselves behind all of these names, so that whoever opens the record
has what was delivered. A response of that size moves to a blob (SPEC 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.hashing import keccak256
from tallystick.record import Output

KIND: Final = "media"
CONTENT_KIND: Final = "document"


def media_outputs(media_type: str, items: Sequence[bytes]) -> tuple[Output, ...]:
    """The outputs of a record: a name for each item, then each item's bytes.

    Source: SPEC 7.
    """
    named = (
        Output(kind=KIND, content={"type": media_type, "digest": keccak256(item), "length": len(item)})
        for item in items
    )
    return (*named, *(Output(kind=CONTENT_KIND, content=item) for item in items))


def items_of(outputs: Sequence[Output]) -> list[bytes]:
    """The bytes of the sounds or pictures in a record's outputs."""
    return [one.content for one in outputs if one.kind == CONTENT_KIND and isinstance(one.content, bytes)]
