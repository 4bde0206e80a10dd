"""The audit engine: iteration-level scheduling over one model's forward pass. Read `step` first.

It exists because a record must be able to say how an answer came about: a seed per request, arithmetic that neighbours
cannot change (float32; checked at load on the very machine), engine time measured per request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from tallystick_platform.engine.chat_template import ChatTemplate
from tallystick_platform.engine.forward import Forward
from tallystick_platform.engine.prompt import TextEncoder, checked_tokens
from tallystick_platform.engine.sampler import NotFinite, Sampler
from tallystick_platform.engine.scheduler import Piece, Scheduler, SchedulerConfig
from tallystick_platform.engine.sequence import Sequence
from tallystick_platform.engine.stops import StopScanner
from tallystick_platform.engine.text import TextStream
from tallystick_platform.errors import PromptRejected, PromptTooLong
from tallystick_platform.protocol import Call, Failed, GpuInfo, ModelInfo, Started, StepEvent
from tallystick_platform.tasks.drawing import TextCall, decode_call

ENGINE_NAME = "tallystick-audit"
ENGINE_VERSION = "2"
ADMIT_CHARS_PER_STEP = 65_536  # tokenizing this much takes about as long as one token of a small model
COMPUTING = (RuntimeError, IndexError, NotFinite)
"""What a computation may end with: it costs the requests in it, and not the worker."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCodec:
    """The model's way between text and tokens. Without a template it knows no turns."""

    template: ChatTemplate | None
    prompt: TextEncoder
    token_bytes: list[bytes]
    end_tokens: frozenset[int]
    strips_first_space: bool = False


