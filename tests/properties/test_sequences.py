"""A numbering against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.verify.sequences import Arrival, Numbering

numbers = st.lists(st.integers(1, 40), max_size=60)
ranges = st.tuples(st.integers(1, 45), st.integers(1, 45)).map(sorted)
GRACE_S = 1_000


def missing(numbering):
    return {number for gap in numbering.gaps() for number in range(gap.first, gap.last + 1)}


@given(numbers)
def test_freshness_is_membership_in_a_set(given_numbers):
    numbering, seen = Numbering(GRACE_S), set()
    for number in given_numbers:
        assert (numbering.add(number, 0) is Arrival.AGAIN) == (number in seen)
        seen.add(number)


@given(numbers)
def test_the_gaps_are_what_a_set_lacks_below_its_highest(given_numbers):
    numbering = Numbering(GRACE_S)
    for number in given_numbers:
        numbering.add(number, 0)
    assert missing(numbering) == set(range(1, max(given_numbers, default=0))) - set(given_numbers)


@given(numbers)
def test_each_gap_is_dated_by_the_first_higher_number(given_numbers):
    numbering, came = Numbering(GRACE_S), {}
    for time_s, number in enumerate(given_numbers):
        numbering.add(number, time_s)
        came.setdefault(number, time_s)
    for gap in numbering.gaps():
        for number in range(gap.first, gap.last + 1):
            assert gap.since_s == min(time_s for higher, time_s in came.items() if higher > number)


@given(numbers, ranges)
def test_what_is_given_up_is_exactly_what_did_not_come(given_numbers, given_up):
    first, last = given_up
    numbering, seen = Numbering(GRACE_S), set(given_numbers)
    for number in given_numbers:
        numbering.add(number, 0)
    highest = max(given_numbers, default=0)
    assert numbering.give_up(first, last, 0) == len(set(range(first, last + 1)) - seen)
    assert missing(numbering) == set(range(1, max(highest, last))) - seen - set(range(first, last + 1))
