"""The audit engine: iteration-level scheduling over one model's forward pass. Read `step` first.

It exists because a record must be able to say how an answer came about: a seed per request, arithmetic that neighbours
cannot change (float32; checked at load on the very machine), engine time measured per request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
from torch import Tensor

from tallystick_platform.engine.choice import Choice, TextCodec, begun
from tallystick_platform.engine.forward import Forward
from tallystick_platform.engine.prompt import checked_tokens
from tallystick_platform.engine.sampler import NotFinite
from tallystick_platform.engine.scheduler import Piece, Scheduler, SchedulerConfig
from tallystick_platform.engine.sequence import Sequence
from tallystick_platform.engine.text import TextStream
from tallystick_platform.errors import ParameterOutOfRange, PromptRejected, PromptTooLong
from tallystick_platform.protocol import Call, Failed, GpuInfo, ModelInfo, Started, StepEvent, TokenEntry
from tallystick_platform.tasks.drawing import TextCall, decode_call

ENGINE_NAME = "tallystick-audit"
ENGINE_VERSION = "2"
ADMIT_CHARS_PER_STEP = 65_536  # tokenizing this much takes about as long as one token of a small model
COMPUTING = (RuntimeError, IndexError, NotFinite)
"""What a computation may end with: it costs the requests in it, and not the worker."""

Row = tuple[Sequence, Choice]

_log = structlog.get_logger(__name__)


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
            self._pending.append(sequence.cancelled())

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
        rows = [(sequence, choice) for sequence in plan.decode for choice in sequence.running]
        for first in range(0, len(rows), self.rows):
            self._decode(rows[first : first + self.rows], events)
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
        sequence.prompt, sequence.prompt_size = prompt, len(prompt)
        # The last token that is sampled is never fed back, so it needs no room.
        sequence.capacity = min(len(prompt) + max(1, asked.draw.max_tokens) - 1, self.model.context_length)
        try:
            sequence.choices = begun(asked, prompt, sequence.capacity, self._codec, self._forward.vocabulary)
        except ParameterOutOfRange as error:
            return _rejected(sequence, error)
        if asked.echo:
            sequence.echo = TextStream(self._codec.token_bytes, strips=self._codec.strips_first_space)
        return None

    def _tokens(self, asked: TextCall) -> list[int]:
        """The tokens of turns, of a text as it stands, or as they were given. Raises: PromptRejected, PromptTooLong."""
        if asked.turns is not None and asked.template is not None:
            prompt = self._codec.prompt.encode_given(asked.turns, asked.template, self.model.max_prompt_tokens)
        elif asked.turns is not None:
            prompt = self._codec.prompt.encode(asked.turns, self.model.max_prompt_tokens, asked.tools)
        elif isinstance(asked.prompt, str):
            prompt = self._codec.prompt.encode_text(asked.prompt, self.model.max_prompt_tokens)
        else:
            prompt = list(asked.prompt or ())
        return checked_tokens(prompt, self._forward.vocabulary)

    def _prepare(self, sequence: Sequence) -> Failed | None:
        """Give a request its cache."""
        try:
            sequence.choices[0].cache = self._forward.new_cache(sequence.capacity)
        except RuntimeError as error:
            _log.error("engine.out_of_memory", tokens=sequence.capacity, exc_info=error)
            return Failed(sequence.request_id, "engine-failed", "there is no memory for a request of this length")
        return None

    def _prefill(self, piece: Piece, events: list[StepEvent]) -> None:
        sequence = piece.sequence
        first, tokens = sequence.choices[0], sequence.prompt[piece.start : piece.stop]
        last = piece.stop == sequence.prompt_size
        shows = sequence.echo is not None and first.top is not None
        began = self._timer_ns()
        rows = None
        try:
            if shows:
                rows = self._forward.score(first.cache, tokens)
            logits = self._forward.prefill(first.cache, tokens) if rows is None else rows[-1]
            for choice in sequence.choices[1:] if last else ():
                choice.cache = self._forward.fork(first.cache)
        except COMPUTING as error:
            self._fail([sequence], error, events)
            return
        self._scheduler.advance(piece)
        sequence.device_time_ns += self._timer_ns() - began
        sequence.echoed(piece.start, tokens, rows, events)
        if last and not first.draw.max_tokens:
            for choice in sequence.choices:
                choice.finish_reason = "length"
            sequence.end(events)
            self._scheduler.remove(sequence.request_id)
        elif last:
            self._draw([(sequence, choice, logits) for choice in sequence.choices], events)

    def _decode(self, batch: list[Row], events: list[StepEvent]) -> None:
        batch = [(sequence, choice) for sequence, choice in batch if choice.finish_reason is None]
        if not batch:
            return  # what they belonged to has failed
        began = self._timer_ns()
        try:
            logits = self._forward.decode(
                [choice.cache for _, choice in batch], [choice.last_token for _, choice in batch]
            )
        except COMPUTING as error:
            self._fail([sequence for sequence, _ in batch], error, events)
            return
        share = (self._timer_ns() - began) // len(batch)
        for sequence, _ in batch:
            sequence.device_time_ns += share
        self._draw([(*row, one) for row, one in zip(batch, logits, strict=True)], events)

    def _draw(self, drawn: list[tuple[Sequence, Choice, Tensor]], events: list[StepEvent]) -> None:
        """One token for each of these answers, out of its own logits: what goes wrong there costs its own request alone."""
        for sequence, choice, logits in drawn:
            if choice.finish_reason is not None:
                continue  # another answer to the same request has failed
            began = self._timer_ns()
            try:
                entry = choice.next(logits)
            except COMPUTING as error:
                self._fail([sequence], error, events)
                continue
            except ParameterOutOfRange as error:
                self._scheduler.remove(sequence.request_id)
                sequence.give_up()
                events.append(_rejected(sequence, error))
                continue
            sequence.device_time_ns += self._timer_ns() - began
            self._accept(sequence, choice, entry, events)

    def _accept(self, sequence: Sequence, choice: Choice, entry: TokenEntry | None, events: list[StepEvent]) -> None:
        if sequence.accept(choice, entry, events):
            self._scheduler.remove(sequence.request_id)

    def _fail(self, batch: list[Sequence], error: Exception, events: list[StepEvent]) -> None:
        """End what could not be computed; the text of the error stays in the log, for it may quote anything."""
        _log.error("engine.failed", requests=len(batch), exc_info=error)
        reason = "the model's numbers are not finite" if isinstance(error, NotFinite) else "the computation failed"
        for sequence in {one.request_id: one for one in batch}.values():
            self._scheduler.remove(sequence.request_id)
            sequence.give_up()
            events.append(Failed(sequence.request_id, "engine-failed", reason))


def _rejected(sequence: Sequence, error: ParameterOutOfRange) -> Failed:
    return Failed(sequence.request_id, "parameter-rejected", error.reason, param=error.param)
