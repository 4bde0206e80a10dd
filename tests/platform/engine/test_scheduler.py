from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_platform.engine.scheduler import Scheduler, SchedulerConfig


@dataclass
class Fake:
    request_id: bytes
    prompt_size: int
    prefilled: int = 0
    capacity: int = 0
    places: int = 1


def scheduler(**changes):
    return Scheduler(
        SchedulerConfig(**{"max_active": 3, "max_waiting": 2, "piece_size": 4, "prefill_budget": 8, **changes})
    )


def fill(plan_of, *sizes):
    fakes = [Fake(bytes([number]), size) for number, size in enumerate(sizes)]
    for fake in fakes:
        plan_of.add(fake)
        placed = plan_of.next_waiting()
        if placed is not None:
            plan_of.place(placed)
    return fakes


def run(it):
    plan = it.plan()
    for piece in plan.pieces:
        it.advance(piece)
    return [(piece.sequence.request_id[0], piece.start, piece.stop) for piece in plan.pieces], [
        sequence.request_id[0] for sequence in plan.decode
    ]


def test_pieces_end_at_multiples_of_the_piece_size_or_at_the_prompts_end():
    it = scheduler(prefill_budget=4)
    fill(it, 10)
    assert [run(it)[0] for _ in range(3)] == [[(0, 0, 4)], [(0, 4, 8)], [(0, 8, 10)]]


def test_a_request_decodes_from_the_step_after_its_prompt():
    it = scheduler()
    fill(it, 3)
    assert run(it) == ([(0, 0, 3)], [])
    assert run(it) == ([], [0])


def test_requests_take_turns_at_the_prefill():
    it = scheduler(prefill_budget=4)
    fill(it, 12, 4)
    assert [run(it)[0] for _ in range(3)] == [[(0, 0, 4)], [(1, 0, 4)], [(0, 4, 8)]]


def test_short_prompts_share_a_step_within_the_budget():
    it = scheduler()
    fill(it, 4, 3, 2)
    assert run(it)[0] == [(0, 0, 4), (1, 0, 3)]


def test_a_piece_that_does_not_fit_leaves_its_place_to_one_that_does_and_is_the_next():
    it = scheduler(prefill_budget=6)
    fill(it, 4, 4, 2)
    assert [run(it)[0] for _ in range(2)] == [[(0, 0, 4), (2, 0, 2)], [(1, 0, 4)]]


def steps_until_first_token(it, wanted):
    """The number of the step in which each request's prompt ends: that step gives its first token."""
    waits, step = {}, 0
    while len(waits) < len(wanted):
        step += 1
        pieces, _ = run(it)
        waits |= {fake.request_id: step for fake in wanted if fake.prefilled == fake.prompt_size} | waits
        assert pieces
    return [waits[fake.request_id] for fake in wanted]


def test_ten_short_prompts_beside_one_of_3000_tokens_wait_a_few_steps():
    it = Scheduler(SchedulerConfig(max_active=32))
    (long,) = fill(it, 3_000)
    run(it)
    shorts = [Fake(bytes([100 + number]), 40) for number in range(10)]
    for short in shorts:
        it.place(short)
    assert max(steps_until_first_token(it, shorts)) <= 3
    assert steps_until_first_token(it, [long])[0] <= 12


def test_a_short_prompt_beside_thirty_long_ones_waits_two_steps_and_they_all_go_on():
    it = Scheduler(SchedulerConfig(max_active=32))
    longs = fill(it, *[3_000] * 30)
    run(it)
    short = Fake(b"short", 40)
    it.place(short)
    assert steps_until_first_token(it, [short])[0] <= 2
    for _ in range(2 * len(longs)):
        run(it)
    assert all(long.prefilled > 0 for long in longs)


def test_whoever_decodes_gets_a_token_in_every_step_of_a_long_prompt():
    it = Scheduler(SchedulerConfig(max_active=32))
    fill(it, 10, 3_000)
    run(it)
    for _ in range(11):
        pieces, decode = run(it)
        assert pieces
        assert decode == [0]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.lists(st.integers(1, 12), max_size=30),
    st.integers(1, 16),
    st.integers(1, 16),
)
def test_a_prompt_gets_on_whatever_arrives_in_borders_of_its_own_and_within_the_budget(held, arriving, piece, budget):
    it = Scheduler(SchedulerConfig(max_active=1_000, piece_size=piece, prefill_budget=budget))
    fakes = [Fake(bytes([number]), size) for number, size in enumerate(held)]
    for fake in fakes:
        it.place(fake)
    borders, waited = {fake.request_id: [0] for fake in fakes}, dict.fromkeys(range(len(fakes)), 0)
    for number in range(10_000):
        if all(fake.prefilled == fake.prompt_size for fake in fakes):
            break
        if number < len(arriving):
            it.place(Fake(bytes([100 + number]), arriving[number]))
        plan = it.plan()
        assert len(plan.pieces) == 1 or sum(part.stop - part.start for part in plan.pieces) <= budget
        for part in plan.pieces:
            it.advance(part)
            if part.sequence.request_id in borders:
                borders[part.sequence.request_id].append(part.stop)
        for at, fake in enumerate(fakes):
            advanced = any(part.sequence is fake for part in plan.pieces)
            waited[at] = 0 if advanced or fake.prefilled == fake.prompt_size else waited[at] + 1
            assert waited[at] <= 2 * (len(held) + len(arriving))
    for fake in fakes:
        assert borders[fake.request_id] == [*range(0, fake.prompt_size, piece), fake.prompt_size]


def test_a_piece_above_the_budget_still_runs_alone():
    it = scheduler(piece_size=8, prefill_budget=4)
    fill(it, 8, 2)
    assert run(it)[0] == [(0, 0, 8)]


def test_a_request_without_a_slot_waits():
    it = scheduler(max_active=1)
    first, second = fill(it, 2, 2)
    assert it.next_waiting() is None
    it.remove(first.request_id)
    assert it.next_waiting() is second


def test_the_bound_counts_active_and_waiting_requests():
    it = scheduler()
    fill(it, 1, 1, 1, 1)
    assert not it.full()
    it.add(Fake(b"x", 1))
    assert it.full()
    assert len(it) == 5


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_request_is_forgotten_wherever_it_stands(steps):
    it = scheduler()
    (fake,) = fill(it, 5)
    for _ in range(steps):
        run(it)
    assert it.remove(fake.request_id) is fake
    assert it.remove(fake.request_id) is None
    assert run(it) == ([], [])


def test_caches_are_bounded_together_and_one_alone_always_fits():
    it = scheduler(cache_tokens=10)
    first, second, third = (Fake(bytes([number]), 1, capacity=size) for number, size in enumerate((11, 4, 6)))
    assert it.fits(first)
    it.place(second)
    run(it)
    assert not it.fits(first)
    assert it.fits(third)
    it.place(third)
    assert not it.fits(Fake(b"x", 1, capacity=1))
    assert scheduler(cache_tokens=None).fits(first)


def test_a_request_that_is_put_back_is_the_next():
    it = scheduler()
    for number in range(2):
        it.add(Fake(bytes([number]), 1))
    first = it.next_waiting()
    it.put_back(first)
    assert len(it) == 2
    assert it.next_waiting() is first


def test_bounds_below_one_are_refused():
    for name in ("max_active", "piece_size", "prefill_budget"):
        with pytest.raises(ValueError, match="positive"):
            SchedulerConfig(**{name: 0})
