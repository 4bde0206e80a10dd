"""What a database says, asked in threads and remembered for less than a second: no query runs in the event loop.

Whoever asks again and again never waits: an answer that grows old is asked for anew while it still counts.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from tallystick_platform.clock import Clock

REMEMBER_NS = 900_000_000  # what another process changes counts within a second
REFRESH_NS = 450_000_000
MAX_REMEMBERED = 4_096
MAX_ASKING = 4  # questions at once: a slow database may not take every thread of the process

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Answers of `ask`, a function that may wait. One event loop asks. What `ask` raises is not remembered."""

    def __init__(self, ask: Callable[[K], V], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._answers: OrderedDict[K, tuple[int, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}
        self._turns = asyncio.Semaphore(MAX_ASKING)

    async def get(self, key: K) -> V:
        """The answer, no older than REMEMBER_NS. Raises: what `ask` does."""
        known = self._answers.get(key)
        age_ns = REMEMBER_NS if known is None else self._clock.monotonic_ns() - known[0]
        if known is None or age_ns >= REMEMBER_NS:
            return await asyncio.shield(self._asked(key))  # whoever waits may leave; others wait for the same
        if age_ns >= REFRESH_NS:
            self._asked(key)
        return known[1]

    def forget(self) -> None:
        """Ask anew: something was changed in this process. Called from any thread."""
        self._answers, self._asking = OrderedDict(), {}

    def _asked(self, key: K) -> asyncio.Task[V]:
        asking = self._asking
        if key not in asking:
            asking[key] = asyncio.get_running_loop().create_task(self._ask_in_thread(key), name="ask")
            asking[key].add_done_callback(lambda done: _over(asking, key, done))
        return asking[key]

    async def _ask_in_thread(self, key: K) -> V:
        answers = self._answers  # which are others once they were forgotten
        async with self._turns:
            began_ns = self._clock.monotonic_ns()
            try:
                answer = await asyncio.to_thread(self._ask, key)
            except BaseException:
                answers.pop(key, None)
                raise
        answers[key] = (began_ns, answer)
        answers.move_to_end(key)
        if len(answers) > MAX_REMEMBERED:
            answers.popitem(last=False)
        return answer


def _over(asking: dict[K, asyncio.Task[V]], key: K, done: asyncio.Task[V]) -> None:
    del asking[key]
    if not done.cancelled():
        done.exception()  # told to whoever waits; there may be nobody
