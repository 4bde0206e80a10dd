"""The journal's writer thread: takes what waits as a group, has it carried out, and hands the outcomes to the event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from tallystick_platform.clock import Clock
from tallystick_platform.errors import JournalClosed, JournalUnavailable
from tallystick_platform.store.group import GroupCommitter, Operation, Outcome

MAX_GROUP = 128  # operations in one commit: beyond, waiting for the group costs more than another commit
RETRY_S = 1.0  # pause before a database that failed is tried again while nothing comes in
IDLE_CHECK_S = 30.0  # how often an idle journal looks whether its epoch is over


class Tell(Protocol):
    """Step 8 of the group commit, in the event loop."""

    def __call__(self, group: Sequence[Operation], outcomes: Sequence[Outcome], seconds: float, grew: bool) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flush:
    """Write everything that is owed, then say how much a dead process had left."""

    future: asyncio.Future[int]


class _Stop:
    """Finish what waits, then end."""


_Item = Operation | _Flush | _Stop


class Writer:
    """One thread, one connection, one order. Made and used in one event loop."""

    def __init__(self, committer: GroupCommitter, clock: Clock, tell: Tell) -> None:
        self._committer = committer
        self._clock = clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._started: asyncio.Future[None] = self._loop.create_future()
        self.ended = False

    async def start(self) -> None:
        """Connect, and begin to take groups.

        Raises: JournalUnavailable
        """
        self._thread.start()
        await self._started

    def put(self, operation: Operation) -> None:
        """Have an operation carried out with the next group."""
        self._queue.put(operation)

    async def flush(self) -> int:
        """Write everything that is owed; says how many drafts a dead process had left.

        Raises: JournalUnavailable, JournalClosed
        """
        future: asyncio.Future[int] = self._loop.create_future()
        self._queue.put(_Flush(future=future))
        return await future

    async def stop(self) -> None:
        """Finish what waits, and end."""
        self._queue.put(_Stop())
        await asyncio.to_thread(self._thread.join)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        """The thread. However it ends, nobody is left waiting."""
        try:
            self._committer.connect()
        except Exception as error:  # noqa: BLE001  told to whoever waits in `start`
            self._call(_fail, self._started, JournalUnavailable(reason=str(error)))
            return
        self._call(_succeed, self._started, None)
        try:
            self._work()
        finally:
            self.ended = True
            self._call(self._refuse_rest)
            self._committer.close()

    def _work(self) -> None:
        stopping = False
        while not stopping:
            group, flushes, stopping = self._next_group()
            if group or self._committer.owed or not self._committer.healthy:
                self._carry_out(group)
            else:
                self._committer.idle()
            for flush in flushes:
                self._flush(flush)

    def _next_group(self) -> tuple[list[Operation], list[_Flush], bool]:
        """Wait for work, then take all that is there, up to MAX_GROUP."""
        group: list[Operation] = []
        flushes: list[_Flush] = []
        wait_s = IDLE_CHECK_S
        if not self._committer.healthy:
            wait_s = RETRY_S
        elif self._committer.owed:
            wait_s = 0.0
        with suppress(queue.Empty):
            item = self._queue.get(timeout=wait_s)
            while True:
                if isinstance(item, _Stop):
                    return group, flushes, True
                if isinstance(item, _Flush):
                    flushes.append(item)
                    break
                group.append(item)
                if len(group) == MAX_GROUP:
                    break
                item = self._queue.get_nowait()
        return group, flushes, False

    def _carry_out(self, group: Sequence[Operation]) -> None:
        size = self._committer.size
        started_ns = self._clock.monotonic_ns()
        try:
            outcomes = self._committer.commit(group)
        except (
            BaseException
        ):  # a defect: the thread ends, and whether the group stands is for the next start to find out
            lost = JournalUnavailable(reason="its writer ended")
            self._call(self._tell, group, [(operation, lost) for operation in group], 0.0, False)
            raise
        seconds = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._call(self._tell, group, outcomes, seconds, self._committer.size > size)

    def _flush(self, flush: _Flush) -> None:
        while self._committer.owed:
            self._carry_out(())
            if not self._committer.healthy:
                unavailable = JournalUnavailable(reason="records that are owed cannot be written")
                self._call(_fail, flush.future, unavailable)
                return
        self._call(_succeed, flush.future, self._committer.leftovers)

    def _refuse_rest(self) -> None:
        """The thread is gone: whoever still waits is told."""
        with suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if not isinstance(item, _Stop) and item.future is not None:
                    _fail(item.future, JournalClosed())

    def _call(self, function: Callable[..., None], *args: object) -> None:
        """Run in the event loop. One that is closed has nobody left who could be told."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)


def resolve(future: asyncio.Future[Any], result: object) -> None:
    """Give a waiting caller its result or its error."""
    if isinstance(result, Exception):
        _fail(future, result)
    else:
        _succeed(future, result)


def _succeed(future: asyncio.Future[Any], result: object) -> None:
    if not future.cancelled():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.cancelled():
        future.set_exception(error)
