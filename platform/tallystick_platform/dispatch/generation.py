"""One answer on its way from a worker: an async iterator of pieces, which ends, or raises why it cannot go on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tallystick_platform import errors
from tallystick_platform.protocol import Failed, Finished, Piece, Started, StepEvent, Usage


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a generation has used until now. Units: `device_time_us` engine time, `started_at_us` UTC.

    `started_at_us` is when the engine first spent time on the request. A step's events arrive together at its end, so the moment at
    which the first is heard of is too late by that step: engine time that has been spent by now began at least so long ago.
    """

    usage: Usage = field(default_factory=dict)
    device_time_us: int = 0
    started_at_us: int | None = None

    def spent(self, usage: Usage, device_time_us: int, now_us: int) -> None:
        """Take the totals until now."""
        self.usage = usage
        self.device_time_us = device_time_us
        began_us = now_us - device_time_us
        if self.started_at_us is None or began_us < self.started_at_us:
            self.started_at_us = began_us


class Generation:
    """Fed by its worker's link, read by one reader; both in the same event loop.

    What waits here is bounded by the request: at most one piece for each token of a text, or for each output that it asks for.
    """

    __slots__ = (
        "_cancel",
        "_ended",
        "_failure",
        "_now_us",
        "_pending",
        "_wake",
        "finish_reasons",
        "progress",
        "worker",
    )

    def __init__(self, *, worker: str, now_us: Callable[[], int], cancel: Callable[[], None]) -> None:
        self.worker = worker
        self.progress = Progress()
        self.finish_reasons: tuple[str | None, ...] = ()
        self._now_us = now_us
        self._cancel = cancel
        self._pending: deque[Piece] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._failure: errors.PlatformError | None = None

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> Piece:
        """The next piece. A reader that fell behind gets all the text of one output that waits at once; outputs of bytes stay apart."""
        pending = self._pending
        while not pending:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        piece = pending.popleft()
        if not (pending and _joins(piece, pending[0])):
            return piece
        pieces = [piece]
        while pending and _joins(piece, pending[0]):
            pieces.append(pending.popleft())
        entries = [entry for one in pieces for entry in one.logprobs or ()]
        return msgspec.structs.replace(
            pieces[-1], data="".join(one.data for one in pieces), logprobs=entries or piece.logprobs
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def cancel(self) -> None:
        """Tell the worker to stop. Does nothing once it has ended; safe to call at any time and more than once."""
        if not self._ended:
            self._ended = True
            self._cancel()
            self._notify()

    def feed(self, event: StepEvent) -> None:
        """Take one event of this request from its worker. Requires: not `ended`."""
        progress = self.progress
        if isinstance(event, Piece):
            progress.spent(event.usage, event.device_time_us, self._now_us())
            if event.data or event.logprobs:
                self._pending.append(event)
        elif isinstance(event, Started):
            progress.usage = event.usage
            progress.started_at_us = self._now_us()
        elif isinstance(event, Finished):
            self._ended = True
            self.finish_reasons = event.finish_reasons
            if event.device_time_us or progress.started_at_us is not None:
                progress.spent(event.usage, event.device_time_us, self._now_us())
        else:
            self.fail(_failure_of(event))
        self._notify()

    def fail(self, failure: errors.PlatformError) -> None:
        """End with an error, once the pieces that wait are read."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _joins(piece: Piece, following: Piece) -> bool:
    """Whether both are text of one output."""
    return isinstance(piece.data, str) and isinstance(following.data, str) and piece.output == following.output


def _failure_of(event: Failed) -> errors.PlatformError:
    if event.kind == "prompt-too-long":
        return errors.PromptTooLong(limit=event.limit, found=event.found)
    if event.kind == "prompt-rejected":
        return errors.PromptRejected(reason=event.reason)
    if event.kind == "parameter-rejected":
        return errors.ParameterOutOfRange(param=event.param or "", reason=event.reason)
    if event.kind == "queue-full":
        return errors.QueueFull(limit=event.limit)
    return errors.EngineFailed(reason=event.reason)
