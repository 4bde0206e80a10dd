"""What runs in the next step. Pure bookkeeping: no torch, no clock, no tokens of its own.

A step computes at most `prefill_budget` prompt tokens, in pieces whose borders depend on the prompt alone, and one token for
every request that is past its prompt. Since the borders are fixed, neighbours never change a request's arithmetic.

Every other step with prompts in it belongs to the prompts that have least left, so a short one never waits behind all the pieces of long
ones; the steps between belong to whoever has waited longest for a turn, so a long one goes on whatever short ones arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # with torch, and this is bookkeeping
    from tallystick_platform.engine.sequence import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """Bounds. Units: tokens for prefill and caches, requests for the rest. `cache_tokens` None does not bound the caches."""

    max_active: int = 8
    max_waiting: int = 56
    piece_size: int = 256
    prefill_budget: int = 256
    cache_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.max_active < 1 or self.max_waiting < 0 or self.piece_size < 1 or self.prefill_budget < 1:
            raise ValueError("bounds of the scheduler must be positive")


@dataclass(frozen=True, slots=True)
class Piece:
    """Prompt tokens [start, stop) of one request."""

    sequence: Sequence
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step's work: these pieces of prompts, then one token for each of these requests."""

    pieces: list[Piece]
    decode: list[Sequence]


class Scheduler:
    """Holds the requests that are computed and those that wait for a slot."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self._waiting: deque[Sequence] = deque()
        self._prefilling: deque[Sequence] = deque()
        self._decoding: dict[bytes, Sequence] = {}
        self._shortest_first = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._prefilling) + len(self._decoding)

    @property
    def active(self) -> int:
        """Slots that are held: one by each answer to a request."""
        return sum(sequence.places for sequence in (*self._prefilling, *self._decoding.values()))

    def full(self) -> bool:
        """Whether no further request may be taken."""
        return len(self) >= self.config.max_active + self.config.max_waiting

    def add(self, sequence: Sequence) -> None:
        """Let a request wait for its slot. Requires: not `full`."""
        self._waiting.append(sequence)

    def next_waiting(self) -> Sequence | None:
        """The request to be prepared next, if a slot is free; it leaves the queue: `place` it, `put_back` or drop."""
        if self._waiting and self.active < self.config.max_active:
            return self._waiting.popleft()
        return None

    def fits(self, sequence: Sequence) -> bool:
        """Whether there is room for a request's answers and their caches beside those that are held. One request alone always has room."""
        bound = self.config.cache_tokens
        held = sum(one.capacity * one.places for one in (*self._prefilling, *self._decoding.values()))
        if not held:
            return True
        room = self.active + sequence.places <= self.config.max_active
        return room and (bound is None or held + sequence.capacity * sequence.places <= bound)

    def put_back(self, sequence: Sequence) -> None:
        """Let the request that was next wait on: it stays the next, so that small ones do not pass it for ever."""
        self._waiting.appendleft(sequence)

    def place(self, sequence: Sequence) -> None:
        """Give a prepared request its slot."""
        self._prefilling.append(sequence)

    def plan(self) -> Plan:
        """The next step. Requests whose prompt ends in this step decode from the next one on."""
        decode = list(self._decoding.values())
        turns = list(self._prefilling)
        if turns:
            if self._shortest_first:
                turns.sort(key=lambda sequence: sequence.prompt_size - sequence.prefilled)
            self._shortest_first = not self._shortest_first
        return Plan(pieces=list(self._pieces(turns)), decode=decode)

    def advance(self, piece: Piece) -> None:
        """Note that a piece was computed."""
        sequence = piece.sequence
        sequence.prefilled = piece.stop
        if sequence.prefilled == sequence.prompt_size:
            self._prefilling.remove(sequence)
            self._decoding[sequence.request_id] = sequence
        else:
            self._prefilling.remove(sequence)
            self._prefilling.append(sequence)

    def remove(self, request_id: bytes) -> Sequence | None:
        """Forget a request wherever it stands; the request itself, or None if it is not held."""
        found = self._decoding.pop(request_id, None)
        if found is not None:
            return found
        for queue in (self._prefilling, self._waiting):
            for sequence in queue:
                if sequence.request_id == request_id:
                    queue.remove(sequence)
                    return sequence
        return None

    def _pieces(self, turns: list[Sequence]) -> Iterator[Piece]:
        """Whole pieces in this order, each that still fits the budget; the first always does."""
        spent = 0
        for sequence in turns:
            start = sequence.prefilled
            stop = min(start + self.config.piece_size, sequence.prompt_size)
            if not spent or spent + stop - start <= self.config.prefill_budget:
                spent += stop - start
                yield Piece(sequence, start, stop)
