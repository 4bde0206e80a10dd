import pytest

from tallystick.verify import sequences
from tallystick.verify.sequences import Gap, Numbering


def numbered(*numbers):
    numbering = Numbering()
    return numbering, [numbering.add(number, number * 10) for number in numbers]


def gaps(numbering):
    return [(gap.first, gap.last) for gap in numbering.gaps()]


def test_numbers_in_order_leave_no_gap():
    numbering, fresh = numbered(1, 2, 3)
    assert all(fresh)
    assert gaps(numbering) == []
    assert numbering.highest == 3


def test_numbers_out_of_order_leave_no_gap_once_all_came():
    numbering, fresh = numbered(3, 1, 5, 4, 2)
    assert all(fresh)
    assert gaps(numbering) == []


def test_a_number_that_never_came_is_a_gap_dated_by_the_next_one():
    numbering, _ = numbered(1, 2, 5, 6)
    assert list(numbering.gaps()) == [Gap(first=3, last=4, before_us=50)]
    assert next(numbering.gaps()).count == 2


def test_a_gap_below_a_run_that_grew_downwards_is_dated_by_its_first_number():
    numbering, _ = numbered(1, 6, 5)
    assert list(numbering.gaps()) == [Gap(first=2, last=4, before_us=50)]


def test_a_sequence_that_does_not_start_at_one_has_a_gap_at_its_start():
    numbering, _ = numbered(3)
    assert gaps(numbering) == [(1, 2)]


@pytest.mark.parametrize("repeated", [1, 2, 4, 6])
def test_a_number_that_comes_again_is_not_fresh(repeated):
    numbering, _ = numbered(1, 2, 4, 6)
    assert not numbering.add(repeated, 0)


def test_a_number_below_the_first_is_not_fresh():
    numbering, _ = numbered(1)
    assert not numbering.add(0, 0)


def test_more_holes_than_the_bound_close_the_lowest_and_say_so(monkeypatch):
    monkeypatch.setattr(sequences, "MAX_OPEN_GAPS", 3)
    numbering, _ = numbered(2, 4, 6)
    assert numbering.forgotten == []
    numbering.add(8, 80)
    assert [(gap.first, gap.last) for gap in numbering.forgotten] == [(1, 1)]
    assert gaps(numbering) == [(3, 3), (5, 5), (7, 7)]
    assert numbering.highest == 8
