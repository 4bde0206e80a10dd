"""The shapes that many answers are put together from. What is sent is one of these, and so is what the API's description shows."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from tallystick_platform.api.replies import Header

MAX_NUMBER = 2**53 - 1

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0)]
Hash = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
PlainHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Address = Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")]
Salt = Annotated[str, Meta(pattern="^0x[0-9a-f]{32}$")]
Signature = Annotated[str, Meta(pattern="^0x[0-9a-f]{130}$")]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Page(Struct, Generic[T], frozen=True, kw_only=True, tag_field="object", tag="list"):
    """One page of a list, newest first."""

    data: list[T]
    has_more: bool
    next_cursor: Annotated[int | None, Meta(description="The `cursor` of the next page.")]


class Whole(Struct, Generic[T], frozen=True, kw_only=True, tag_field="object", tag="list"):
    """A whole list."""

    data: list[T]


def as_headers(shape: Struct) -> list[Header]:
    """The fields of a shape as the headers of an answer."""
    return [
        (name.lower().encode(), str(getattr(shape, attribute)).encode())
        for attribute, name in zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True)
    ]
