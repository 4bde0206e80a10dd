import pytest

from tallystick.verify import completeness, sequences
from tallystick.verify.completeness import Completeness, Voids
from tallystick.verify.sequences import (
    MAX_DEVICES,
    Accepted,
    AcceptedWork,
    Arrival,
    Devices,
    Gap,
    Numbering,
    Recent,
)
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Step

GRACE_S = 10


def numbering(*numbers, time_s=0):
    found = Numbering(GRACE_S)
    for number in numbers:
        found.add(number, time_s)
    return found


def test_numbers_without_a_hole_leave_no_gap():
    assert list(numbering(1, 2, 3).gaps()) == []


def test_a_number_that_came_before_comes_again():
    found = numbering(1, 2, 5)
    assert [found.add(number, 0) for number in (1, 2, 5)] == [Arrival.AGAIN] * 3


def test_a_gap_is_dated_by_the_first_batch_with_a_higher_number_however_it_shrinks():
    found = numbering(1)
    found.add(9, 100)
    found.add(5, 105)
    assert list(found.gaps()) == [Gap(2, 4, 100), Gap(6, 8, 100)]
    found.add(8, 107)
    assert list(found.gaps()) == [Gap(2, 4, 100), Gap(6, 7, 100)]


def test_a_number_is_late_a_second_after_its_grace():
    for time_s, arrival in ((100 + GRACE_S, Arrival.IN_TIME), (100 + GRACE_S + 1, Arrival.LATE)):
        found = numbering(1)
        found.add(3, 100)
        assert found.add(2, time_s) is arrival
        assert list(found.gaps()) == []


def test_a_gap_is_due_when_its_grace_has_passed():
    gap = Gap(2, 2, 100)
    assert not numbering().is_due(gap, 100 + GRACE_S)
    assert numbering().is_due(gap, 100 + GRACE_S + 1)


@pytest.mark.parametrize(
    ("first", "last", "given_up", "gaps", "highest"),
    [
        (2, 4, 3, [Gap(6, 8, 0)], 9),
        (3, 7, 4, [Gap(2, 2, 0), Gap(8, 8, 0)], 9),
        (1, 12, 9, [], 12),
        (10, 12, 3, [Gap(2, 4, 0), Gap(6, 8, 0)], 12),
        (12, 12, 1, [Gap(2, 4, 0), Gap(6, 8, 0), Gap(10, 11, 7)], 12),
    ],
)
def test_numbers_that_are_given_up_are_no_gap_any_more(first, last, given_up, gaps, highest):
    found = numbering(1, 5, 9)
    assert found.give_up(first, last, 7) == given_up
    assert (list(found.gaps()), found.highest) == (gaps, highest)


def test_more_gaps_than_there_is_room_for_are_judged_as_they_are(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_OPEN_GAPS", 2)
    found = numbering(2, 4, 6, 8)
    assert found.forgotten == [Gap(1, 1, 0), Gap(3, 3, 0)]
    assert list(found.gaps()) == [Gap(5, 5, 0), Gap(7, 7, 0)]


def test_what_is_kept_of_forgotten_gaps_is_bounded_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_OPEN_GAPS", 2)
    monkeypatch.setattr(sequences, "MAX_FORGOTTEN_KEPT", 1)
    found = numbering(2, 4, 6, 9, 11)
    assert found.forgotten == [Gap(1, 1, 0)]
    assert found.forgotten_more == 2
    assert list(found.gaps()) == [Gap(7, 8, 0), Gap(10, 10, 0)]


def test_void_entries_beyond_the_bound_are_not_kept_and_keep_the_verdict_open(monkeypatch):
    monkeypatch.setattr(completeness, "MAX_VOIDS", 2)
    tally = Tally()
    numbers = Completeness(tally, GRACE_S)
    for first in (10, 20, 30, 40):
        numbers.void(first, first + 1, 0)
    assert numbers.voids.left_out == 2
    assert numbers.voids.lasts == {11, 21}
    assert numbers.voids.may_end_at(41)
    assert numbers.voids.may_end_at(5)  # nobody is accused of a gap that a range which was left out may explain
    assert not tally.is_blocked(Step.COMPLETENESS)
    numbers.finish(0)
    assert tally.is_blocked(Step.COMPLETENESS)


def test_ranges_of_void_numbers_that_touch_become_one():
    voids = Voids()
    for first, last in ((10, 12), (1, 2), (3, 4), (11, 20), (30, 30)):
        voids.add(first, last)
    assert [number for number in range(35) if number in voids] == [1, 2, 3, 4, *range(10, 21), 30]
    assert voids.lasts == {12, 2, 4, 20, 30}
    assert voids.numbers == 16


def test_what_was_seen_is_let_go_when_its_time_has_passed():
    recent = Recent(1)
    assert recent.add(1, b"a")
    assert not recent.add(1, b"a")
    assert recent.add(2, b"a")
    recent.forget_before(2)
    assert (recent.holds(1, b"a"), recent.holds(2, b"a"), recent.let_go) == (False, True, 0)


def test_more_than_there_is_room_for_is_let_go_and_counted():
    recent = Recent(1, most=2)
    for bucket in range(4):
        recent.add(bucket, b"a")
    assert (recent.let_go, recent.holds(1, b"a"), recent.holds(3, b"a")) == (2, False, True)


def test_what_lies_across_two_values_was_not_seen():
    recent = Recent(2)
    for value in (b"ab", b"cd"):
        assert recent.add(1, value)
    assert not recent.holds(1, b"bc")
    assert recent.add(1, b"bc")
    assert not recent.add(1, b"bc")


def test_many_values_of_one_time_are_told_apart_as_few_are(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_SEARCHED_BYTES", 8)
    recent = Recent(2)
    values = [bytes([number, 0]) for number in range(20)]
    assert all(recent.add(1, value) for value in values)
    assert not any(recent.add(1, value) for value in values)
    assert recent.holds(1, values[3])
    recent.forget_before(2)
    assert not recent.holds(1, values[3])


def test_a_device_is_used_from_its_first_start_to_its_last_end():
    devices = Devices()
    devices.add("one", 100, 200, 50)
    devices.add("one", 50, 150, 70)
    use = devices.uses["one"]
    assert (use.device_time_us, use.span_us) == (120, 150)


def test_devices_beyond_the_bound_are_counted():
    devices = Devices()
    for number in range(MAX_DEVICES + 2):
        devices.add(str(number), 0, 1, 1)
    assert (len(devices.uses), devices.left_out) == (MAX_DEVICES, 2)


def test_accepted_work_beyond_the_bound_is_counted(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_ACCEPTED", 1)
    work = AcceptedWork()
    for number in range(3):
        one = Accepted(index=number, sender=bytes(20), admitted_at=0, due_by=number)
        work.accept(bytes([number]) * 16, one)
    assert (len(work), work.left_out) == (1, 2)
    assert work.end(bytes(16)).index == 0
    assert work.end(bytes(16)) is None
    assert work.has_ended(bytes(16))
    assert not work.has_ended(b"\x01" * 16)
