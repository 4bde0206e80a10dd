"""The product's chat handler without its ledger: what every measurement of the ledger's cost is held against.

It does all that the product does but for the ledger: it reads and authenticates, passes the gate, watches the client and the clock, asks
the model and encodes the answer, whole or as a stream. There is no admission, no record, no receipt, and nothing of what they need.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from litestar import Litestar, Request, post
from litestar.types import ASGIApp

from tallystick_platform.api import Services
from tallystick_platform.api.body import read_body
from tallystick_platform.api.chat import PATH, timeout_of
from tallystick_platform.api.chat_parsing import ParsedChat, parse_chat
from tallystick_platform.api.chat_reply import SEND_LIMIT_S
from tallystick_platform.api.credentials import principal_of
from tallystick_platform.api.edge import Edge
from tallystick_platform.api.replies import EVENTS, JSON, encode_json, send_start
from tallystick_platform.api.sse import ChatEvents
from tallystick_platform.api.watched import WatchedReply
from tallystick_platform.app.listening import ApiServer, bind
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch import Generation, GenerationRequest, GenerationResult
from tallystick_platform.errors import NoProvider
from tallystick_platform.exchange import Dispatcher, Gate, StopReason
from tallystick_platform.exchange.request import effective
from tallystick_platform.protocol import as_drawn

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSide:
    """What the plain handler serves from; the ledger side has the same."""

    services: Services
    dispatcher: Dispatcher
    gate: Gate
    clock: Clock
    random: Callable[[int], bytes]


class PlainReply(WatchedReply):
    """One answer without a ledger."""

    def __init__(self, side: PlainSide, token_id: str, chat: ParsedChat, timeout_s: float) -> None:
        self._side = side
        self._token_id = token_id
        self._chat = chat
        self._timeout_s = timeout_s
        self._task: asyncio.Task[object] | None = None

    def _stop(self, reason: StopReason) -> None:
        if self._task is not None:
            self._task.cancel(reason)

    async def _work(self) -> None:
        self._task = asyncio.current_task()
        side = self._side
        with side.gate.enter(self._token_id):
            timer = asyncio.get_running_loop().call_later(self._timeout_s, self._stop, StopReason.TIMED_OUT)
            now_us = side.clock.now_us()
            generation = self._start(now_us)
            created = now_us // US_PER_S
            try:
                if self._chat.stream:
                    last = await self._stream(generation, created)
                else:
                    last = self._whole("".join([delta.text async for delta in generation]), generation.result, created)
            finally:
                timer.cancel()
        async with asyncio.timeout(SEND_LIMIT_S):
            if not self._chat.stream:
                await send_start(self._send, 200, JSON, [], length=len(last))
            await self._send({"type": "http.response.body", "body": last, "more_body": False})

    def _start(self, now_us: int) -> Generation:
        side, asked = self._side, self._chat.request
        placement = side.dispatcher.select(asked.model)
        if placement is None:
            raise NoProvider(model=asked.model)  # this side loads nothing
        used = effective(asked, placement.model, lambda: int.from_bytes(side.random(8)) >> 1)
        temperature, top_p, top_k = as_drawn(used.temperature, used.top_p, used.top_k)
        request = GenerationRequest(
            request_id=side.random(16),
            model=placement.model.id,
            messages=asked.turns,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            max_tokens=used.max_tokens,
            stop=used.stop,
            seed=used.seed,
            deadline_us=now_us + int(self._timeout_s * US_PER_S),
        )
        return side.dispatcher.start(placement, request)

    async def _stream(self, generation: Generation, created: int) -> bytes:
        events = ChatEvents(
            completion_id="chatcmpl-" + self._side.random(16).hex(),
            created=created,
            model=self._chat.request.model,
            include_usage=self._chat.include_usage,
        )
        started = False
        async for delta in generation:
            if not started:
                await send_start(self._send, 200, EVENTS, [(b"cache-control", b"no-cache")], length=None)
                await self._send({"type": "http.response.body", "body": events.role(), "more_body": True})
                started = True
            await self._send({"type": "http.response.body", "body": events.text(delta.text), "more_body": True})
        result = generation.result
        return events.last(finish_reason=result.finish_reason, usage=_usage(result), tallystick=b"null")

    def _whole(self, text: str, result: GenerationResult, created: int) -> bytes:
        return encode_json(
            {
                "id": "chatcmpl-" + self._side.random(16).hex(),
                "object": "chat.completion",
                "created": created,
                "model": self._chat.request.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text},
                        "logprobs": None,
                        "finish_reason": result.finish_reason,
                    }
                ],
                "usage": _usage(result),
            }
        )


def plain_api(side: PlainSide) -> ASGIApp:
    """The plain handler, behind the same edge as the product."""
    services = side.services

    @post(PATH, status_code=200)
    async def chat_completions(request: Request) -> ASGIApp:  # type: ignore[type-arg]
        scope = request.scope
        headers = scope["headers"]
        principal = await principal_of(headers, services.authenticator)
        timeout_s = timeout_of(headers, services.request_timeout_s)
        body = await read_body(
            scope, request.receive, limit_bytes=services.max_body_bytes, limit_s=services.request_timeout_s
        )
        return PlainReply(side, principal.token_id, parse_chat(body), timeout_s)

    app = Litestar(
        route_handlers=[chat_completions], openapi_config=None, logging_config=None, request_max_body_size=None
    )
    return Edge(app, random=services.random, metrics=services.metrics)


def _usage(result: GenerationResult) -> dict[str, object]:
    return {
        "prompt_tokens": result.input_tokens,
        "completion_tokens": result.output_tokens,
        "total_tokens": result.input_tokens + result.output_tokens,
    }


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
