"""Stop strings and scheduling, for any text and any mix of prompts."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick_platform.engine.scheduler import Scheduler, SchedulerConfig
from tallystick_platform.engine.stops import StopScanner

TEXT = st.text("ab c", max_size=24)
STOPS = st.lists(st.text("ab c", min_size=1, max_size=4), max_size=4).map(tuple)


def reference(text: str, stops: tuple[str, ...]) -> str:
    """Reads letter by letter and cuts at the longest stop that the newest letter completes."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(TEXT, STOPS, st.lists(st.integers(0, 24), max_size=8))
def test_what_is_given_out_does_not_depend_on_where_the_text_was_cut(text, stops, cuts):
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    scanner, given_out = StopScanner(stops), ""
    expected = reference(text, stops)
    for start, end in pairwise(bounds):
        given_out += scanner.push(text[start:end])
        assert expected.startswith(given_out)
    assert given_out + scanner.flush() == expected


@dataclass
class Fake:
    request_id: bytes
    prompt_size: int
    prefilled: int = 0


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 9), st.integers(1, 12))
def test_every_prompt_is_computed_once_in_pieces_of_its_own_and_nobody_waits_longer_than_his_turns(
    sizes, piece, budget
):
    scheduler = Scheduler(SchedulerConfig(max_active=6, max_waiting=0, piece_size=piece, prefill_budget=budget))
    fakes = [Fake(bytes([number]), size) for number, size in enumerate(sizes)]
    for fake in fakes:
        scheduler.place(fake)
    seen = {fake.request_id: [] for fake in fakes}
    turns = {fake.request_id: -(-fake.prompt_size // piece) for fake in fakes}
    for step in range(1, sum(turns.values()) + 1):
        plan = scheduler.plan()
        tokens = sum(part.stop - part.start for part in plan.pieces)
        assert tokens <= budget or len(plan.pieces) == 1
        for part in plan.pieces:
            seen[part.sequence.request_id].append((part.start, part.stop))
            scheduler.advance(part)
            if part.stop == part.sequence.prompt_size:
                # Every other step belongs to whoever has waited longest, so among n prompts each has a turn within 2 n steps.
                assert step <= 2 * len(fakes) * turns[part.sequence.request_id]
    for fake in fakes:
        starts = range(0, fake.prompt_size, piece)
        assert seen[fake.request_id] == [(start, min(start + piece, fake.prompt_size)) for start in starts]
    assert not scheduler.plan().pieces
