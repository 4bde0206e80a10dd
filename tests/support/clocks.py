"""Clocks that stand still until a test moves them."""

from __future__ import annotations

START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


class FixedClock:
    """A clock that a test owns."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us
        self._monotonic_ns = 1_000_000_000
        self.held = 0.0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def held_s(self) -> float:
        return self.held

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_us += round(seconds * 1_000_000)
        self._monotonic_ns += round(seconds * 1_000_000_000)
