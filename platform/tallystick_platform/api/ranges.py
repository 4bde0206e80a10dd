"""Conditional and partial requests for one file whose ETag is its SHA-256. Source: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick_platform.api.refusals import RangeRefused

Headers = Iterable[tuple[bytes, bytes]]

MAX_DIGITS = 18
_BYTES = re.compile(r"bytes[ \t]*=[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
_ONE = re.compile(rf"(\d{{0,{MAX_DIGITS}}})-(\d{{0,{MAX_DIGITS}}})")
_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some bytes of a file. Units: bytes."""

    offset: int
    length: int
    size: int

    def __str__(self) -> str:
        """As in Content-Range."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a request says about the file that it wants; each None where it says nothing."""

    range: str | None = None
    if_range: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None

    def is_known(self, etag: str) -> bool:
        """Whether the client has this content already."""
        return self.if_none_match is not None and _names(self.if_none_match, etag, weak=True)

    def is_other(self, etag: str) -> bool:
        """Whether the client wants other content than this."""
        return self.if_match is not None and not _names(self.if_match, etag, weak=False)

    def span(self, etag: str, size: int) -> Span | None:
        """The part that is asked for; None for the whole: also where the client's copy is of other content.

        Raises: RangeRefused for a range that is malformed, of several parts, or lies outside of the file.
        """
        if self.range is None or (self.if_range is not None and self.if_range.strip() != etag):
            return None
        given = _BYTES.fullmatch(self.range.strip())
        if given is None:
            return None  # another unit: to be ignored
        one = _ONE.fullmatch(given[1].strip())
        if one is None or one[0] == "-":
            raise RangeRefused(total_bytes=size)
        first, last = one[1], one[2]
        if not first:
            length = min(int(last), size)
            offset = size - length
        else:
            offset = int(first)
            length = min(int(last), size - 1) - offset + 1 if last else size - offset
        if length <= 0 or (first and last and int(last) < offset):
            raise RangeRefused(total_bytes=size)
        return Span(offset=offset, length=length, size=size)


def conditions_of(headers: Headers) -> Conditions:
    """Read a request's conditions; a list that comes in several lines is one list."""
    found: dict[str, str] = {}
    for header, value in headers:
        if header in {b"range", b"if-range", b"if-match", b"if-none-match"}:
            name, text = header.decode().replace("-", "_"), value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return Conditions(**found)


def _names(listed: str, etag: str, *, weak: bool) -> bool:
    if listed.strip() == "*":
        return True
    return any(tag[1] == etag and (weak or not tag[0].startswith("W/")) for tag in _TAG.finditer(listed))
