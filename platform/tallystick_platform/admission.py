"""Bounds on what is under way: requests at once, requests of one token at once, records not yet on the chain; and draining.

Asked last, before the journal promises to record a request. Everything here runs in the event loop and is a few additions; nothing waits.
A request that finds no room is refused at once, with the time in which as many as are ahead of it are done, as fast as they were lately.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tallystick_platform.clock import Clock, Pace
from tallystick_platform.errors import Backlogged, Draining, Overloaded, TokenBusy

RETRY_ANCHOR_S = 10  # a few batches later
RETRY_DRAINING_S = 15  # when a successor may be up


class Slot:
    """One request's place. Leaving gives it back; leaving twice gives it back once."""

    __slots__ = ("_gate", "_token_id")

    def __init__(self, gate: Gate, token_id: str) -> None:
        self._gate: Gate | None = gate
        self._token_id = token_id

    def release(self) -> None:
        """Give the place back."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave(self._token_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class Gate:
    """Counts places. `depth()` is the number of records that no block holds yet."""

    def __init__(
        self, *, max_concurrent: int, max_per_token: int, max_unanchored: int, depth: Callable[[], int], clock: Clock
    ) -> None:
        self._max_concurrent = max_concurrent
        self._max_per_token = max_per_token
        self._max_unanchored = max_unanchored
        self._depth = depth
        self._pace = Pace(clock)
        self._by_token: dict[str, int] = {}
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0

    def enter(self, token_id: str) -> Slot:
        """Take a place, to be given back by leaving the slot.

        Each request in flight will become a record, so it counts as one that is not on the chain: the bound is never passed.

        Raises: Draining, TokenBusy, Overloaded, Backlogged
        """
        if self._draining:
            raise Draining(retry_after_s=RETRY_DRAINING_S)
        held = self._by_token.get(token_id, 0)
        if held >= self._max_per_token:
            raise TokenBusy(bound="requests of this token", limit=self._max_per_token, retry_after_s=self._wait_s)
        if self.in_flight >= self._max_concurrent:
            raise Overloaded(bound="requests at once", limit=self._max_concurrent, retry_after_s=self._wait_s)
        if self._depth() + self.in_flight >= self._max_unanchored:
            bound = "records not yet on the chain"
            raise Backlogged(bound=bound, limit=self._max_unanchored, retry_after_s=RETRY_ANCHOR_S)
        self._pace.begun(self.in_flight)
        self._by_token[token_id] = held + 1
        self.in_flight += 1
        self._idle.clear()
        return Slot(self, token_id)

    def leave(self, token_id: str) -> None:
        """One request of a token has ended. Called by its slot."""
        held = self._by_token[token_id] - 1
        if held:
            self._by_token[token_id] = held
        else:
            del self._by_token[token_id]
        self.in_flight -= 1
        self._pace.ended()
        if self.in_flight == 0:
            self._idle.set()

    @property
    def _wait_s(self) -> int:
        """How long until what is in flight now is done."""
        return self._pace.wait_s(self.in_flight)

    def drain(self) -> None:
        """Take nothing new from now on."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken."""
        return self._draining

    async def idle(self, timeout_s: float) -> bool:
        """Wait until no request is in flight, for at most `timeout_s`; says whether that came about."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
