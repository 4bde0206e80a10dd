"""An engine without a model: every request gets the same words, and every input of a list what is made of its hash (`constant_answers`).

For tests, and for measuring everything around a model: the process boundary and the streaming path are the real ones. It
names itself in every record as what it is, so a constant answer can never pass for a computed one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tallystick_platform.engine import constant_answers
from tallystick_platform.engine.constant_answers import DIMENSIONS, Asked, count
from tallystick_platform.engine.stops import StopScanner
from tallystick_platform.errors import ParameterOutOfRange
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
    TokenEntry,
)
from tallystick_platform.tasks import CHAT, COMPLETION, drawing

ENGINE_NAME = "constant"
DEFAULT_ANSWER = "The ledger holds what was asked, what was answered and what it cost."
MAX_PIECES_PER_STEP = 4_096
INPUTS_PER_STEP = 64  # of one request


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
    """A request. `words` is how many come in each of `choices` answers, after `echo`; where it is a list of inputs, `asked` has them.

    `shown` is whether each word comes with its probability.
    """

    request_id: bytes
    input_tokens: int
    words: int = 0
    stops: StopScanner | None = None
    choices: int = 1
    echo: str = ""
    shown: bool = False
    asked: Asked | None = None
    position: int = 0
    device_time_ns: int = 0
    started: bool = False

    @property
    def usage(self) -> dict[str, int]:
        """As records count it."""
        if self.asked is None:
            return {"input_tokens": self.input_tokens, "output_tokens": self.position * self.choices}
        counted = self.asked.counted
        return {"input_tokens": self.input_tokens, **({} if counted is None else {counted: self.position})}

    @property
    def device_time_us(self) -> int:
        """Whole microseconds so far."""
        return self.device_time_ns // 1000

    def finished(self, reason: FinishReason | None) -> Finished:
        """The last event."""
        each = (reason,) * self.choices if self.choices > 1 and reason is not None else ()
        return Finished(self.request_id, reason, self.usage, self.device_time_us, each)

    def pieces(self, text: str) -> Iterator[Piece]:
        """The same text for every answer: nothing else was probable."""
        shown = [TokenEntry(text, text.encode(), 0.0)] if self.shown else None
        for at in range(self.choices):
            yield Piece(self.request_id, text, self.usage, self.device_time_us, at, shown)


class ConstantEngine:
    """Implements `Engine`; a word counts as a token."""

    def __init__(self, config: ConstantConfig, gpu: GpuInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config = config
        self._sleep = sleep
        self._words = _words(config.answer)
        self._jobs: dict[bytes, _Job] = {}
        self._ended: list[StepEvent] = []
        self.gpu = gpu
        self.max_requests = self.max_active = config.max_requests
        self.rows = 1
        self.folder = config.folder
        digest = config.weights_digest or hashlib.sha256(config.answer.encode()).digest()
        self.model = ModelInfo(
            id=config.model_id,
            version=config.version or digest.hex()[:12],
            task=CHAT.name,
            tasks=(CHAT.name, COMPLETION.name, *constant_answers.TASKS),
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
            dimensions=DIMENSIONS,
        )

    def submit(self, call: Call) -> None:
        """Take a request, or refuse it by an event of the next step."""
        if len(self._jobs) >= self.max_requests:
            self._ended.append(Failed(call.request_id, "queue-full", "the worker's queue is full", self.max_requests))
            return
        try:
            job = self._job(call)
        except msgspec.DecodeError:
            self._ended.append(Failed(call.request_id, "engine-failed", "the worker does not understand the request"))
            return
        except ParameterOutOfRange as error:
            self._ended.append(Failed(call.request_id, "parameter-rejected", error.reason, param=error.param))
            return
        limit = self.model.max_prompt_tokens
        found = job.input_tokens if job.asked is None else max(map(count, job.asked.inputs), default=0)
        if found > limit:
            self._ended.append(Failed(call.request_id, "prompt-too-long", "the prompt is too long", limit, found))
        else:
            self._jobs[call.request_id] = job

    def _job(self, call: Call) -> _Job:
        inputs = constant_answers.asked_of(call)
        if inputs is not None:
            return _Job(call.request_id, sum(map(count, inputs.inputs)), asked=inputs)
        asked = drawing.decode_call(call.body)
        prompt = asked.prompt if asked.turns is None else " ".join(turn.get("content", "") for turn in asked.turns)
        if asked.structure is not None:
            raise ParameterOutOfRange(param=asked.structure.param, reason="is no form that the constant answer has")
        words = min(asked.draw.max_tokens, len(self._words))
        return _Job(
            call.request_id,
            count(prompt or ""),
            words,
            StopScanner(asked.draw.stop),
            choices=asked.draw.n,
            echo=str(prompt) if asked.echo else "",
            shown=asked.logprobs is not None,
        )

    def cancel(self, request_id: bytes) -> None:
        """End a request with what it has."""
        job = self._jobs.pop(request_id, None)
        if job is not None:
            self._ended.append(job.finished("cancelled"))

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        return bool(self._jobs or self._ended)

    def requests(self) -> int:
        """How many requests are held now."""
        return len(self._jobs)

    def step(self) -> list[StepEvent]:
        """One word for every request, or a few of its vectors."""
        began = time.perf_counter_ns()
        if self._config.step_s:
            self._sleep(self._config.step_s)
        events, self._ended = self._ended, []
        jobs = list(self._jobs.values())[:MAX_PIECES_PER_STEP]
        share = (time.perf_counter_ns() - began) // max(1, len(jobs))
        for job in jobs:
            job.device_time_ns += share
            if not job.started:
                job.started = True
                events.append(Started(job.request_id, job.usage))
            ended = self._say(job, job.stops, events) if job.stops is not None else self._answer(job, job.asked, events)
            if ended is not None:
                del self._jobs[job.request_id]
                events.append(ended)
        return events

    def _say(self, job: _Job, stops: StopScanner, events: list[StepEvent]) -> Finished | None:
        if not job.position and job.echo:
            events.extend(job.pieces(job.echo))
        if not job.words:
            return job.finished("length")
        text = stops.push(self._words[job.position])
        job.position += 1
        reason: FinishReason | None = None
        if stops.stopped or job.position == len(self._words):
            reason = "stop"
        elif job.position == job.words:
            reason = "length"
        if reason is not None:
            text += stops.flush()
        if text:
            events.extend(job.pieces(text))
        return None if reason is None else job.finished(reason)

    def _answer(self, job: _Job, asked: Asked | None, events: list[StepEvent]) -> Finished | None:
        inputs = () if asked is None else asked.inputs
        for given in inputs[job.position : job.position + INPUTS_PER_STEP]:
            job.position += 1
            piece = asked.piece(given) if asked is not None else b""
            events.append(Piece(job.request_id, piece, job.usage, job.device_time_us))
        return job.finished(None) if job.position == len(inputs) else None


def _words(answer: str) -> list[str]:
    words = answer.split(" ")
    return [words[0], *(" " + word for word in words[1:])]
