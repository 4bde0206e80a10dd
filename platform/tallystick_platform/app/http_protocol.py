"""The HTTP protocol below the application: what cannot be read is refused in the API's own shape, and nothing is read without a bound.

The server's own protocol bounds neither the size of a head nor the time that it takes, and answers garbage in plain text. Bodies are
bounded where they are read (api/body.py); here it is what no handler ever sees: heads, trailers and chunk lines.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tallystick_platform.api.body import MAX_DISCARD_BYTES
from tallystick_platform.api.downloads import ABORT_KEY
from tallystick_platform.api.error_table import describe
from tallystick_platform.api.refusals import BadRequest, HeadTooLarge, TooSlow
from tallystick_platform.api.replies import JSON, encode_json
from tallystick_platform.errors import PlatformError

MAX_HEAD_BYTES = 65_536
"""What may arrive of one head, or between two pieces of a body. Of a head that does not end, a whole read of the socket may come on top."""
HEAD_LIMIT_S = 30.0  # for one head; a client that is still there sends it in one piece
LINE_BYTES = 4  # what a line of a head has besides name and value: ": " and its end
MAX_QUEUED = 2
"""Requests that wait behind the one that is answered, before a connection is read no further. Who is not read is not seen leaving."""
LINGER_S = 2.0
"""A refused client may be sending still. To close at once would reset the connection, and the reset would overtake the refusal: what comes
is thrown away, for this long."""


class ApiProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._settled = False
        self._unsettled_bytes = 0
        self._refusal: PlatformError | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._discarded_bytes = 0
        self._answered: RequestResponseCycle | None = None  # what is answered now, where `cycle` is what came last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        if self._answered is not None:  # the server's own protocol tells the request that came last, and no other
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._linger_timer is not None:
            self._discard(len(data))
            return
        if self.transport.is_closing():
            return
        self._settled = False
        super().data_received(data)
        self._unsettled_bytes = 0 if self._settled else self._unsettled_bytes + len(data)
        if self._unsettled_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
        elif self._in_head:
            self._await_head()
        elif self._head_timer is not None:
            self._head_is_here()

    def on_message_begin(self) -> None:
        self._settled = self._in_head = True
        super().on_message_begin()
        self.scope[ABORT_KEY] = self.transport.abort  # type: ignore[literal-required]  # a member of our own

    def on_headers_complete(self) -> None:
        self._settled, self._in_head = True, False
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in {b"content-length", b"transfer-encoding"} for name, _ in self.headers):
            # The parser takes what follows for the other protocol: the body would be lost.
            self._refusal = BadRequest(
                "No upgrade is offered: send the request without one.", code="upgrade_not_offered"
            )
            raise self._refusal
        if self._head_bytes() > MAX_HEAD_BYTES:
            self._refusal = HeadTooLarge(limit_bytes=MAX_HEAD_BYTES)
            raise self._refusal
        super().on_headers_complete()
        if 0 < len(self.pipeline) <= MAX_QUEUED:
            self.flow.resume_reading()
        if upgrade:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._settled = True
        if self.cycle.response_complete:  # refused, and its sender goes on
            self._discard(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._settled = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or BadRequest(msg, code="invalid_http"))

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_LIMIT_S, self._no_head)

    def _head_is_here(self) -> None:
        timer, self._head_timer = self._head_timer, None
        if timer is not None:
            timer.cancel()

    def _no_head(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(TooSlow(what="The head of the request", limit_s=HEAD_LIMIT_S))
        else:
            self.transport.close()  # it never said anything

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, Unframed(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + LINE_BYTES for name, value in self.headers)

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > MAX_DISCARD_BYTES:
            self.transport.close()

    def _refuse(self, error: PlatformError) -> None:
        """Answer with the reason where it can be told whose answer it is, and close the connection."""
        if self.transport.is_closing() or self._linger_timer is not None:
            return
        answers = self._may_answer()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = (
                True  # the application hears that nobody waits, and nothing it sends mixes with the refusal
            )
            self.cycle.message_event.set()
        if not answers:
            self.transport.close()
            return
        answer = describe(error)
        body = encode_json({"error": answer.body()})
        head = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\ncontent-type: {JSON.decode()}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.flow.resume_reading()
        self._linger_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _may_answer(self) -> bool:
        """Whether the refusal would be read as the answer to what it refuses: no earlier answer is due, and none has begun."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return not self.pipeline and cycle.more_body and not cycle.response_started


class Unframed:
    """An application for a client of HTTP/1.0: it knows no chunks, so an answer of unknown length ends with its connection."""

    def __init__(self, app: Any, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._measured = False

    async def __call__(self, scope: Any, receive: Any, _send: Any) -> None:
        await self._app(scope, receive, self._send)

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._measured = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not self._measured:
                self._cycle.chunked_encoding = False
        elif not self._measured:
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._cycle.send(message)
