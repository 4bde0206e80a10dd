"""The outermost layer: a request id on every answer, one access log line each, and no traceback to anyone outside.

The log holds what identifies a request and how it went; never its query, headers or body.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from litestar.types import ASGIApp, Message, Receive, Send

from tallystick_platform.api.endpoint import SAME_ROUTE
from tallystick_platform.api.error_table import describe
from tallystick_platform.api.replies import send_error
from tallystick_platform.metrics import Metrics

UNROUTED = "unrouted"  # requests that no route took share one label: paths are the client's to choose
CUT = "none"  # the client left before a status was sent
REQUEST_ID_KEY = "tallystick.request_id"
_STATED_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")

_log = structlog.get_logger("tallystick_platform.access")


class Edge:
    """Wraps the application. `random(n)` gives n unpredictable bytes."""

    __slots__ = ("_app", "_metrics", "_random")

    def __init__(self, app: ASGIApp, *, random: Callable[[int], bytes], metrics: Metrics) -> None:
        self._app = app
        self._random = random
        self._metrics = metrics

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = _Seen(self._request_id(scope["headers"]), send, bodiless=scope["method"] == "HEAD")
        scope[REQUEST_ID_KEY] = seen.request_id.decode()
        began = time.perf_counter()
        try:
            await self._app(scope, receive, seen.send)
        except Exception as error:  # noqa: BLE001  (whatever it is, it ends here: nobody outside sees a traceback)
            _log.exception("request.defect", request_id=seen.request_id.decode(), path=scope["path"])
            if seen.status is None:
                await send_error(seen.send, describe(error))
            # Else the answer is cut where it stands: the server closes a connection whose answer is not complete.
        finally:
            elapsed_s = time.perf_counter() - began
            path = str(scope.get("path_template", UNROUTED)).replace(*SAME_ROUTE)
            self._metrics.requests.labels(path, str(seen.status or CUT)).inc()
            self._metrics.request_seconds.labels(path).observe(elapsed_s)
            _log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=seen.status,
                ms=round(elapsed_s * 1000, 1),
                request_id=seen.request_id.decode(),
                record_id=seen.record_id,
            )

    def _request_id(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        for name, value in headers:
            if name == b"x-request-id" and _STATED_ID.fullmatch(value):
                return value
        return b"req_" + self._random(12).hex().encode()


class _Seen:
    """Watches the answer go by, and puts the request id on it."""

    __slots__ = ("_bodiless", "_send", "record_id", "request_id", "status")

    def __init__(self, request_id: bytes, send: Send, *, bodiless: bool) -> None:
        self._send = send
        self._bodiless = bodiless
        self.request_id = request_id
        self.status: int | None = None
        self.record_id: str | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[Any] = list(message.get("headers", ()))
            for name, value in headers:
                if name == b"x-tallystick-record":
                    self.record_id = value.decode()
            headers.append((b"x-request-id", self.request_id))
            message["headers"] = headers
        elif self._bodiless and message["type"] == "http.response.body":
            message["body"] = b""
        await self._send(message)
