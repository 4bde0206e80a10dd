"""Reading a request's body, up to a bound."""

from __future__ import annotations

import asyncio

from litestar.types import Receive, Scope

from tallystick_platform.api.refusals import BadRequest, BodyTooLarge, ClientGone, TooSlow

MAX_LENGTH_DIGITS = 18
MAX_DISCARD_BYTES = 67_108_864
"""A refused body up to this size is let pass unread, so that its sender gets to read the refusal; beyond, the connection is closed."""


async def read_body(scope: Scope, receive: Receive, *, limit_bytes: int, limit_s: float) -> bytes:
    """The whole body. One that says it is too large is refused before a byte of it is read, another as soon as it is.

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
