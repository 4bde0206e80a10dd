"""The journal's writer: takes what waits as a group, has it carried out, and tells the outcomes. One group at a time, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog

from tallystick_platform.clock import Clock
from tallystick_platform.errors import AdmissionClosed, JournalClosed, JournalUnavailable
from tallystick_platform.store.group import RETRY_HELD_S, GroupCommitter, Operation, Outcome

MAX_GROUP = 64  # operations in one commit: their rows are made in the event loop, which does nothing else meanwhile
RETRY_S = 1.0  # pause before a database that failed is tried again while nothing comes in
IDLE_CHECK_S = 30.0  # how often an idle journal looks whether its epoch is over

T = TypeVar("T")

_log = structlog.get_logger()


class Tell(Protocol):
    """Step 8 of the group commit."""

    def __call__(self, group: Sequence[Operation], outcomes: Sequence[Outcome], seconds: float, grew: bool) -> None: ...


class Writer:
    """One task, one thread for the disk, one connection, one order. Made and used in one event loop."""

    def __init__(self, committer: GroupCommitter, clock: Clock, tell: Tell) -> None:
        self._committer = committer
        self._clock = clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: deque[Operation] = deque()
        self._flushes: list[asyncio.Future[int]] = []
        self._wakened = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.ended = False

    async def start(self) -> None:
        """Connect, and begin to take groups.

        Raises: JournalUnavailable
        """
        try:
            await self._on_disk(self._committer.connect)
        except Exception as error:
            self._thread.shutdown(wait=False)
            raise JournalUnavailable(reason=str(error)) from error
        self._task = self._loop.create_task(self._run(), name="journal")

    def put(self, operation: Operation) -> None:
        """Have an operation carried out with the next group: all that is put before the loop's next turn goes together."""
        self._waiting.append(operation)
        self._wakened.set()

    def wake(self) -> None:
        """Look again at what there is to do: the journal was released."""
        self._wakened.set()

    async def flush(self) -> int:
        """Write everything that is owed; says how many drafts a dead process had left.

        Raises: JournalUnavailable, JournalClosed, AdmissionClosed while the journal is held
        """
        future: asyncio.Future[int] = self._loop.create_future()
        self._flushes.append(future)
        self._wakened.set()
        return await future

    async def stop(self) -> None:
        """Finish what waits, and end."""
        self._stopping = True
        self._wakened.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        """The task. However it ends, nobody is left waiting."""
        try:
            await self._work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  whether the last group stands is for the next start to find out
            _log.critical("journal.writer_ended", error=str(error), kind=type(error).__name__)
        finally:
            self.ended = True
            self._refuse_rest()
            self._committer.close()
            self._thread.shutdown(wait=False)

    async def _work(self) -> None:
        committer = self._committer
        while True:
            if committer.held is not None:
                self._answer_flushes(AdmissionClosed(reason=committer.held, retry_after_s=RETRY_HELD_S))
            elif committer.healthy and not committer.owed:
                self._answer_flushes(committer.leftovers)
            payable = committer.owed and committer.healthy and committer.held is None
            if self._waiting or self._flushes or payable:
                await self._carry_out(self._next_group())
                if not committer.healthy:
                    self._answer_flushes(JournalUnavailable(reason="records that are owed cannot be written"))
            elif self._stopping:
                return
            elif await self._wakened_within(IDLE_CHECK_S if committer.healthy else RETRY_S):
                continue
            elif committer.healthy:
                await self._on_disk(committer.idle)
            elif committer.held is None:
                await self._carry_out(())

    def _next_group(self) -> list[Operation]:
        return [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]

    async def _wakened_within(self, seconds: float) -> bool:
        self._wakened.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wakened.wait()
        except TimeoutError:
            return False
        return True

    async def _carry_out(self, group: Sequence[Operation]) -> None:
        size, began_ns = self._committer.size, self._clock.monotonic_ns()
        try:
            outcomes = await self._outcomes(group)
        except BaseException:
            lost = JournalUnavailable(reason="its writer ended")
            self._tell(group, [(operation, lost) for operation in group], 0.0, False)
            raise
        seconds = (self._clock.monotonic_ns() - began_ns) / 1e9
        self._tell(group, outcomes, seconds, self._committer.size > size)

    async def _outcomes(self, group: Sequence[Operation]) -> Sequence[Outcome]:
        committer = self._committer
        if committer.held is not None:
            return committer.refused(group, committer.held)
        try:
            if not committer.ready:
                await self._on_disk(committer.make_ready)
            prepared = committer.prepare(group)
            await self._on_disk(partial(committer.write, prepared))
        except Exception as error:  # noqa: BLE001  whatever it is, nothing of this group may be released
            return await self._on_disk(partial(committer.failed, group, error))
        return committer.stands(prepared)

    def _answer_flushes(self, answer: int | Exception | None) -> None:
        for future in self._flushes:
            resolve(future, answer)
        self._flushes.clear()

    def _refuse_rest(self) -> None:
        """The task is over: whoever still waits is told."""
        for future in [operation.future for operation in self._waiting] + self._flushes:
            if future is not None:
                resolve(future, JournalClosed())
        self._waiting.clear()
        self._flushes.clear()

    async def _on_disk(self, step: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, step)


def resolve(future: asyncio.Future[Any], result: object) -> None:
    """Give a waiting caller its result or its error."""
    if future.cancelled():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