class AuditEngine:
    """Implements `Engine`. `decode_rows` requests share one forward pass: 1 where rows would disturb each other."""

    def __init__(
        self,
        *,
        model: ModelInfo,
        gpu: GpuInfo,
        forward: Forward,
        codec: TextCodec,
        config: SchedulerConfig,
        decode_rows: int,
        folder: Path | None = None,
        timer_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.folder = folder
        self.model = model
        self.gpu = gpu
        self.max_requests = config.max_active + config.max_waiting
        self.max_active, self.rows = config.max_active, decode_rows
        self._forward = forward
        self._codec = codec
        self._timer_ns = timer_ns
        self._scheduler = Scheduler(config)
        self._pending: list[StepEvent] = []

    def submit(self, call: Call) -> None:
        """Take a request; reading and refusing it are the next step's work."""
        if self._scheduler.full():
            reason = "the worker's queue is full"
            self._pending.append(Failed(call.request_id, "queue-full", reason, self.max_requests, self.max_requests))
        else:
            self._scheduler.add(Sequence(call, call.request_id, []))

    def cancel(self, request_id: bytes) -> None:
        """End a request with what it has. Text that a stop string might still have swallowed is dropped."""
        sequence = self._scheduler.remove(request_id)
        if sequence is not None:
            self._pending.append(sequence.finished("cancelled"))

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        return bool(self._pending) or len(self._scheduler) > 0

    def requests(self) -> int:
        """How many requests are held now."""
        return len(self._scheduler)

    def step(self) -> list[StepEvent]:
        """Schedule, run, postprocess: a bounded piece of work for everyone."""
        events, self._pending = self._pending, []
        self._admit(events)
        plan = self._scheduler.plan()
        for piece in plan.pieces:
            self._prefill(piece, events)
        for first in range(0, len(plan.decode), self.rows):
            self._decode(plan.decode[first : first + self.rows], events)
        return events

    def _admit(self, events: list[StepEvent]) -> None:
        chars = 0
        while chars < ADMIT_CHARS_PER_STEP:
            sequence = self._scheduler.next_waiting()
            if sequence is None:
                return
            failure = None
            if not sequence.prompt:
                chars += len(sequence.call.body)
                failure = self._read(sequence)
            if failure is None:
                if not self._scheduler.fits(sequence):
                    self._scheduler.put_back(sequence)
                    return
                failure = self._prepare(sequence)
            if failure is None:
                self._scheduler.place(sequence)
                events.append(Started(sequence.request_id, sequence.usage))
            else:
                events.append(failure)

    def _read(self, sequence: Sequence) -> Failed | None:
        """Turn what was asked into tokens and a way to draw more; from here on it is known how much room the request takes."""
        limit, task = self.model.max_prompt_tokens, sequence.call.task
        if task not in self.model.tasks:
            return Failed(sequence.request_id, "prompt-rejected", f"this model does not serve the task {task}")
        try:
            asked = decode_call(sequence.call.body)
            prompt = self._tokens(asked)
        except PromptRejected as error:
            return Failed(sequence.request_id, "prompt-rejected", error.reason)
        except PromptTooLong as error:
            return Failed(sequence.request_id, "prompt-too-long", "the prompt is too long", limit, error.found)
        except msgspec.DecodeError as error:
            _log.error("engine.call_unreadable", exc_info=error)
            return Failed(sequence.request_id, "engine-failed", "the worker does not understand the request")
        if len(prompt) > limit:
            return Failed(sequence.request_id, "prompt-too-long", "the prompt is too long", limit, len(prompt))
        draw = asked.draw
        sequence.prompt, sequence.prompt_size = prompt, len(prompt)
        # The last token that is sampled is never fed back, so it needs no room.
        sequence.capacity = min(len(prompt) + max(1, draw.max_tokens) - 1, self.model.context_length)
        sequence.max_tokens = draw.max_tokens
        sequence.sampler = Sampler(temperature=draw.temperature, top_p=draw.top_p, top_k=draw.top_k, seed=draw.seed)
        # A conversation's answer begins anew, and a completion goes on after the last word of its prompt.
        strips = self._codec.strips_first_space and asked.turns is not None
        sequence.stream = TextStream(self._codec.token_bytes, strips=strips)
        sequence.stops = StopScanner(draw.stop)
        return None

    def _tokens(self, asked: TextCall) -> list[int]:
        """The tokens of turns, of a text as it stands, or as they were given. Raises: PromptRejected, PromptTooLong."""
        if asked.turns is not None:
            prompt = self._codec.prompt.encode(asked.turns, self.model.max_prompt_tokens)
        elif isinstance(asked.prompt, str):
            prompt = self._codec.prompt.encode_text(asked.prompt, self.model.max_prompt_tokens)
        else:
            prompt = list(asked.prompt or ())
        return checked_tokens(prompt, self._forward.vocabulary)

    def _prepare(self, sequence: Sequence) -> Failed | None:
        """Give a request its cache."""
        try:
            sequence.cache = self._forward.new_cache(sequence.capacity)
        except RuntimeError as error:
            _log.error("engine.out_of_memory", tokens=sequence.capacity, exc_info=error)
            return Failed(sequence.request_id, "engine-failed", "there is no memory for a request of this length")
        return None

    def _prefill(self, piece: Piece, events: list[StepEvent]) -> None:
        sequence = piece.sequence
        if sequence.cache is None:
            raise RuntimeError("a sequence was placed before it was prepared")
        began = self._timer_ns()
        try:
            logits = self._forward.prefill(sequence.cache, sequence.prompt[piece.start : piece.stop])
            last = piece.stop == sequence.prompt_size
            token = sequence.draw(logits) if last else -1
        except COMPUTING as error:
            self._fail([sequence], error, events)
            return
        sequence.device_time_ns += self._timer_ns() - began
        self._scheduler.advance(piece)
        if last:
            self._accept(sequence, token, events)

    def _decode(self, batch: list[Sequence], events: list[StepEvent]) -> None:
        began = self._timer_ns()
        caches = [sequence.cache for sequence in batch if sequence.cache is not None]
        try:
            logits = self._forward.decode(caches, [sequence.last_token for sequence in batch])
            tokens = [sequence.draw(row) for sequence, row in zip(batch, logits, strict=True)]
        except COMPUTING as error:
            self._fail(batch, error, events)
            return
        share = (self._timer_ns() - began) // len(batch)
        for sequence, token in zip(batch, tokens, strict=True):
            sequence.device_time_ns += share
            self._accept(sequence, token, events)

    def _accept(self, sequence: Sequence, token: int, events: list[StepEvent]) -> None:
        if sequence.accept(token, self._codec.end_tokens, events):
            self._scheduler.remove(sequence.request_id)

    def _fail(self, batch: list[Sequence], error: Exception, events: list[StepEvent]) -> None:
        """End what could not be computed; the text of the error stays in the log, for it may quote anything."""
        _log.error("engine.failed", requests=len(batch), exc_info=error)
        reason = "the model's numbers are not finite" if isinstance(error, NotFinite) else "the computation failed"
        for sequence in batch:
            self._scheduler.remove(sequence.request_id)
            events.append(Failed(sequence.request_id, "engine-failed", reason))
