"""`Idempotency-Key`: whoever repeats a POST under the same key gets the same answer, and nothing is computed or recorded a second time.

What is kept is an answer that says what was done: one with a receipt, or a success. What was refused before that is not kept, so that the
request can be sent again. A stream is kept whole and given again at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy.exc import SQLAlchemyError

from tallystick_platform.api.body import read_raw
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.endpoint import MAX_KEY_CHARS
from tallystick_platform.api.refusals import AnswerTooLarge, BadRequest, KeyOfAnother, StillUnderWay
from tallystick_platform.api.services import Services
from tallystick_platform.store.answers import KeptAnswer

HEADER = b"idempotency-key"
MAX_KEPT_BYTES = 4 * 1_048_576
"""Of one answer. A larger one is given once; whoever repeats its request is told the record."""

_RECORD, _RECEIPT = b"x-tallystick-record", b"x-tallystick-receipt"
_REPEATED = (b"idempotent-replayed", b"true")
_log = structlog.get_logger(__name__)


class Idempotent:
    """Wraps the handlers of an application, each within its own error shape. One event loop uses it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way: set[bytes] = set()

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The middleware around one handler."""

        async def serve(scope: Any, receive: Receive, send: Send) -> None:
            key = _key_of(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
            if key is None:
                await app(scope, receive, send)
            else:
                await self._once(app, scope, receive, send, key)

        return serve

    async def _once(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        services = self._services
        token_id = (await principal_of(scope["headers"], services.authenticator)).token_id
        limit = max(services.max_body_bytes, services.max_media_bytes)  # its handler holds it to its own
        body = await read_raw(scope, receive, limit_bytes=limit, limit_s=services.request_timeout_s)
        request = _digest(scope, body)
        name = services.answers.name(token_id, key)
        if name in self._under_way:
            raise StillUnderWay
        self._under_way.add(name)
        try:
            kept = await asyncio.to_thread(services.answers.find, token_id, key)
            if kept is not None:
                await _again(kept, request, send)
                return
            sending = _Sending(send, lambda answer: services.answers.keep(token_id, key, answer), request)
            await app(scope, _given(body, receive), sending.send)
        finally:
            self._under_way.discard(name)


class _Sending:
    """Passes an answer on, and keeps it before its last bytes leave: whoever has seen its end can have it again."""

    def __init__(self, send: Send, keep: Callable[[KeptAnswer], None], request: bytes) -> None:
        self._send = send
        self._keep = keep
        self._request = request
        self._status = 0
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._pieces: list[bytes] | None = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple((name, value) for name, value in message["headers"])
        elif message["type"] == "http.response.body":
            self._take(message["body"])
            if not message.get("more_body", False) and self._says_what_was_done():
                await self._kept()
        await self._send(message)

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > MAX_KEPT_BYTES:
            self._pieces = None
        elif self._pieces is not None:
            self._pieces.append(piece)

    def _says_what_was_done(self) -> bool:
        return self._status < 300 or any(name == _RECEIPT for name, _ in self._headers)

    async def _kept(self) -> None:
        body = None if self._pieces is None else b"".join(self._pieces)
        answer = KeptAnswer(self._request, self._status, self._headers, body)
        try:
            await asyncio.to_thread(self._keep, answer)
        except SQLAlchemyError as error:  # what is recorded is answered: it can only not be had again
            _log.error("answer.not_kept", exc_info=error)


async def _again(kept: KeptAnswer, request: bytes, send: Send) -> None:
    """Give an answer again. Raises: KeyOfAnother, AnswerTooLarge."""
    if not hmac.compare_digest(kept.request, request):
        raise KeyOfAnother
    if kept.body is None:
        raise AnswerTooLarge(record=dict(kept.headers).get(_RECORD, b"among GET /v1/records").decode())
    await send({"type": "http.response.start", "status": kept.status, "headers": [*kept.headers, _REPEATED]})
    await send({"type": "http.response.body", "body": kept.body, "more_body": False})


def _key_of(scope: Scope) -> str | None:
    """Raises: BadRequest for a key that is none, or for two."""
    found = [value for name, value in scope["headers"] if name == HEADER]
    if not found:
        return None
    key = found[0].decode("latin-1")
    if len(found) > 1 or not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise BadRequest(
            f"'Idempotency-Key' must be one text of 1 to {MAX_KEY_CHARS} printable ASCII characters.",
            param="Idempotency-Key",
            code="invalid_value",
        )
    return key


def _digest(scope: Scope, body: bytes) -> bytes:
    """What makes a request the same: where it goes to, and the body as it was sent."""
    target = (scope["path"], bytes(scope["query_string"]))
    codings = [value for name, value in scope["headers"] if name in {b"content-type", b"content-encoding"}]
    return hashlib.sha256(msgspec.msgpack.encode((target, codings, body))).digest()


def _given(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, and then what comes after it."""
    waiting = [body]

    async def again() -> Any:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
