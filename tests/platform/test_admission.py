"""Bounds on what is under way."""

from __future__ import annotations

import pytest

from tallystick_platform.admission import Gate
from tallystick_platform.clock import MAX_WAIT_S, MIN_WAIT_S
from tallystick_platform.errors import Draining, Overloaded, TokenBusy
from tests.support.clocks import FixedClock


class Depth:
    """Records not yet on the chain, as a test says."""

    value = 0

    def __call__(self) -> int:
        return self.value


@pytest.fixture
def depth() -> Depth:
    return Depth()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def gate(depth: Depth, clock: FixedClock) -> Gate:
    return Gate(max_concurrent=3, max_per_token=2, max_unanchored=10, depth=depth, clock=clock)


def test_requests_within_the_bounds_enter(gate: Gate) -> None:
    gate.enter("a")
    gate.enter("a")
    gate.enter("b")
    assert gate.in_flight == 3


def test_one_request_more_than_the_bound_is_refused_and_told_when_to_come_back(gate: Gate) -> None:
    for token in "aab":
        gate.enter(token)
    with pytest.raises(Overloaded) as refused:
        gate.enter("c")
    assert not isinstance(refused.value, TokenBusy)
    assert (refused.value.limit, refused.value.retry_after_s) == (3, 1)


def test_one_token_cannot_take_all_places(gate: Gate) -> None:
    gate.enter("a")
    gate.enter("a")
    with pytest.raises(TokenBusy) as refused:
        gate.enter("a")
    assert (refused.value.limit, refused.value.retry_after_s) == (2, 1)
    gate.enter("b")


def refused_for_s(gate: Gate, who: str = "c") -> int:
    with pytest.raises(Overloaded) as refused:
        gate.enter(who)
    return refused.value.retry_after_s


def test_a_refused_request_is_told_to_wait_for_those_ahead_of_it_at_their_pace(gate: Gate, clock: FixedClock) -> None:
    slots = [gate.enter(token) for token in "aab"]
    for token in "aab" * 20:
        clock.advance(1.5)
        slots.pop(0).release()
        slots.append(gate.enter(token))
    assert refused_for_s(gate) == 5  # three requests, one of which ends every second and a half
    assert refused_for_s(gate, "a") == 5


def test_the_pace_follows_what_changes(gate: Gate, clock: FixedClock) -> None:
    slots = [gate.enter(token) for token in "aab"]
    for seconds, expected in ((10.0, 30), (0.1, 1)):
        for token in "aab" * 20:
            clock.advance(seconds)
            slots.pop(0).release()
            slots.append(gate.enter(token))
        assert refused_for_s(gate) == expected


def test_a_gate_that_stood_empty_for_long_is_not_taken_for_a_slow_one(gate: Gate, clock: FixedClock) -> None:
    for _ in range(20):
        clock.advance(3_600)
        slot = gate.enter("a")
        clock.advance(0.5)
        slot.release()
    for token in "aab":
        gate.enter(token)
    assert refused_for_s(gate) == 2


def test_what_a_refused_request_is_told_is_bounded(gate: Gate, clock: FixedClock) -> None:
    for token in "aab":
        gate.enter(token)
    assert refused_for_s(gate) == MIN_WAIT_S == 1
    clock.advance(10)  # nothing ended yet, so the first may take as long again
    assert refused_for_s(gate) == 10
    clock.advance(10_000)
    assert refused_for_s(gate) == MAX_WAIT_S == 60


def test_a_place_that_was_left_is_free_again(gate: Gate) -> None:
    with gate.enter("a"), gate.enter("a"):
        assert gate.in_flight == 2
    assert gate.in_flight == 0
    gate.enter("a")


def test_a_place_is_given_back_once(gate: Gate) -> None:
    slot = gate.enter("a")
    gate.enter("a")
    slot.release()
    slot.release()
    assert gate.in_flight == 1


def test_a_place_is_given_back_when_the_request_fails(gate: Gate) -> None:
    def fail() -> None:
        with gate.enter("a"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert gate.in_flight == 0


def test_new_requests_wait_while_too_much_is_not_on_the_chain(gate: Gate, depth: Depth) -> None:
    depth.value = 10
    with pytest.raises(Overloaded, match="not yet on the chain") as refused:
        gate.enter("a")
    assert (refused.value.limit, refused.value.retry_after_s) == (10, 10)
    depth.value = 9
    gate.enter("a")


def test_requests_in_flight_count_as_records_to_come(gate: Gate, depth: Depth) -> None:
    depth.value = 8
    gate.enter("a")
    gate.enter("a")
    with pytest.raises(Overloaded, match="not yet on the chain"):
        gate.enter("b")


def test_a_refused_request_takes_no_place(gate: Gate, depth: Depth) -> None:
    depth.value = 10
    with pytest.raises(Overloaded):
        gate.enter("a")
    assert gate.in_flight == 0


async def test_a_draining_gate_takes_nothing_new_and_waits_for_the_rest(gate: Gate) -> None:
    slot = gate.enter("a")
    gate.drain()
    assert gate.draining
    with pytest.raises(Draining) as refused:
        gate.enter("b")
    assert refused.value.retry_after_s == 15
    assert not await gate.idle(0)
    slot.release()
    assert await gate.idle(0.1)


async def test_an_empty_gate_is_idle(gate: Gate) -> None:
    assert await gate.idle(0.1)


def test_tokens_that_left_are_not_remembered(gate: Gate) -> None:
    for number in range(100):
        gate.enter(f"token {number}").release()
    assert gate._by_token == {}
