"""Time, injected everywhere so that tests own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the service reads time."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch, UTC; never less than an earlier answer."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start, for durations."""
        ...


class SystemClock:
    """The machine's clock, held still while the machine's clock is set back.

    A record whose end lay before its start would be refused by its own validation, and an admitted request would have
    no record.
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
