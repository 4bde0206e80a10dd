import pytest

from tallystick_platform.embedded_chain.rules import MAX_CLOCK_LEAD_S, next_timestamp, rules_for, wait_for_block_s


@pytest.mark.parametrize(
    ("parent", "now", "expected"), [(100, 105.9, 105), (100, 101.0, 101), (100, 100.5, 101), (100, 90.0, 101)]
)
def test_a_block_has_the_wall_clocks_second_or_the_one_after_its_parents(parent, now, expected):
    assert next_timestamp(parent, now) == expected


@pytest.mark.parametrize(
    ("parent", "now", "wait"),
    [(100, 105.0, 0.0), (100, 100.0, 0.0), (101, 100.0, 1.0), (101, 100.75, 0.25), (110, 100.0, 10.0)],
)
def test_a_block_waits_until_its_time_is_at_most_the_lead_ahead(parent, now, wait):
    assert wait_for_block_s(parent, now) == pytest.approx(wait)
    assert next_timestamp(parent, now + wait) <= now + wait + MAX_CLOCK_LEAD_S


def test_a_chain_class_carries_its_id_and_leaves_the_others_alone():
    assert (rules_for(5).chain_id, rules_for(6).chain_id) == (5, 6)
