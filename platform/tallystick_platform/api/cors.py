"""Which web pages may call the API: CORS for the origins that the operator names. Without any, no page of another origin reads an answer.

Tokens travel in headers that a page sets itself, so nothing here allows credentials: a browser's cookies prove nothing to this API.
Source: the Fetch standard, section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

ANY = "*"
METHODS = b"GET, HEAD, POST, PUT, DELETE"
EXPOSED = (
    b"X-Tallystick-Record, X-Tallystick-Admission, X-Tallystick-Request-Salt, X-Tallystick-Receipt, X-Request-Id, Server-Timing, "
    b"Retry-After, Location, ETag, Accept-Ranges, Content-Range, Content-Disposition, Repr-Digest, Content-Digest"
)
PREFLIGHT_KEPT_S = 600
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")
"""Header names as a preflight lists them, bounded: a page with an SDK asks for a dozen."""

Header = tuple[bytes, bytes]


class Cors:
    """Wraps the application. Requires: origins as a browser sends them, or `*`."""

    __slots__ = ("_any", "_app", "_origins")

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        origin = _one(headers, b"origin")
        granted = self._granted(origin)
        if granted and scope["method"] == "OPTIONS" and _one(headers, b"access-control-request-method") is not None:
            await _preflight(send, granted, _one(headers, b"access-control-request-headers"))
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                # An answer differs by who asks, also where the origin gets nothing: no cache may mix them.
                message["headers"] = [*message.get("headers", ()), *granted, *self._varies()]
                if granted:
                    message["headers"] = [*message["headers"], (b"access-control-expose-headers", EXPOSED)]
            await send(message)

        await self._app(scope, receive, marked)

    def _granted(self, origin: bytes | None) -> list[Header]:
        if origin is None:
            return []
        if self._any:
            return [(b"access-control-allow-origin", b"*")]
        return [(b"access-control-allow-origin", origin)] if origin in self._origins else []

    def _varies(self) -> list[Header]:
        return [] if self._any else [(b"vary", b"Origin")]


async def _preflight(send: Send, granted: list[Header], asked: bytes | None) -> None:
    headers = [
        *granted,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", str(PREFLIGHT_KEPT_S).encode()),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if asked is not None and _NAMES.fullmatch(asked) is not None:
        headers.append((b"access-control-allow-headers", asked))  # what is unknown here is passed over here
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _one(headers: list[Header], wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
