"""`POST /v1/chat/completions`: read, authenticate, and put the request on its line."""

from __future__ import annotations

import math
from collections.abc import Iterable

from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from tallystick.tasks import chat_requests
from tallystick_platform.api.body import read_body
from tallystick_platform.api.chat_parsing import parse_chat
from tallystick_platform.api.chat_reply import StreamReply, WholeReply
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.received import received
from tallystick_platform.api.refusals import BadRequest
from tallystick_platform.api.services import Services

PATH = "/v1/chat/completions"
READER = chat_requests.NAME
TIMEOUT_HEADERS = (b"x-request-timeout", b"oicm-request-timeout")
MIN_TIMEOUT_S = 0.001
MAX_TIMEOUT_CHARS = 16


def chat_handler(services: Services) -> HTTPRouteHandler:
    """The handler of the chat path."""

    @post(PATH, status_code=200)
    async def chat_completions(request: Request) -> ASGIApp:  # type: ignore[type-arg]  # the framework's three parameters are unused
        scope = request.scope
        headers = scope["headers"]
        principal = principal_of(headers, services.authenticator)
        timeout_s = timeout_of(headers, services.request_timeout_s)
        body = await read_body(scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=timeout_s)
        chat = parse_chat(body)
        line = services.exchange.chat(
            principal=principal,
            request=chat.request,
            http=received(scope, body, reader=READER, streamed=chat.stream),
            timeout_s=timeout_s,
        )
        if chat.stream:
            return StreamReply(line, services.proofs, include_usage=chat.include_usage)
        return WholeReply(line, services.proofs)

    return chat_completions


def timeout_of(headers: Iterable[tuple[bytes, bytes]], limit_s: float) -> float:
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
