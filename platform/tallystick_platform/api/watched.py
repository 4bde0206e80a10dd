"""An answer that is worked on while somebody watches whether its client is still there.

The work runs in a task of its own and sends; the handler's coroutine waits for the client to leave. The server's `receive` also
returns when the answer is complete, so one wait covers both ends and nothing is polled.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from litestar.types import Receive, Scope, Send

from tallystick_platform.errors import PlatformError
from tallystick_platform.exchange.faults import ClientLeft, ServerStopped


class WatchedReply(ABC):
    """What a Litestar handler returns for an answer that takes time. Subclasses do the work."""

    _send: Send

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; return when the answer is complete, or its work is done and nobody waits for it."""
        self._send = send
        watcher = asyncio.current_task()
        work = asyncio.create_task(self._work())
        if watcher is not None:
            work.add_done_callback(lambda done: _wake_if_failed(done, watcher))
        try:
            while not work.done():
                if (await receive())["type"] == "http.disconnect":
                    break
            if not work.done():
                self._stop(ClientLeft())
                await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.done():  # the server waits no longer: the work still comes to its end
                self._stop(ServerStopped())
                await asyncio.wait([work])
                raise
            if watcher is not None:
                watcher.uncancel()
        work.result()

    @abstractmethod
    async def _work(self) -> None:
        """Compute and send the answer."""

    @abstractmethod
    def _stop(self, reason: PlatformError) -> None:
        """Nobody waits any more."""


def _wake_if_failed(done: asyncio.Task[None], watcher: asyncio.Task[object]) -> None:
    """Work that failed before it completed the answer would leave its watcher waiting for a client that is still there."""
    if done.cancelled() or done.exception() is not None:
        watcher.cancel()
