"""The one-shot engine: requests that are lists of inputs, each computed once and by itself. Read `step` first.

A step takes inputs of all requests in turn, as many as a bounded size allows, and computes those of one group together; a pass that takes
long goes on for a bounded piece in each step. Of one request those of a group come one after another, and answers leave in the order in
which they were asked for. What an input is, and how it is computed, a `Kind` says.

Nothing waits for a batch to fill: what comes while a step is computed fills the next one.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import structlog

from tallystick_platform.engine.audit import COMPUTING
from tallystick_platform.engine.kind import Input, Inputs, Kind
from tallystick_platform.errors import PromptRejected, PromptTooLong
from tallystick_platform.protocol import (
    Call,
    Failed,
    Finished,
    FinishReason,
    GpuInfo,
    ModelInfo,
    Piece,
    Started,
    StepEvent,
)

READ_PER_STEP = 65_536
"""Characters or bytes."""
STEP_SIZE = 512
"""Of the inputs that are computed in one step, unless the kind says otherwise; one larger input is a step of its own."""
ANSWER_BYTES_PER_STEP = 4 * 1_048_576
"""A step's report is one frame, which has a bound."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    """One request. `inputs` are those that are read. Units: nanoseconds.

    `taken` of those in `order` were begun. `results` are what came of them, until they leave; `answered` did.
    """

    call: Call
    asked: Inputs | None = None
    inputs: list[Input] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    taken: int = 0
    results: dict[int, Any] = field(default_factory=dict)
    answered: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    device_time_ns: int = 0

    @property
    def usage(self) -> dict[str, int]:
        """As records count it."""
        return dict(self.counts)

    @property
    def device_time_us(self) -> int:
        """Whole microseconds so far."""
        return self.device_time_ns // 1000

    def finished(self, reason: FinishReason | None) -> Finished:
        """The last event."""
        return Finished(self.call.request_id, reason, self.usage, self.device_time_us)


@dataclass(slots=True, eq=False)
class _Place:
    """One input on its way through a pass: `at` which place of its request it stands."""

    job: _Job
    at: int

    @property
    def input(self) -> Input:
        """What is computed."""
        return self.job.inputs[self.at]


@dataclass(slots=True, eq=False)
class _Pass:
    """Inputs that are computed together; `work` goes on for a piece whenever it is asked."""

    places: Sequence[_Place]
    work: Iterator[Sequence[Any] | None]


class OneShotEngine:
    """Implements `Engine` over a kind of model."""

    def __init__(
        self,
        *,
        model: ModelInfo,
        gpu: GpuInfo,
        kind: Kind,
        rows: int,
        max_requests: int,
        step_size: int = STEP_SIZE,
        folder: Path | None = None,
        timer_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.model, self.gpu, self.folder = model, gpu, folder
        self.max_requests = self.max_active = max_requests
        self.rows = rows
        self._kind, self._step_size = kind, step_size
        self._timer_ns = timer_ns
        self._jobs: dict[bytes, _Job] = {}
        self._unread: deque[_Job] = deque()
        self._ready: deque[_Job] = deque()
        self._passes: list[_Pass] = []
        self._pending: list[StepEvent] = []

    def submit(self, call: Call) -> None:
        """Take a request; reading and refusing it are later steps' work."""
        if len(self._jobs) >= self.max_requests:
            reason = "the worker's queue is full"
            self._pending.append(Failed(call.request_id, "queue-full", reason, self.max_requests, self.max_requests))
        else:
            self._jobs[call.request_id] = job = _Job(call)
            self._unread.append(job)

    def cancel(self, request_id: bytes) -> None:
        """End a request with the answers that it has."""
        job = self._jobs.get(request_id)
        if job is not None:
            self._forget(job)
            self._pending.append(job.finished("cancelled"))

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        return bool(self._pending or self._jobs or self._passes)

    def requests(self) -> int:
        """How many requests are held now."""
        return len(self._jobs)

    def step(self) -> list[StepEvent]:
        """Read, compute, answer: a bounded piece of work, and everyone's turn."""
        events, self._pending = self._pending, []
        self._read(events)
        self._passes += self._begun(self._plan())
        self._passes = [one for one in self._passes if self._go_on(one, events)]
        self._answer(events)
        return events

    def _read(self, events: list[StepEvent]) -> None:
        """One input of each unread request in turn: none is computed before the whole request is known to be sound."""
        looked_at = 0
        while self._unread and looked_at < READ_PER_STEP:
            job = self._unread.popleft()
            request_id, at = job.call.request_id, len(job.inputs)
            try:
                looked_at += self._read_one(job)
            except PromptRejected as error:
                self._end(job, Failed(request_id, "prompt-rejected", error.reason), events)
            except PromptTooLong as error:
                reason = f"input {at} is too long"
                self._end(job, Failed(request_id, "prompt-too-long", reason, error.limit, error.found), events)
            except msgspec.DecodeError as error:
                _log.error("engine.call_unreadable", exc_info=error)
                reason = "the worker does not understand the request"
                self._end(job, Failed(request_id, "engine-failed", reason), events)
            else:
                self._place(job, events)

    def _read_one(self, job: _Job) -> int:
        """Make the next input ready; how much there was to read. Raises: PromptRejected, PromptTooLong, msgspec.DecodeError."""
        if job.asked is None:
            if job.call.task not in self.model.tasks:
                raise PromptRejected(reason=f"this model does not serve the task {job.call.task}")
            job.asked = self._kind.inputs(job.call)
            if not len(job.asked):
                raise PromptRejected(reason="there is nothing to compute")
        at = len(job.inputs)
        try:
            job.inputs.append(job.asked.read(at))
        except PromptRejected as error:
            raise PromptRejected(reason=f"input {at}: {error.reason}") from error
        job.counts.update(job.inputs[at].counts)
        return job.inputs[at].looked_at

    def _place(self, job: _Job, events: list[StepEvent]) -> None:
        """After an input was read."""
        if job.asked is not None and len(job.inputs) < len(job.asked):
            self._unread.append(job)
        else:
            job.order = sorted(range(len(job.inputs)), key=lambda at: job.inputs[at].size)
            self._ready.append(job)
            events.append(Started(job.call.request_id, job.usage))

    def _plan(self) -> list[_Place]:
        """The next input of each request in turn, up to the size of a step; whoever was left out comes first in the next one."""
        places: list[_Place] = []
        size = sum(place.input.size for under_way in self._passes for place in under_way.places)
        while self._ready:
            job = self._ready[0]
            place = _Place(job, job.order[job.taken])
            size += place.input.size
            if size > self._step_size and size > place.input.size:
                break
            places.append(place)
            self._ready.popleft()
            job.taken += 1
            if job.taken < len(job.inputs):
                self._ready.append(job)
        return places

    def _begun(self, places: list[_Place]) -> Iterator[_Pass]:
        """Passes for those of each group, as many in one as have room."""
        groups: dict[Hashable, list[list[_Place]]] = {}
        for place in places:
            one, parts = place.input, groups.setdefault(place.input.group, [[]])
            if parts[-1] and sum(other.input.size for other in parts[-1]) + one.size > self._kind.room(one.group):
                parts.append([])
            parts[-1].append(place)
        for part in chain.from_iterable(groups.values()):
            yield _Pass(part, self._kind.compute([place.input for place in part]))

    def _go_on(self, one: _Pass, events: list[StepEvent]) -> bool:
        """A piece of a pass; whether more of it is left. What fails costs the requests in it, and not the worker."""
        waiting = [place.job for place in one.places if place.job.call.request_id in self._jobs]
        if not waiting:
            return False  # nobody refers to the work any more, which so ends
        began = self._timer_ns()
        try:
            results = next(one.work)
        except PromptRejected as error:
            for job in waiting:
                self._end(job, Failed(job.call.request_id, "prompt-rejected", error.reason), events)
            return False
        except COMPUTING as error:
            _log.error("engine.failed", requests=len(waiting), exc_info=error)
            for job in waiting:
                self._end(job, Failed(job.call.request_id, "engine-failed", "the computation failed"), events)
            return False
        share = (self._timer_ns() - began) // len(waiting)
        for job in waiting:
            job.device_time_ns += share
        if results is None:
            return True
        for place, result in zip(one.places, results, strict=True):
            place.job.results[place.at] = result
        return False

    def _answer(self, events: list[StepEvent]) -> None:
        """What is next in the order in which it was asked for."""
        size = 0
        for job in list(self._jobs.values()):
            while job.asked is not None and job.answered in job.results and size < ANSWER_BYTES_PER_STEP:
                answer = job.asked.answer(job.results.pop(job.answered))
                job.answered += 1
                if answer is not None:
                    job.counts.update(answer.counts)
                    size += len(answer.piece)
                    events.append(Piece(job.call.request_id, answer.piece, job.usage, job.device_time_us))
            if job.order and job.answered == len(job.order):
                self._end(job, job.finished(None), events)

    def _end(self, job: _Job, event: Finished | Failed, events: list[StepEvent]) -> None:
        """The last event of a request, once."""
        if job.call.request_id in self._jobs:
            self._forget(job)
            events.append(event)

    def _forget(self, job: _Job) -> None:
        del self._jobs[job.call.request_id]
        for queue in (self._unread, self._ready):
            if job in queue:
                queue.remove(job)
