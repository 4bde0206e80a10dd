"""Whether a numbering from 1 has gaps or repetitions, in memory that follows the gaps and not the numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

MAX_OPEN_GAPS: Final = 65_536
"""Records reach the log in the order in which they ended, so the newest numbers may have holes: fewer than the service lets
wait. Of a log with more holes than this, the oldest are judged as they are."""
MAX_FORGOTTEN_KEPT: Final = 100
"""Of the holes that there was no more room for, those that are named; of further ones the numbers are counted."""


class Gap(NamedTuple):
    """Numbers that did not come, both ends included; the first higher one came in the batch of `since_s`. Units: Unix seconds."""

    first: int
    last: int
    since_s: int

    @property
    def missing(self) -> int:
        """How many numbers are missing."""
        return self.last - self.first + 1


class Arrival(Enum):
    """How a number came."""

    IN_TIME = "in time"
    LATE = "late"
    AGAIN = "again"


class Numbering:
    """The numbers of one sender, or of the whole log: the highest one, and the gaps below it.

    A number may come so many seconds after the first batch that holds a higher one: `grace_s`.
    """

    __slots__ = ("_gaps", "_grace_s", "forgotten", "forgotten_more", "highest")

    def __init__(self, grace_s: int) -> None:
        self._grace_s = grace_s
        self._gaps: list[Gap] = []  # in order, none of them touching the next
        self.highest = 0
        """The highest number that came, or was given up."""
        self.forgotten: list[Gap] = []
        """The first gaps that there was no more room for."""
        self.forgotten_more = 0
        """How many numbers are missing in further ones."""

    def add(self, number: int, time_s: int) -> Arrival:
        """Take a number from a batch of this time; batches come in the order of their times."""
        expected = self.highest + 1
        if number == expected:
            self.highest = number
            return Arrival.IN_TIME
        if number > expected:
            self._open(Gap(expected, number - 1, time_s))
            self.highest = number
            return Arrival.IN_TIME
        return self._fill(number, time_s)

    def give_up(self, first: int, last: int, time_s: int) -> int:
        """Let go of the numbers from `first` to `last` that did not come; tell how many these are."""
        given_up = 0
        kept: list[Gap] = []
        begin, end = bisect_left(self._gaps, first, key=_last), bisect_right(self._gaps, last, key=_first)
        for gap in self._gaps[begin:end]:
            low, high = max(gap.first, first), min(gap.last, last)
            given_up += high - low + 1
            if gap.first < low:
                kept.append(Gap(gap.first, low - 1, gap.since_s))
            if high < gap.last:
                kept.append(Gap(high + 1, gap.last, gap.since_s))
        if begin < end:
            self._gaps[begin:end] = kept
        if last > self.highest:
            given_up += last - max(self.highest, first - 1)
            if first > self.highest + 1:  # what lies between did not come either, and was not given up
                self._open(Gap(self.highest + 1, first - 1, time_s))
            self.highest = last
        return given_up

    def gaps(self) -> Iterator[Gap]:
        """The gaps below the highest number, lowest first."""
        return iter(self._gaps)

    def is_due(self, gap: Gap, time_s: int) -> bool:
        """Whether the numbers of a gap had to come by now."""
        return time_s > gap.since_s + self._grace_s

    def _open(self, gap: Gap) -> None:
        self._gaps.append(gap)
        if len(self._gaps) > MAX_OPEN_GAPS:
            oldest = self._gaps.pop(0)
            if len(self.forgotten) < MAX_FORGOTTEN_KEPT:
                self.forgotten.append(oldest)
            else:
                self.forgotten_more += oldest.missing

    def _fill(self, number: int, time_s: int) -> Arrival:
        gaps = self._gaps
        at = bisect_left(gaps, number, key=_last)
        if at == len(gaps) or gaps[at].first > number:
            return Arrival.AGAIN
        gap = gaps.pop(at)
        for first, last in ((gap.first, number - 1), (number + 1, gap.last)):
            if first <= last:
                insort(gaps, Gap(first, last, gap.since_s))
        return Arrival.LATE if self.is_due(gap, time_s) else Arrival.IN_TIME


def _last(gap: Gap) -> int:
    return gap.last


def _first(gap: Gap) -> int:
    return gap.first
