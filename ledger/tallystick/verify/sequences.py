"""What must be remembered from one record to the next, within bounds: numbers, ids, nonces, accepted work, the time of each device.

Of a numbering from 1 the gaps are remembered, and not the numbers. A record's id bears the time of its admission, and the log's promise
bounds how long after it the record's batch may come. So an id can come twice only within that window, and older ones are let go: memory
follows the traffic of a window and not the length of the log.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from tallystick.ids import Address, RecordId

MAX_OPEN_GAPS: Final = 65_536
"""Records reach the log in the order in which they ended, so the newest numbers may have holes: fewer than the service lets
wait. Of a log with more holes than this, the oldest are judged as they are."""
MAX_FORGOTTEN_KEPT: Final = 100
"""Of the holes that there was no more room for, those that are named; of further ones the numbers are counted."""
MAX_KEPT: Final = 500_000
"""Of ids, and of nonces: 10 to 50 MB. A window with more traffic than this is compared in part, and that is said."""
MAX_SEARCHED_BYTES: Final = 65_536
"""Of the values under one time that are searched one after another; more are kept as a set."""
ID_BYTES: Final = 16
MAX_ACCEPTED: Final = 100_000
"""Accepted work that has not ended yet."""
MAX_DEVICES: Final = 10_000


class Gap(NamedTuple):
    """Numbers that did not come, both ends included; the first higher one came in the batch of `since_s`. Units: Unix seconds."""

    first: int
    last: int
    since_s: int

    def __str__(self) -> str:
        """The numbers in words."""
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

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

    def holes(self) -> Iterator[str]:
        """What is missing that there was no room to remember: nothing explains it."""
        for gap in self.forgotten:
            yield f"{gap} missing, and more than {MAX_OPEN_GAPS} holes in all"
        if self.forgotten_more:
            yield f"{self.forgotten_more} further numbers missing"

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


class Recent:
    """Values of one width that were seen, each until its own time has passed; they take little more room than their bytes."""

    def __init__(self, width: int, most: int = MAX_KEPT) -> None:
        self._width = width
        self._most = most
        self._buckets: dict[int, bytearray | set[bytes]] = {}
        self._order: deque[int] = deque()  # of the buckets, by when they were made
        self._count = 0
        self.let_go = 0
        """How many were let go for want of room."""

    def add(self, bucket: int, value: bytes) -> bool:
        """Remember a value under a time; False if it was seen under that time."""
        values = self._buckets.get(bucket)
        if values is None:
            values = self._buckets[bucket] = bytearray()
            self._order.append(bucket)
        elif self._is_in(values, value):
            return False
        if isinstance(values, set):
            values.add(value)
        else:
            values += value
            if len(values) > MAX_SEARCHED_BYTES:  # from here on a search would take longer than a set takes room
                self._buckets[bucket] = {
                    bytes(values[at : at + self._width]) for at in range(0, len(values), self._width)
                }
        self._count += 1
        if self._count > self._most:
            self.let_go += self._drop_first()
        return True

    def holds(self, bucket: int, value: bytes) -> bool:
        """Whether a value was seen under that time."""
        values = self._buckets.get(bucket)
        return values is not None and self._is_in(values, value)

    def forget_before(self, time: int) -> None:
        """Let go of what lies under earlier times."""
        while self._order and self._order[0] < time:
            self._drop_first()

    def _is_in(self, values: bytearray | set[bytes], value: bytes) -> bool:
        if isinstance(values, set):
            return value in values
        at = values.find(value)
        while at >= 0 and at % self._width:  # across two values, which is none
            at = values.find(value, at + 1)
        return at >= 0

    def _drop_first(self) -> int:
        values = self._buckets.pop(self._order.popleft())
        dropped = len(values) if isinstance(values, set) else len(values) // self._width
        self._count -= dropped
        return dropped


@dataclass(slots=True, kw_only=True)
class Accepted:
    """Work that was accepted. Units: microseconds UTC."""

    index: int
    sender: Address
    admitted_at: int
    due_by: int
    nonce: bytes | None = None
    """Of the sender's signature: the record that ends the work may repeat it."""


@dataclass(slots=True, kw_only=True)
class DeviceUse:
    """What one device was charged for, and between which times. Units: microseconds."""

    device_time_us: int = 0
    first_started: int = 0
    last_finished: int = 0

    def add(self, started: int, finished: int, device_time_us: int) -> None:
        """Add one record."""
        self.first_started = min(self.first_started, started) if self.device_time_us or self.last_finished else started
        self.last_finished = max(self.last_finished, finished)
        self.device_time_us += device_time_us

    @property
    def span_us(self) -> int:
        """From the first start to the last end."""
        return self.last_finished - self.first_started


class Devices:
    """The use of each device by its uuid."""

    def __init__(self) -> None:
        self.uses: dict[str, DeviceUse] = {}
        self.left_out = 0
        """Records of devices that there was no more room for."""

    def add(self, uuid: str, started: int, finished: int, device_time_us: int) -> None:
        """Add one record's device time."""
        use = self.uses.get(uuid)
        if use is None:
            if len(self.uses) >= MAX_DEVICES:
                self.left_out += 1
                return
            use = self.uses[uuid] = DeviceUse()
        use.add(started, finished, device_time_us)


class AcceptedWork:
    """Work that was accepted and has not ended, by the record that accepted it."""

    def __init__(self) -> None:
        self._open: dict[RecordId, Accepted] = {}
        self._ended = Recent(ID_BYTES)
        self.left_out = 0

    def accept(self, record_id: RecordId, work: Accepted) -> None:
        """Take on work."""
        if len(self._open) >= MAX_ACCEPTED:
            self.left_out += 1
        else:
            self._open[record_id] = work

    def end(self, record_id: RecordId) -> Accepted | None:
        """The work that a record ends; None if there is none open."""
        work = self._open.pop(record_id, None)
        if work is not None:
            self._ended.add(0, record_id)
        return work

    def has_ended(self, record_id: RecordId) -> bool:
        """Whether another record ended this work before."""
        return self._ended.holds(0, record_id)

    def overdue(self, by_us: int) -> list[tuple[RecordId, Accepted]]:
        """What should have ended by a time, and did not. Units: microseconds UTC."""
        return [(record_id, work) for record_id, work in self._open.items() if work.due_by < by_us]

    def __len__(self) -> int:
        return len(self._open)
