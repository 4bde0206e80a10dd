from dataclasses import dataclass

import pytest

from tallystick_platform.engine.scheduler import Scheduler, SchedulerConfig


@dataclass
class Fake:
    request_id: bytes
    prompt_size: int
    prefilled: int = 0


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


def test_bounds_below_one_are_refused():
    for name in ("max_active", "piece_size", "prefill_budget"):
        with pytest.raises(ValueError, match="positive"):
            SchedulerConfig(**{name: 0})
