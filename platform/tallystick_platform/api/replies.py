"""Whole answers as ASGI messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from litestar.types import Receive, Scope, Send

from tallystick_platform.api.error_table import ErrorAnswer

JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
EVENTS = b"text/event-stream; charset=utf-8"

Header = tuple[bytes, bytes]
ErrorShape = Callable[[ErrorAnswer, bytes | None], tuple[int, bytes]]
"""Writes an error: its status and its JSON, with the proof of its record where there is one."""

encode_json = msgspec.json.Encoder().encode


class Reply:
    """One whole answer; a Litestar handler may return it as it is. `length` is that of a body which is not sent, for HEAD."""

    __slots__ = ("_body", "_content_type", "_headers", "_length", "_status")

    def __init__(
        self,
        body: bytes,
        *,
        content_type: bytes = JSON,
        status: int = 200,
        headers: Iterable[Header] = (),
        length: int | None = None,
    ) -> None:
        self._body = body
        self._content_type = content_type
        self._status = status
        self._headers = headers
        self._length = len(body) if length is None else length

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send_start(send, self._status, self._content_type, self._headers, length=self._length)
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def json_reply(value: object, *, status: int = 200, headers: Iterable[Header] = ()) -> Reply:
    """A value as a JSON answer."""
    return Reply(encode_json(value), status=status, headers=headers)


async def send_start(
    send: Send, status: int, content_type: bytes, headers: Iterable[Header], *, length: int | None
) -> None:
    """The status line and headers; no length means that the body comes in pieces."""
    found: list[Header] = [(b"content-type", content_type), *headers]
    if length is not None:
        found.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": found})


async def send_whole(send: Send, status: int, content_type: bytes, headers: Iterable[Header], body: bytes) -> None:
    """An answer in one piece."""
    await send_start(send, status, content_type, headers, length=len(body))
    await send({"type": "http.response.body", "body": body, "more_body": False})


def native_error(answer: ErrorAnswer, tallystick: bytes | None = None) -> tuple[int, bytes]:
    """An error as OpenAI's clients expect it, with the proof of its record where the request was admitted."""
    content: dict[str, object] = {"error": answer.body()}
    if tallystick is not None:
        content["tallystick"] = msgspec.Raw(tallystick)
    return answer.status, encode_json(content)


async def send_error(
    send: Send, answer: ErrorAnswer, headers: Iterable[Header] = (), tallystick: bytes | None = None
) -> None:
    """The same, sent."""
    status, body = native_error(answer, tallystick)
    await send_whole(send, status, JSON, [*answer.headers(), *headers], body)
