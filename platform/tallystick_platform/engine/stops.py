"""Stop strings: find the first one that the text completes, and hold back text that may still become one."""

from __future__ import annotations


class StopScanner:
    """Feeds text through, up to the first stop string; the outcome does not depend on how the text was cut in pieces.

    The stop that is complete first wins, and among those the longest: exactly what reading letter by letter would give.
    """

    __slots__ = ("_held", "_stops", "stopped")

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that is now decided. Once `stopped`, nothing more is given out."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        buffer = self._held + text
        found = self._first_stop(buffer)
        if found is not None:
            self.stopped, self._held = True, ""
            return buffer[:found]
        keep = self._undecided(buffer)
        self._held = buffer[len(buffer) - keep :]
        return buffer[: len(buffer) - keep]

    def flush(self) -> str:
        """What was held back, once no more text can come."""
        held, self._held = self._held, ""
        return held

    def _first_stop(self, buffer: str) -> int | None:
        best: tuple[int, int] | None = None
        for stop in self._stops:
            start = buffer.find(stop)
            if start >= 0:
                candidate = (start + len(stop), start)
                best = candidate if best is None else min(best, candidate)
        return None if best is None else best[1]

    def _undecided(self, buffer: str) -> int:
        longest = max(len(stop) for stop in self._stops) - 1
        for size in range(min(longest, len(buffer)), 0, -1):
            tail = buffer[len(buffer) - size :]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
