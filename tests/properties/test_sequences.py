"""A numbering against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.verify.sequences import Numbering

numbers = st.lists(st.integers(1, 40), max_size=60)


@given(numbers)
def test_freshness_is_membership_in_a_set(given_numbers):
    numbering, seen = Numbering(), set()
    for number in given_numbers:
        assert numbering.add(number, number) == (number not in seen)
        seen.add(number)


@given(numbers)
def test_the_gaps_are_what_a_set_lacks_below_its_highest(given_numbers):
    numbering = Numbering()
    for number in given_numbers:
        numbering.add(number, number)
    missing = {number for gap in numbering.gaps() for number in range(gap.first, gap.last + 1)}
    assert missing == set(range(1, max(given_numbers, default=0))) - set(given_numbers)


@given(numbers)
def test_each_gap_is_dated_by_the_number_after_it(given_numbers):
    numbering = Numbering()
    for number in given_numbers:
        numbering.add(number, number)
    assert all(gap.before_us == gap.last + 1 for gap in numbering.gaps())
