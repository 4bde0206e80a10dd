"""Check 7: every admission number once, in time, or declared void; from what stands in clear, so that nobody needs a key for it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from tallystick.errors import CompletenessError
from tallystick.verify.claims import NEWEST
from tallystick.verify.sequences import Arrival, Gap, Numbering
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap as Unseen
from tallystick.verify.verdict import Step

WHERE: Final = "the log: admission numbers"
NUMBERS_HIDDEN: Final = "of a log that keeps roots alone on the chain: the numbers stand in the sealed records"
MAX_VOIDS: Final = 65_536
"""Void entries that are remembered: an honest log has some for each journal that was lost."""
VOIDS_LEFT_OUT: Final = f"more void entries than the {MAX_VOIDS} that are remembered"
VOIDS_REMEDY: Final = "another node, which may show fewer; an honest log has none like this"
VOIDED: Final = "that the writer declared lost, within {}: they excuse no receipt and no admission"


class Voids:
    """The ranges of admission numbers that were declared void, in the order in which that was done."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.lasts: set[int] = set()
        """The last number of each range: numbers go on above it."""
        self.left_out = 0
        """Ranges that there was no more room for."""

    def add(self, first: int, last: int) -> None:
        """Take one more range; ranges that touch become one."""
        if len(self.lasts) >= MAX_VOIDS:
            self.left_out += 1
            return
        self.lasts.add(last)
        at = bisect_right(self._starts, first)
        if at and self._ends[at - 1] >= first - 1:
            at -= 1
            first, last = self._starts[at], max(last, self._ends[at])
        end = at
        while end < len(self._starts) and self._starts[end] <= last + 1:
            last = max(last, self._ends[end])
            end += 1
        self._starts[at:end], self._ends[at:end] = [first], [last]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def may_end_at(self, number: int) -> bool:
        """Whether a range ends with this number, or one that was left out may."""
        return number in self.lasts or self.left_out > 0

    @property
    def numbers(self) -> int:
        """How many numbers lie in all ranges."""
        return sum(end - start + 1 for start, end in zip(self._starts, self._ends, strict=True))


class Completeness:
    """Follows the admission numbers of a log's batches.

    Units: `grace_s` is how long after the first batch with a higher number a number may come: the log's promise and skew.
    """

    def __init__(self, tally: Tally, grace_s: int) -> None:
        self._tally = tally
        self._grace_s = grace_s
        self._numbers = Numbering(grace_s)
        self._given_up = 0
        self.voids = Voids()

    def take_batch(self, first_index: int, numbers: Sequence[int], time_s: int) -> None:
        """Take the numbers of a batch's records, in their order. Units: Unix seconds."""
        add = self._numbers.add
        failed = 0
        for position, number in enumerate(numbers):
            arrival = add(number, time_s)
            if arrival is not Arrival.IN_TIME:
                failed += 1
                self._tally.fail(self._failure(first_index + position, number, arrival))
        self._tally.held[Step.COMPLETENESS] += len(numbers) - failed

    def void(self, first: int, last: int, time_s: int) -> int:
        """Take a void entry; tells how many numbers that had not come are given up by it."""
        self.voids.add(first, last)
        given_up = self._numbers.give_up(first, last, time_s)
        self._given_up += given_up
        if given_up:
            self._tally.note(Step.COMPLETENESS, VOIDED.format(Gap(first, last, time_s)), given_up)
        return given_up

    @property
    def given_up(self) -> int:
        """How many numbers were declared void and had not come."""
        return self._given_up

    def finish(self, head_time_s: int) -> None:
        """Name what is missing, once everything was seen. Units: Unix seconds."""
        for hole in self._numbers.holes():
            self._tally.fail(CompletenessError(WHERE, "no holes", hole))
        if self.voids.left_out:
            self._tally.block(Step.COMPLETENESS, Unseen(VOIDS_LEFT_OUT, VOIDS_REMEDY), self.voids.left_out)
        for gap in self._numbers.gaps():
            if self._numbers.is_due(gap, head_time_s):
                expected = (
                    f"every number within {self._grace_s} s of the batch of {gap.since_s}, which holds a higher one"
                )
                found = f"{gap} missing at {head_time_s}"
                self._tally.fail(CompletenessError(WHERE, expected, found, timed=True))
            else:
                self._tally.note(Step.COMPLETENESS, f"{gap} missing so far: not due yet", gap.missing)
        if self._numbers.highest:
            self._tally.note(Step.COMPLETENESS, NEWEST.format(self._numbers.highest), 0)

    def _failure(self, index: int, number: int, arrival: Arrival) -> CompletenessError:
        where = f"record {index}"
        if arrival is Arrival.LATE:
            expected = f"a number within {self._grace_s} s of the first batch with a higher one"
            return CompletenessError(where, expected, f"admission number {number}, later", timed=True)
        if number in self.voids:
            return CompletenessError(
                where, "a number that is in the log's keeping", f"admission number {number}, which is void"
            )
        return CompletenessError(where, "a number that no record before has", f"admission number {number} again")
