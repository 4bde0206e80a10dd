"""An engine without a model: every request gets the same words.

For tests, and for measuring everything around a model: the process boundary and the streaming path are the real ones. It
names itself in every record as what it is, so a constant answer can never pass for a computed one.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.engine.stops import StopScanner
from tallystick_platform.protocol import (
    Failed,
    Finished,
    FinishReason,
    GenerationRequest,
    GpuInfo,
    ModelInfo,
    Started,
    StepEvent,
    TextDelta,
)

ENGINE_NAME = "constant"
DEFAULT_ANSWER = "The ledger holds what was asked, what was answered and what it cost."
MAX_PIECES_PER_STEP = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantConfig:
    """The answer, cut at its spaces into one token per step. Units: `step_s` seconds that a step takes at least.

    Where it stands in for a registered version, in tests, it bears that one's version and digest.
    """

    model_id: str = "constant"
    answer: str = DEFAULT_ANSWER
    step_s: float = 0.0
    max_requests: int = 64
    context_length: int = 8_192
    created_at: int = 0
    version: str | None = None
    weights_digest: bytes | None = None
    folder: Path | None = None


@dataclass(slots=True)
class _Job:
    request: GenerationRequest
    stops: StopScanner
    input_tokens: int
    position: int = 0
    device_time_ns: int = 0
    withheld: int = 0
    started: bool = False


class ConstantEngine:
    """Implements `Engine`; a word counts as a token."""

    def __init__(self, config: ConstantConfig, gpu: GpuInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config = config
        self._sleep = sleep
        self._pieces = _words(config.answer)
        self._jobs: dict[bytes, _Job] = {}
        self._ended: deque[StepEvent] = deque()
        self.gpu = gpu
        self.max_requests = self.max_active = config.max_requests
        self.rows = 1
        self.folder = config.folder
        digest = config.weights_digest or hashlib.sha256(config.answer.encode()).digest()
        self.model = ModelInfo(
            id=config.model_id,
            version=config.version or digest.hex()[:12],
            task="chat",
            weights_digest=digest,
            engine=ENGINE_NAME,
            engine_version="1",
            dtype="none",
            quantisation=None,
            device=gpu.kind,
            context_length=config.context_length,
            max_prompt_tokens=config.context_length - 1,
            chat_template=None,
            chat_template_digest=None,
            reproducibility="reproducible",
            created_at=config.created_at,
        )

    def submit(self, request: GenerationRequest) -> None:
        """Take a request, or refuse it by an event of the next step."""
        words = sum(len(str(message.get("content", "")).split()) for message in request.messages)
        limit = self.model.max_prompt_tokens
        if len(self._jobs) >= self.max_requests:
            self._ended.append(
                Failed(request.request_id, "queue-full", "the worker's queue is full", self.max_requests)
            )
        elif words > limit:
            self._ended.append(Failed(request.request_id, "prompt-too-long", "the prompt is too long", limit, words))
        else:
            self._jobs[request.request_id] = _Job(request, StopScanner(request.stop), words)

    def cancel(self, request_id: bytes) -> None:
        """End a request with what it has."""
        job = self._jobs.pop(request_id, None)
        if job is not None:
            self._ended.append(_finished(job, "cancelled"))

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        return bool(self._jobs or self._ended)

    def requests(self) -> int:
        """How many requests are held now."""
        return len(self._jobs)

    def step(self) -> list[StepEvent]:
        """One word for every request."""
        began = time.perf_counter_ns()
        if self._config.step_s:
            self._sleep(self._config.step_s)
        events = list(self._ended)
        self._ended.clear()
        jobs = list(self._jobs.values())[:MAX_PIECES_PER_STEP]
        share = (time.perf_counter_ns() - began) // max(1, len(jobs))
        for job in jobs:
            job.device_time_ns += share
            self._advance(job, events)
        return events

    def _advance(self, job: _Job, events: list[StepEvent]) -> None:
        request_id = job.request.request_id
        if not job.started:
            job.started = True
            events.append(Started(request_id, job.input_tokens))
        word = self._pieces[job.position]
        job.position += 1
        job.withheld += 1
        text = job.stops.push(word)
        reason: FinishReason | None = None
        if job.stops.stopped or job.position == len(self._pieces):
            reason = "stop"
        elif job.position >= job.request.max_tokens:
            reason = "length"
        if reason is not None:
            text += job.stops.flush()
        if text:
            events.append(TextDelta(request_id, text, job.withheld, job.device_time_ns // 1000))
            job.withheld = 0
        if reason is not None:
            del self._jobs[request_id]
            events.append(_finished(job, reason))


def _finished(job: _Job, reason: FinishReason) -> Finished:
    return Finished(job.request.request_id, reason, job.input_tokens, job.position, job.device_time_ns // 1000)


def _words(answer: str) -> list[str]:
    words = answer.split(" ")
    return [words[0], *(" " + word for word in words[1:])]
