"""Query parameters, read strictly: the fields of a struct, each written as JSON writes its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import msgspec
from litestar import Request
from msgspec import Meta, Struct

from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.shapes import MAX_NUMBER
from tallystick_platform.api.strict_json import explained

DEFAULT_PAGE = 20
MAX_PAGE = 100

Q = TypeVar("Q", bound=Struct)
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Entries per page.")]
Cursor = Annotated[int, Meta(ge=0, le=MAX_NUMBER, description="`next_cursor` of the page before.")]


class Paging(Struct, frozen=True, kw_only=True):
    """Which page of a list."""

    cursor: Cursor | None = None
    limit: Limit = DEFAULT_PAGE


def read_query(request: Request, kind: type[Q]) -> Q:  # type: ignore[type-arg]
    """The query parameters that `kind` has as fields; others change nothing. Raises: BadRequest."""
    return read_texts(request.query_params.dict(), kind)


def read_texts(given: Mapping[str, Sequence[str]], kind: type[Q]) -> Q:
    """The fields of `kind` from texts.

    Raises: BadRequest for one that is malformed, out of its bounds, or given twice.
    """
    texts = {name: given[name][0] for name in kind.__struct_fields__ if name in given}
    try:
        found = msgspec.convert(texts, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from error
    for name, text in texts.items():
        value = getattr(found, name)
        written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if value is None or written != text or len(given[name]) > 1:  # such as null, 1.0, TRUE
            raise BadRequest(f"Invalid value for '{name}'.", param=name, code="invalid_value")
    return found
