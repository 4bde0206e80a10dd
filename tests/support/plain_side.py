"""The product's chat handler without its ledger: what every measurement of the ledger's cost is held against.

It does all that the product does but for the ledger: it reads and authenticates, passes the gate, watches the client and the clock, asks
the model and encodes the answer, whole or as a stream. There is no admission, no record, no receipt, and nothing of what they need.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from types import SimpleNamespace

from litestar import Litestar, Request, post
from litestar.types import ASGIApp

from tallystick.record import Response
from tallystick_platform.admission import Gate
from tallystick_platform.api import Services
from tallystick_platform.api.body import read_body
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.edge import Edge
from tallystick_platform.api.replies import JSON, send_start, send_whole
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.api.wire.answering import SEND_LIMIT_S, Question
from tallystick_platform.api.wire.openai import CHAT
from tallystick_platform.api.wire.wire import timeout_of
from tallystick_platform.app.listening import ApiServer, bind
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.errors import PlatformError, RequestTimedOut
from tallystick_platform.protocol import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSide:
    """What the plain handler serves from; the ledger side has the same."""

    services: Services
    dispatcher: Dispatcher
    gate: Gate


class PlainReply(WatchedReply):
    """One answer without a ledger. In the place of its record stands what its encoding reads of one."""

    def __init__(self, side: PlainSide, token_id: str, question: Question, timeout_s: float) -> None:
        self._side = side
        self._token_id = token_id
        self._question = question
        self._timeout_s = timeout_s
        self._task: asyncio.Task[object] | None = None
        self._events: object | None = None

    def _stop(self, reason: PlatformError) -> None:
        if self._task is not None:
            self._task.cancel(str(reason))

    async def _work(self) -> None:
        self._task = asyncio.current_task()
        side, question = self._side, self._question
        time = SimpleNamespace(admitted_at=side.services.clock.now_us())
        record = SimpleNamespace(id=side.services.random(16), time=time, response=None, usage=None)
        with side.gate.enter(self._token_id):
            timed_out = RequestTimedOut(timeout_s=self._timeout_s)
            timer = asyncio.get_running_loop().call_later(self._timeout_s, self._stop, timed_out)
            try:
                await self._compute(record)
            finally:
                timer.cancel()
        recorded = SimpleNamespace(record=record)
        async with asyncio.timeout(SEND_LIMIT_S):
            if question.events is None:
                await send_whole(self._send, 200, JSON, [], question.whole(recorded, b"null"))
            else:
                events = self._events or await self._begin(record)
                last = events.last(recorded, b"null")
                await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def _compute(self, record: SimpleNamespace) -> None:
        asked, dispatcher = self._question.asked, self._side.dispatcher
        claim = await dispatcher.claim(asked.model, None, asked.task.name)
        try:
            used = asked.task.effective(asked.reading.asked, claim.placement.model, self._draw_seed)
            generation = claim.start(Call(record.id, asked.task.name, asked.task.call(asked.given, used)))
            gather = asked.task.gather(asked.given, used)
            async for piece in generation:
                for part in gather.parts(piece):
                    if self._question.events is not None:
                        events = self._events or await self._begin(record)
                        body = events.piece(part, generation.progress.usage)
                        await self._send({"type": "http.response.body", "body": body, "more_body": True})
                    gather.add(part)
        finally:
            claim.release()
        record.response = Response(outputs=gather.outputs(generation.finish_reasons))
        record.usage = generation.progress.usage

    async def _begin(self, record: SimpleNamespace) -> object:
        self._events = events = self._question.events(SimpleNamespace(record=record))
        await send_start(self._send, 200, events.content_type, [(b"cache-control", b"no-cache")], length=None)
        await self._send({"type": "http.response.body", "body": events.opening(), "more_body": True})
        return events

    def _draw_seed(self) -> int:
        return int.from_bytes(self._side.services.random(8)) >> 1


def plain_api(side: PlainSide) -> ASGIApp:
    """The plain handler, behind the same edge as the product."""
    services = side.services

    @post(CHAT.routes[0], status_code=200)
    async def chat_completions(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        headers = scope["headers"]
        principal = await principal_of(headers, services.authenticator)
        timeout_s = timeout_of(headers, services.request_timeout_s)
        body = await read_body(
            scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=services.request_timeout_s
        )
        return PlainReply(side, principal.token_id, CHAT.read(scope["path"], headers, body), timeout_s)

    app = Litestar(
        route_handlers=[chat_completions], openapi_config=None, logging_config=None, request_max_body_size=None
    )
    return Edge(app, random=services.random, metrics=services.metrics)


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """Serves with the product's own server on a free port; gives the port."""
    with closing(bind("127.0.0.1", 0)) as listener:
        server = ApiServer(app, on_leave=lambda: None)
        task = asyncio.create_task(server.run_on(listener))
        while not server.started:
            await asyncio.sleep(0.001)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.leave()
            await task
