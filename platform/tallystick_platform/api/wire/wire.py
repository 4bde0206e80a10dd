"""What a wire format is, and the handler that all of them share: it reads, authenticates, and puts the question on its line.

A wire says how a request is spelled, how its answer is, and how an error is. Who is asking, how long it may take, what is recorded and
when an answer may leave is the same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Protocol

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import Headers, principal_of
from tallystick_platform.api.error_table import ErrorAnswer
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.services import Services
from tallystick_platform.api.wire.answering import Question, WireReply
from tallystick_platform.exchange import Deliver, Line

TIMEOUT_HEADERS = (b"x-request-timeout", b"oicm-request-timeout")
MIN_TIMEOUT_S = 0.001
MAX_TIMEOUT_CHARS = 16


class Wire(Protocol):
    """One way of asking models over HTTP. `routes` are the addresses that it is served at, in Litestar's spelling."""

    @property
    def routes(self) -> Collection[str]: ...

    def read(self, path: str, headers: Headers, body: bytes) -> Question:
        """What a request asks, and how its answer is to be written; `body` is without its content coding.

        Raises: BadRequest, naming the parameter.
        """
        ...

    def error(self, answer: ErrorAnswer, tallystick: bytes | None) -> tuple[int, bytes]:
        """The status and the JSON of an error, with the proof of its record where there is one."""
        ...


def wire_handler(wire: Wire, services: Services, on_error: dict[int | type[Exception], Any]) -> HTTPRouteHandler:
    """The handler of a wire's addresses."""

    @post(list(wire.routes), status_code=200, exception_handlers=on_error)
    async def ask(request: Request) -> ASGIApp:  # type: ignore[type-arg]  # the framework's three parameters are unused
        scope = request.scope
        headers = scope["headers"]
        principal = await principal_of(headers, services.authenticator)
        timeout_s = timeout_of(headers, services.request_timeout_s)
        body = await read_body(scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=timeout_s)
        question = wire.read(scope["path"], headers, body)
        http = received(scope, body, reader=question.reader, streamed=question.events is not None)

        def infer(deliver: Deliver | None) -> Line:
            return services.exchange.infer(
                principal=principal, asked=question.asked, http=http, timeout_s=timeout_s, deliver=deliver
            )

        return WireReply(question, infer, wire.error, services.proofs)

    return ask


def timeout_of(headers: Headers, limit_s: float) -> float:
    """The time that a request may take: what its header asks for, up to the server's own bound. Units: seconds.

    Raises: BadRequest.
    """
    for name, value in headers:
        if name in TIMEOUT_HEADERS:
            shown = name.decode()
            try:
                asked_s = float(value) if len(value) <= MAX_TIMEOUT_CHARS and b"_" not in value else math.nan
            except ValueError:
                asked_s = math.nan
            if not asked_s >= MIN_TIMEOUT_S:  # NaN compares false
                raise BadRequest(
                    f"'{shown}' must be a number of seconds, {MIN_TIMEOUT_S} or more.",
                    param=shown,
                    code="invalid_value",
                )
            return min(asked_s, limit_s)
    return limit_s
