"""One answer on its way from a worker: an async iterator of deltas, then a result or an error."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tallystick_platform import errors
from tallystick_platform.protocol import Delta, Failed, Finished, GenerationResult, Started, StepEvent, TextDelta


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a generation has used until now. Units: `device_time_us` engine time, `started_at_us` UTC.

    `started_at_us` is when the engine first spent time on the request. A step's events arrive together at its end, so the moment at
    which the first is heard of is too late by that step: engine time that has been spent by now began at least so long ago.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    device_time_us: int = 0
    started_at_us: int | None = None

    def spent(self, device_time_us: int, now_us: int) -> None:
        """Take the engine time until now."""
        self.device_time_us = device_time_us
        began_us = now_us - device_time_us
        if self.started_at_us is None or began_us < self.started_at_us:
            self.started_at_us = began_us


class Generation:
    """Fed by the pool, read by one reader; both in the same event loop.

    What waits here is bounded by the request: at most one delta per token of its `max_tokens`.
    """

    __slots__ = (
        "_cancel",
        "_ended",
        "_failure",
        "_now_us",
        "_pending",
        "_result",
        "_text",
        "_wake",
        "progress",
        "worker",
    )

    def __init__(self, *, worker: str, now_us: Callable[[], int], cancel: Callable[[], None]) -> None:
        self.worker = worker
        self.progress = Progress()
        self._now_us = now_us
        self._cancel = cancel
        self._pending: deque[Delta] = deque()
        self._text: list[str] = []
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._result: GenerationResult | None = None
        self._failure: errors.PlatformError | None = None

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> Delta:
        while not self._pending:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        if len(self._pending) == 1:
            return self._pending.popleft()
        # A reader that fell behind gets all that waits as one delta: fewer writes, the same text.
        merged = Delta(text="".join(d.text for d in self._pending), tokens=sum(d.tokens for d in self._pending))
        self._pending.clear()
        return merged

    @property
    def result(self) -> GenerationResult:
        """How it ended. Requires: the iterator is exhausted."""
        if self._result is None:
            raise errors.EngineFailed(reason="the generation has no result yet")
        return self._result

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def cancel(self) -> None:
        """Tell the worker to stop; safe to call at any time and more than once."""
        if not self._ended:
            self._ended = True
            self._cancel()
            self._notify()

    def feed(self, event: StepEvent) -> None:
        """Take one event of this request from its worker."""
        progress = self.progress
        if isinstance(event, TextDelta):
            progress.output_tokens += event.tokens
            progress.spent(event.device_time_us, self._now_us())
            self._text.append(event.text)
            self._pending.append(Delta(text=event.text, tokens=event.tokens))
        elif isinstance(event, Started):
            progress.input_tokens = event.input_tokens
            progress.started_at_us = self._now_us()
        elif isinstance(event, Finished):
            self._finish(event)
        else:
            self.fail(_failure_of(event))
        self._notify()

    def die(self, reason: str) -> None:
        """The worker is gone: end with what had been delivered."""
        progress = self.progress
        self.fail(
            errors.WorkerDied(
                worker=self.worker,
                reason=reason,
                delivered_text="".join(self._text),
                output_tokens=progress.output_tokens,
                device_time_us=progress.device_time_us,
            )
        )

    def fail(self, failure: errors.PlatformError) -> None:
        """End with an error, once the deltas that wait are read."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._notify()

    def _finish(self, event: Finished) -> None:
        self._ended = True
        progress = self.progress
        progress.input_tokens, progress.output_tokens = event.input_tokens, event.output_tokens
        now_us = self._now_us()
        if event.device_time_us or progress.started_at_us is not None:
            progress.spent(event.device_time_us, now_us)
        self._result = GenerationResult(
            finish_reason=event.finish_reason,
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
            device_time_us=event.device_time_us,
            started_at_us=now_us if progress.started_at_us is None else progress.started_at_us,
        )

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _failure_of(event: Failed) -> errors.PlatformError:
    if event.kind == "prompt-too-long":
        return errors.PromptTooLong(limit=event.limit, found=event.found)
    if event.kind == "prompt-rejected":
        return errors.PromptRejected(reason=event.reason)
    if event.kind == "queue-full":
        return errors.QueueFull(limit=event.limit)
    return errors.EngineFailed(reason=event.reason)
