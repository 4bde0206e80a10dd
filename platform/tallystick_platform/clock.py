"""Time, injected everywhere so that tests own it."""

from __future__ import annotations

import math
import time
from typing import Protocol

MAX_HELD_S = 5.0
"""How far the service's time may be ahead of the machine's, which was set back, before nothing is admitted until it has caught up."""


class Clock(Protocol):
    """Where the service reads time."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, UTC; never less than an earlier answer."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start, for durations."""
        ...

    def held_s(self) -> float:
        """How far `now_us` is ahead of the machine's clock, because that was set back. Units: seconds."""
        ...


class SystemClock:
    """The machine's clock, held still while the machine's clock is set back.

    A record whose end lay before its start would be refused by its own validation, and an admitted request would have no record. The chain
    goes on meanwhile, so what is recorded then has a time ahead of it: the journal admits nothing while that is more than MAX_HELD_S.
    """

    __slots__ = ("_latest_us",)

    def __init__(self) -> None:
        self._latest_us = 0

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, UTC; never less than an earlier answer."""
        now = time.time_ns() // 1000
        if now < self._latest_us:
            return self._latest_us
        self._latest_us = now
        return now

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start, for durations."""
        return time.monotonic_ns()

    def held_s(self) -> float:
        """How far `now_us` is ahead of the machine's clock, because that was set back. Units: seconds."""
        return max(0, self._latest_us - time.time_ns() // 1000) / 1_000_000


NS_PER_S = 1_000_000_000
SMOOTHING = 0.1  # the weight of the newest interval
MIN_WAIT_S = 1
MAX_WAIT_S = 60


class Pace:
    """How fast a queue is worked off: the smoothed interval between two ends, over the times at which anything is under way.

    It tells a client that is refused when to come back.
    """

    __slots__ = ("_clock", "_interval_ns", "_last_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._interval_ns: float | None = None
        self._last_ns = clock.monotonic_ns()

    def begun(self, under_way: int) -> None:
        """Something begins, beside so much that is under way. The time before it, if that is nothing, says nothing of the pace."""
        if not under_way:
            self._last_ns = self._clock.monotonic_ns()

    def ended(self) -> None:
        """Something ended."""
        now_ns = self._clock.monotonic_ns()
        newest_ns, self._last_ns = now_ns - self._last_ns, now_ns
        if self._interval_ns is None:
            self._interval_ns = newest_ns
        else:
            self._interval_ns += SMOOTHING * (newest_ns - self._interval_ns)

    def wait_s(self, ahead: int) -> int:
        """How long until the `ahead` that are under way have ended. Units: whole seconds, MIN_WAIT_S to MAX_WAIT_S."""
        since_ns = self._clock.monotonic_ns() - self._last_ns  # what stands still for so long will not end at once
        return bounded_wait_s(max(ahead * (self._interval_ns or 0.0), since_ns if ahead else 0) / NS_PER_S)


def bounded_wait_s(seconds: float) -> int:
    """A time to wait as a client is told it. Units: whole seconds, MIN_WAIT_S to MAX_WAIT_S."""
    return min(max(math.ceil(seconds), MIN_WAIT_S), MAX_WAIT_S)
