"""Reading a request's body, up to a bound, and without its content coding: that is what a record holds, and what its hash is of."""

from __future__ import annotations

import asyncio
import zlib

from litestar.types import Receive, Scope

from tallystick_platform.api.refusals import BadRequest, BodyTooLarge, ClientGone, CodingNotTaken, TooSlow

MAX_LENGTH_DIGITS = 18
_GZIP = 16 + zlib.MAX_WBITS  # what zlib calls the gzip format
MAX_MEMBERS = 16
"""A gzip body may be several streams one after the other (RFC 1952); each costs a decoder, however short it is."""
MAX_DISCARD_BYTES = 67_108_864
"""A refused body up to this size is let pass unread, so that its sender gets to read the refusal; beyond, the connection is closed."""


async def read_body(scope: Scope, receive: Receive, *, limit_bytes: int, limit_s: float) -> bytes:
    """The whole body, decompressed where it came as gzip; both forms are held to the bound.

    One that says it is too large is refused before a byte of it is read, another as soon as it is.

    Raises: BodyTooLarge, TooSlow, ClientGone, CodingNotTaken, BadRequest.
    """
    compressed = _is_gzip(scope)
    body = await read_raw(scope, receive, limit_bytes=limit_bytes, limit_s=limit_s)
    return _decompressed(body, limit_bytes) if compressed else body


async def read_raw(scope: Scope, receive: Receive, *, limit_bytes: int, limit_s: float) -> bytes:
    """The whole body as it was sent.

    Raises: BodyTooLarge, TooSlow, ClientGone, BadRequest.
    """
    announced = announced_bytes(scope, limit_bytes)
    try:
        async with asyncio.timeout(limit_s):
            return await _read(receive, limit_bytes, announced)
    except TimeoutError as error:
        raise TooSlow(what="The body", limit_s=limit_s) from error


def announced_bytes(scope: Scope, limit_bytes: int) -> int | None:
    """What Content-Length says. Raises: BodyTooLarge, BadRequest"""
    announced: int | None = None
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                raise BadRequest("Content-Length is not a number.", code="bad_request")
            announced = int(value)
            if announced > limit_bytes:
                raise BodyTooLarge(limit_bytes=limit_bytes, announced_bytes=announced)
    return announced


def _is_gzip(scope: Scope) -> bool:
    codings = [value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"]
    if not codings or codings == [b"identity"]:
        return False
    if codings in ([b"gzip"], [b"x-gzip"]):  # one and the same, RFC 9110 section 8.4.1.3
        return True
    raise CodingNotTaken


def _decompressed(body: bytes, limit_bytes: int) -> bytes:
    pieces, rest, room = [], body, limit_bytes
    for _ in range(MAX_MEMBERS):
        reader = zlib.decompressobj(_GZIP)
        try:
            piece = reader.decompress(rest, room + 1)
        except zlib.error as error:
            raise BadRequest("The body is not the gzip that Content-Encoding says.", code="invalid_encoding") from error
        room -= len(piece)
        if room < 0:
            raise BodyTooLarge(limit_bytes=limit_bytes, announced_bytes=None)
        if not reader.eof:
            raise BadRequest("The body's gzip stream is cut off.", code="invalid_encoding")
        pieces.append(piece)
        rest = reader.unused_data
        if not rest:
            return b"".join(pieces)
    raise BadRequest(f"The body has more than {MAX_MEMBERS} gzip streams.", code="invalid_encoding")


async def _read(receive: Receive, limit_bytes: int, announced: int | None) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message["type"] != "http.request":
            continue
        size += len(message["body"])
        if size > limit_bytes:
            raise BodyTooLarge(limit_bytes=limit_bytes, announced_bytes=announced)
        pieces.append(message["body"])
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
