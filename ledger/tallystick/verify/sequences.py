"""Whether a numbering from 1 has gaps or repetitions, in memory that follows the gaps and not the numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_OPEN_GAPS: Final = 65_536
"""Records reach the log in the order in which they ended, so the newest numbers may have holes: fewer than the service lets
wait. Whatever has more holes than this is judged on the oldest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Numbers that did not come, both ends included; the next one that did was admitted at `before_us`.

    Units: microseconds UTC.
    """

    first: int
    last: int
    before_us: int

    @property
    def count(self) -> int:
        """How many numbers are missing."""
        return self.last - self.first + 1


class Numbering:
    """The numbers of one sender, or of the whole log, as runs without a hole."""

    __slots__ = ("_admitted", "_ends", "_starts", "_top", "forgotten")

    def __init__(self) -> None:
        # Run k covers _starts[k] to _ends[k]; _admitted[k] is when its first number was admitted. Run 0 is empty and ends at 0.
        self._starts = [0]
        self._ends = [0]
        self._admitted = [0]
        self._top = 0  # _ends[-1] while there is only one run, else -1: the hot path is one comparison
        self.forgotten: list[Gap] = []
        """Gaps that were closed by force; the caller takes them out."""

    @property
    def highest(self) -> int:
        """The highest number that came."""
        return self._ends[-1]

    def add(self, number: int, admitted_us: int) -> bool:
        """Take a number; False if it came before."""
        if number == self._top + 1:
            self._top = self._ends[0] = number
            return True
        return self._insert(number, admitted_us)

    def gaps(self) -> Iterator[Gap]:
        """The holes below the highest number, lowest first."""
        for run in range(1, len(self._starts)):
            yield self._gap_before(run)

    def _insert(self, number: int, admitted_us: int) -> bool:
        starts, ends, admitted = self._starts, self._ends, self._admitted
        run = bisect_right(starts, number) - 1
        if number <= ends[run]:
            return False
        joins_left = number == ends[run] + 1
        joins_right = run + 1 < len(starts) and number == starts[run + 1] - 1
        if joins_left and joins_right:
            ends[run] = ends[run + 1]
            del starts[run + 1], ends[run + 1], admitted[run + 1]
        elif joins_left:
            ends[run] = number
        elif joins_right:
            starts[run + 1], admitted[run + 1] = number, admitted_us
        else:
            starts.insert(run + 1, number)
            ends.insert(run + 1, number)
            admitted.insert(run + 1, admitted_us)
            if len(starts) > MAX_OPEN_GAPS + 1:
                self._close_lowest()
        self._top = ends[0] if len(ends) == 1 else -2
        return True

    def _close_lowest(self) -> None:
        self.forgotten.append(self._gap_before(1))
        self._ends[0] = self._ends[1]
        del self._starts[1], self._ends[1], self._admitted[1]

    def _gap_before(self, run: int) -> Gap:
        return Gap(first=self._ends[run - 1] + 1, last=self._starts[run] - 1, before_us=self._admitted[run])
