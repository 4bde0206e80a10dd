"""The exchange: where the stages of a request meet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tallystick.ids import RecordId
from tallystick_platform.auth import Principal
from tallystick_platform.exchange.events import Delivered, Event, EventLine, Recorded, accept, end
from tallystick_platform.exchange.faults import StopReason
from tallystick_platform.exchange.line import Line
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.request import ChatRequest, HttpFacts
from tallystick_platform.protocol import ModelInfo


class Exchange:
    """Takes authenticated requests, each onto a line of its own."""

    __slots__ = ("_events", "_parts", "_under_way")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way: set[Line] = set()
        self._events: set[EventLine] = set()

    def chat(self, *, principal: Principal, request: ChatRequest, http: HttpFacts, timeout_s: float) -> Line:
        """The line of one chat request; nothing happens before its `run`."""
        return Line(self._parts, self._under_way, principal=principal, request=request, http=http, timeout_s=timeout_s)

    def event(self, *, principal: Principal, event: Event, timeout_s: float | None) -> EventLine:
        """The line of one request that is not a chat; nothing happens before its `admit`."""
        return EventLine(self._parts, self._events, principal=principal, event=event, timeout_s=timeout_s)

    async def accept(
        self,
        *,
        principal: Principal,
        event: Event,
        due_by: int,
        announce: Callable[[RecordId], Awaitable[None]] | None = None,
    ) -> Recorded:
        """Record that work was taken on, to be ended by `due_by` (events.py)."""
        return await accept(self._parts, principal=principal, event=event, due_by=due_by, announce=announce)

    async def end(
        self, *, principal: Principal, event: Event, failure: BaseException | None, done: Delivered
    ) -> Recorded:
        """Record how accepted work ended (events.py)."""
        return await end(self._parts, principal=principal, event=event, failure=failure, done=done)

    def stop_all(self) -> int:
        """End everything under way early; each still gets its record. Says how many there were."""
        lines: list[Line | EventLine] = [*self._under_way, *self._events]
        for line in lines:
            line.stop(StopReason.SERVER_STOPPED)
        return len(lines)

    def models(self) -> list[ModelInfo]:
        """The models that can be asked for now."""
        return self._parts.dispatcher.models()
