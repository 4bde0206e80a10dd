"""The one-shot engine: requests that are lists of inputs, each computed once and by itself. Read `step` first.

A step takes inputs of all requests in turn, as many as a bounded number of tokens allows, and computes those of one length together. Of
one request those of like length come one after another, and answers leave in the order in which they were asked for.

Nothing waits for a batch to fill: what comes while a step is computed fills the next one.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from tallystick_platform.engine.audit import COMPUTING
from tallystick_platform.engine.encoder import FEWEST_TOKENS, Encoder
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
from tallystick_platform.tasks.embedding import EmbeddingCall, decode_call

READ_CHARS_PER_STEP = 65_536
STEP_TOKENS = 512
"""Of the inputs of one step; one longer input is a step of its own."""
ANSWER_BYTES_PER_STEP = 4 * 1_048_576
"""A step's report is one frame, which has a bound."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    """One request. `rows` are the inputs that are read, as tokens. Units: nanoseconds.

    `taken` of those in `order` were computed. `vectors` are what came of them, until they leave; `answered` did.
    """

    call: Call
    asked: EmbeddingCall | None = None
    rows: list[array[int]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    taken: int = 0
    vectors: dict[int, bytes] = field(default_factory=dict)
    answered: int = 0
    input_tokens: int = 0
    device_time_ns: int = 0

    @property
    def usage(self) -> dict[str, int]:
        """As records count it."""
        return {"input_tokens": self.input_tokens, "vectors": self.answered}

    @property
    def device_time_us(self) -> int:
        """Whole microseconds so far."""
        return self.device_time_ns // 1000

    def finished(self, reason: FinishReason | None) -> Finished:
        """The last event."""
        return Finished(self.call.request_id, reason, self.usage, self.device_time_us)


@dataclass(slots=True, eq=False)
class _Input:
    """One input on its way through a step: `at` which place of its request it stands."""

    job: _Job
    at: int

    @property
    def row(self) -> array[int]:
        """Its tokens."""
        return self.job.rows[self.at]


class OneShotEngine:
    """Implements `Engine` over an encoder."""

    def __init__(
        self,
        *,
        model: ModelInfo,
        gpu: GpuInfo,
        encoder: Encoder,
        max_requests: int,
        folder: Path | None = None,
        timer_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.model, self.gpu, self.folder = model, gpu, folder
        self.max_requests = self.max_active = max_requests
        self.rows = encoder.rows_of(FEWEST_TOKENS)
        self._encoder = encoder
        self._timer_ns = timer_ns
        self._jobs: dict[bytes, _Job] = {}
        self._unread: deque[_Job] = deque()
        self._ready: deque[_Job] = deque()
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
        """End a request with the vectors that it has."""
        job = self._jobs.get(request_id)
        if job is not None:
            self._forget(job)
            self._pending.append(job.finished("cancelled"))

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        return bool(self._pending or self._jobs)

    def requests(self) -> int:
        """How many requests are held now."""
        return len(self._jobs)

    def step(self) -> list[StepEvent]:
        """Read, compute, answer: a bounded piece of work, and everyone's turn."""
        events, self._pending = self._pending, []
        self._read(events)
        for batch in self._batches(self._plan()):
            self._compute(batch, events)
        self._answer(events)
        return events

    def _read(self, events: list[StepEvent]) -> None:
        """One input of each unread request in turn: none is computed before the whole request is known to be sound."""
        chars = 0
        while self._unread and chars < READ_CHARS_PER_STEP:
            job = self._unread.popleft()
            try:
                chars += self._read_one(job)
            except PromptRejected as error:
                self._end(job, Failed(job.call.request_id, "prompt-rejected", error.reason), events)
            except PromptTooLong as error:
                self._end(job, self._too_long(job, error.found, len(job.rows)), events)
            except msgspec.DecodeError as error:
                _log.error("engine.call_unreadable", exc_info=error)
                reason = "the worker does not understand the request"
                self._end(job, Failed(job.call.request_id, "engine-failed", reason), events)
            else:
                self._place(job, events)

    def _read_one(self, job: _Job) -> int:
        """Turn the next input into tokens; how much there was to read. Raises: PromptRejected, PromptTooLong, msgspec.DecodeError."""
        if job.asked is None:
            if job.call.task not in self.model.tasks:
                raise PromptRejected(reason=f"this model does not serve the task {job.call.task}")
            job.asked = decode_call(job.call.body)
        at = len(job.rows)
        try:
            one = job.asked.inputs[at] if job.asked.inputs else ()
            tokens = self._encoder.tokens(one)
        except PromptRejected as error:
            raise PromptRejected(reason=f"input {at}: {error.reason}") from error
        job.rows.append(array("i", tokens))
        job.input_tokens += len(tokens)
        return 1 + len(one)

    def _too_long(self, job: _Job, found: int, at: int) -> Failed:
        limit = self.model.max_prompt_tokens
        return Failed(job.call.request_id, "prompt-too-long", f"input {at} is too long", limit, found)

    def _place(self, job: _Job, events: list[StepEvent]) -> None:
        """After an input was read."""
        found = len(job.rows[-1])
        if found > self.model.max_prompt_tokens:
            self._end(job, self._too_long(job, found, len(job.rows) - 1), events)
        elif job.asked is not None and len(job.rows) < len(job.asked.inputs):
            self._unread.append(job)
        else:
            job.order = sorted(range(len(job.rows)), key=lambda at: len(job.rows[at]))
            self._ready.append(job)
            events.append(Started(job.call.request_id, job.usage))

    def _plan(self) -> list[_Input]:
        """The next input of each request in turn, up to the tokens of a step; whoever was left out comes first in the next one."""
        inputs: list[_Input] = []
        tokens = 0
        while self._ready and tokens < STEP_TOKENS:
            job = self._ready.popleft()
            inputs.append(_Input(job, job.order[job.taken]))
            tokens += len(inputs[-1].row)
            job.taken += 1
            if job.taken < len(job.rows):
                self._ready.append(job)
        return inputs

    def _batches(self, inputs: list[_Input]) -> Iterator[list[_Input]]:
        """Those of one length together: padding would make an input's numbers depend on its neighbours."""
        by_length: dict[int, list[_Input]] = {}
        for one in inputs:
            by_length.setdefault(len(one.row), []).append(one)
        for length, group in by_length.items():
            size = self._encoder.rows_of(length)
            yield from (group[at : at + size] for at in range(0, len(group), size))

    def _compute(self, batch: list[_Input], events: list[StepEvent]) -> None:
        """Inputs of one length. What fails costs the requests in it, and not the worker."""
        batch = [one for one in batch if one.job.call.request_id in self._jobs]
        if not batch:
            return
        began = self._timer_ns()
        try:
            lengths = [one.job.asked.dimensions for one in batch if one.job.asked is not None]
            vectors = self._encoder.vectors([one.row for one in batch], lengths)
        except COMPUTING as error:
            _log.error("engine.failed", requests=len(batch), exc_info=error)
            for one in batch:
                self._end(one.job, Failed(one.job.call.request_id, "engine-failed", "the computation failed"), events)
            return
        share = (self._timer_ns() - began) // len(batch)
        for one, vector in zip(batch, vectors, strict=True):
            one.job.vectors[one.at] = vector
            one.job.device_time_ns += share

    def _answer(self, events: list[StepEvent]) -> None:
        """The vectors that are next in the order in which they were asked for."""
        size = 0
        for job in list(self._jobs.values()):
            while job.answered in job.vectors and size < ANSWER_BYTES_PER_STEP:
                vector = job.vectors.pop(job.answered)
                job.answered += 1
                size += len(vector)
                events.append(Piece(job.call.request_id, vector, job.usage, job.device_time_us))
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
