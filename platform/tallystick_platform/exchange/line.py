"""One request on the straight line: admit -> infer -> seal and journal -> receipt.

Each stage takes what the stage before it returns, so none can be left out, and only `Answer`, which holds a `JournalEntry`, lets
an answer or a stream's end leave.

A request whose model must be loaded waits for that first of all. Breaking this wait off leaves nothing: nothing was admitted yet.

A line runs in a task of its own that nobody else cancels; who wants it to end early calls `stop`. What that does depends on where the
line is:

1. *Before admission is durable*: noted. The admission goes on to its end, and then the request is not computed but recorded as stopped.
2. *While the answer is computed and delivered*: the wait in progress is broken off, the generation is cancelled, and what the
   transport had taken until then is recorded.
3. *From the commit on*: nothing. The record that stands says what was delivered, and the answer is sent if anyone still listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tallystick.ids import new_record_id
from tallystick.record import Sender
from tallystick_platform import errors
from tallystick_platform.auth import Principal
from tallystick_platform.dispatch import Generation, GenerationResult, Placement
from tallystick_platform.exchange.committing import committed
from tallystick_platform.exchange.faults import StopReason, failure_of
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Outcome, terminal, would_be
from tallystick_platform.exchange.request import ChatRequest, Effective, HttpFacts, effective
from tallystick_platform.exchange.tally import Tally
from tallystick_platform.protocol import GenerationRequest, as_drawn
from tallystick_platform.store.entries import JournalEntry, Ticket

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request that will have a record, whatever happens. `asked` is the model as the sender named it. Units: microseconds."""

    asked: str
    ticket: Ticket
    placement: Placement
    effective: Effective
    admit_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """An admitted request whose outcome is known."""

    admitted: Admitted
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A recorded request. `text` is the whole answer; the failure, if any, is what to tell instead. Units: microseconds."""

    admitted: Admitted
    outcome: Outcome
    text: str
    entry: JournalEntry
    commit_us: int


Deliver = Callable[[Admitted, str], Awaitable[None]]
"""Hands text to the transport; returns when the transport has taken it."""


class Line:
    """One request under way. Use it once: `run` in a task, `stop` from anywhere in the same event loop."""

    __slots__ = (
        "_breakable",
        "_http",
        "_parts",
        "_principal",
        "_request",
        "_stopped",
        "_task",
        "_timeout_s",
        "_under_way",
    )

    def __init__(
        self,
        parts: Parts,
        under_way: set[Line],
        *,
        principal: Principal,
        request: ChatRequest,
        http: HttpFacts,
        timeout_s: float,
    ) -> None:
        self._parts = parts
        self._under_way = under_way
        self._principal = principal
        self._request = request
        self._http = http
        self._timeout_s = timeout_s
        self._stopped: StopReason | None = None
        self._breakable = False
        self._task: asyncio.Task[object] | None = None

    def stop(self, reason: StopReason) -> None:
        """End the request early, if its outcome is not settled yet. The first reason counts."""
        if self._stopped is None:
            self._stopped = reason
            if self._breakable and self._task is not None:
                self._task.cancel()

    async def run(self, deliver: Deliver | None) -> Answer:
        """Take the request to its record. `deliver` gets each delta of a stream; None keeps the answer until it is recorded.

        Raises: UnknownModel, NoProvider, Overloaded, Draining, AdmissionClosed, RequestUnrecordable, JournalUnavailable and why a model
        is not loaded when nothing was admitted; AnswerWithheld.
        """
        self._task = asyncio.current_task()
        parts = self._parts
        placement = parts.dispatcher.select(self._request.model, self._principal.address)
        try:
            if placement is not None:
                _check_fit(self._request, placement)
            with parts.gate.enter(self._principal.token_id):
                timer = asyncio.get_running_loop().call_later(self._timeout_s, self.stop, StopReason.TIMED_OUT)
                self._under_way.add(self)
                try:
                    if placement is None:
                        placement = await self._loaded()
                        _check_fit(self._request, placement)
                    admitted = await self._admit(placement)
                    computed = await self._compute(admitted, deliver)
                    return await self._commit(computed)
                finally:
                    timer.cancel()
                    self._under_way.discard(self)
        finally:
            if placement is not None:
                parts.dispatcher.release(placement)

    async def _loaded(self) -> Placement:
        """Who computes this, once the model is loaded."""
        self._breakable = True
        try:
            if self._stopped is None:
                return await self._parts.dispatcher.load(self._request.model, self._principal.address)
        except asyncio.CancelledError:
            self._stopped = self._stopped or StopReason.SERVER_STOPPED
            if self._task is not None:
                self._task.uncancel()
        finally:
            self._breakable = False
        raise failure_of(self._stopped or StopReason.SERVER_STOPPED, self._timeout_s)

    async def _admit(self, placement: Placement) -> Admitted:
        parts, principal = self._parts, self._principal
        began_ns = parts.clock.monotonic_ns()
        now_us = parts.clock.now_us()
        parameters = effective(self._request, placement.model, parts.draw_seed)
        draft = would_be(
            record_id=new_record_id(now_us, parts.random),
            admitted_at=now_us,
            asked=self._request,
            parameters=parameters,
            http=self._http,
            request=self._http.request(parts.random),
            fixed=parts.fixed_parts(placement),
            sender=Sender(address=principal.address, proof="token", token_id=principal.token_id, signature=None),
        )
        ticket = await parts.journal.admit(draft, token_id=principal.token_id)
        return Admitted(
            asked=self._request.model,
            ticket=ticket,
            placement=placement,
            effective=parameters,
            admit_us=(parts.clock.monotonic_ns() - began_ns) // 1000,
        )

    async def _compute(self, admitted: Admitted, deliver: Deliver | None) -> Computed:
        tally = Tally(streamed=deliver is not None)
        generation: Generation | None = None
        failure: BaseException | None = None
        self._breakable = True
        try:
            if self._stopped is None:
                generation = self._parts.dispatcher.start(admitted.placement, self._generation_request(admitted))
                async for delta in generation:
                    if deliver is not None and delta.text:
                        await deliver(admitted, delta.text)
                    tally.add(delta)
                tally.finish(_whole_result(generation))
        except asyncio.CancelledError:
            self._stopped = self._stopped or StopReason.SERVER_STOPPED
            if self._task is not None:
                self._task.uncancel()  # the wait was broken off; the line itself goes on to its record
        except errors.PlatformError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  (an admitted request needs its record, whatever broke)
            self._parts.log_defect(error, admitted.ticket.record.id)
            failure = error
        finally:
            self._breakable = False
        if self._stopped is not None and not tally.whole:
            failure = failure_of(self._stopped, self._timeout_s)
        if generation is not None and not tally.whole:
            generation.cancel()
        progress = None if generation is None else generation.progress
        outcome = tally.outcome(failure, progress, self._parts.clock.now_us())
        return Computed(admitted=admitted, outcome=outcome, text=tally.text)

    async def _commit(self, computed: Computed) -> Answer:
        parts, admitted = self._parts, computed.admitted
        began_ns = parts.clock.monotonic_ns()
        entry = await committed(parts, terminal(admitted.ticket.record, computed.outcome), admitted.ticket)
        return Answer(
            admitted=admitted,
            outcome=computed.outcome,
            text=computed.text,
            entry=entry,
            commit_us=(parts.clock.monotonic_ns() - began_ns) // 1000,
        )

    def _generation_request(self, admitted: Admitted) -> GenerationRequest:
        parameters, record = admitted.effective, admitted.ticket.record
        temperature, top_p, top_k = as_drawn(parameters.temperature, parameters.top_p, parameters.top_k)
        return GenerationRequest(
            request_id=record.id,
            model=admitted.placement.model.id,
            messages=self._request.turns,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            max_tokens=parameters.max_tokens,
            stop=parameters.stop,
            seed=parameters.seed,
            deadline_us=record.time.admitted_at + int(self._timeout_s * US_PER_S),
        )


def _whole_result(generation: Generation) -> GenerationResult:
    """The result of an exhausted generation that nobody here cancelled.

    Raises: EngineFailed if the worker gave it up all the same: a part of an answer is no answer.
    """
    result = generation.result
    if result.finish_reason == "cancelled":
        raise errors.EngineFailed(reason="the worker gave the request up")
    return result


def _check_fit(request: ChatRequest, placement: Placement) -> None:
    context_length = placement.model.context_length
    if request.max_tokens is not None and request.max_tokens > context_length:
        raise errors.ParameterOutOfRange(
            param="max_tokens", reason=f"is {request.max_tokens}, the model's context holds {context_length} tokens"
        )
