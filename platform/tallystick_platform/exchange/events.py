"""A request that is not a chat, on the same straight line: admit -> work -> seal and journal -> receipt.

Exports and downloads take it. What differs from a chat is the work alone, which the caller brings along as a `Work`; admission, record,
journal and receipt are the same, and `Recorded`, which holds a `JournalEntry`, is again what only a durable commit produces.

The line has two steps, so that the answer may begin between them:

1. `admit` takes a place at the gate and makes the admission durable. A crash after it: the journal records `interrupted` at the next
   start. What was admitted must go on to step 2, whatever happens.
2. `finish` carries the work out and commits its record, then gives the place back. `stop` breaks the work off and leaves the record to
   say how far it came; once the work has ended, it changes nothing any more.

Work that may take longer than the log promises a record takes no line. It is recorded when it is taken on (`accept`), with the time by
which it will be done, and again when it is over (`end`): each is admitted and recorded in one transaction, so nothing stays open meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

from tallystick.ids import RecordId, new_record_id
from tallystick.record import (
    Gpu,
    Model,
    Output,
    Price,
    Provider,
    Record,
    RecordTime,
    Sender,
    State,
    Usage,
    Value,
)
from tallystick_platform import errors
from tallystick_platform.auth import Principal
from tallystick_platform.exchange.committing import committed, recorded_at_once
from tallystick_platform.exchange.faults import StopReason, failure_of
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Outcome, terminal
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.store.entries import JournalEntry, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is asked for, as the record will state it. `price` holds the rate; the device time comes with the outcome.

    `streamed` of `http`: what is handed over leaves as the work goes, not after the record. `follows` is the accepted record whose work
    this ends, None for anything else.
    """

    task: str
    model: Model
    parameters: Mapping[str, Value]
    http: HttpFacts
    gpu: Gpu | None
    provider: Provider
    price: Price | None
    prompt: Mapping[str, Value] | None = None
    follows: RecordId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What work has to show for itself, asked for once, after its end. Units: microseconds.

    `outputs` stand as the record's response: what was handed over, also where the work broke off half way; empty for nothing.
    """

    outputs: tuple[Output, ...] = ()
    usage: Usage | None = None
    device_time_us: int = 0
    started_at: int | None = None


class Work(Protocol):
    """What an event is admitted for."""

    async def carry_out(self, admitted: AdmittedEvent) -> None:
        """Do it. An error ends it as a failure; being cancelled means that it must leave at once."""
        ...

    def delivered(self) -> Delivered:
        """How far it came."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedEvent:
    """A request that will have a record, whatever happens."""

    ticket: Ticket
    place: ExitStack


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded event. The failure, if any, is why the work did not come to its own end."""

    record: Record
    ticket: Ticket
    entry: JournalEntry
    failure: BaseException | None


class EventLine:
    """One event under way. Use it once: `admit`, then `finish` in a task that nobody else cancels; `stop` from anywhere in the loop."""

    __slots__ = ("_event", "_parts", "_principal", "_settled", "_stopped", "_task", "_timeout_s", "_under_way")

    def __init__(
        self, parts: Parts, under_way: set[EventLine], *, principal: Principal, event: Event, timeout_s: float | None
    ) -> None:
        self._parts = parts
        self._under_way = under_way
        self._principal = principal
        self._event = event
        self._timeout_s = timeout_s
        self._stopped: StopReason | None = None
        self._settled = False
        self._task: asyncio.Task[object] | None = None  # set while the work may be broken off

    def stop(self, reason: StopReason) -> bool:
        """End the work early; says whether that came in time, so that the record will tell of it. The first reason counts."""
        if self._settled:
            return False
        if self._stopped is None:
            self._stopped = reason
            if self._task is not None:
                self._task.cancel()
        return True

    async def run(self, work: Work) -> Recorded:
        """Both steps in one.

        Raises: what `admit` and `finish` raise.
        """
        return await self.finish(await self.admit(), work)

    async def admit(self) -> AdmittedEvent:
        """Step 1.

        Raises: Overloaded, Draining, AdmissionClosed, RequestUnrecordable, JournalUnavailable; then nothing was admitted.
        """
        with ExitStack() as stack:
            stack.enter_context(self._parts.gate.enter(self._principal.token_id))
            draft = _would_be(self._parts, self._principal, self._event)
            ticket = await self._parts.journal.admit(draft, token_id=self._principal.token_id)
            self._under_way.add(self)
            stack.callback(self._under_way.discard, self)
            return AdmittedEvent(ticket=ticket, place=stack.pop_all())

    async def finish(self, admitted: AdmittedEvent, work: Work) -> Recorded:
        """Step 2.

        Raises: AnswerWithheld if the record could not be stored: then nothing more of the work may be released.
        """
        parts = self._parts
        with admitted.place:
            failure = await self._carry_out(admitted, work)
            self._settled = True
            record = terminal(admitted.ticket.record, _outcome(failure, work.delivered(), parts.clock.now_us()))
            entry = await committed(parts, record, admitted.ticket)
            return Recorded(record=record, ticket=admitted.ticket, entry=entry, failure=failure)

    async def _carry_out(self, admitted: AdmittedEvent, work: Work) -> BaseException | None:
        """Run the work within its time; says why it failed, None if it did not."""
        if self._stopped is not None:
            return failure_of(self._stopped, self._timeout_s)
        task = self._task = asyncio.current_task()
        timer = None
        if self._timeout_s is not None:
            timer = asyncio.get_running_loop().call_later(self._timeout_s, self.stop, StopReason.TIMED_OUT)
        try:
            await work.carry_out(admitted)
        except asyncio.CancelledError:
            self._stopped = self._stopped or StopReason.SERVER_STOPPED
        except errors.PlatformError as error:
            return error if self._stopped is None else failure_of(self._stopped, self._timeout_s)
        except Exception as error:  # noqa: BLE001  (an admitted request needs its record, whatever broke)
            self._parts.log_defect(error, admitted.ticket.record.id)
            return error
        finally:
            self._task = None
            if timer is not None:
                timer.cancel()
            while task is not None and task.cancelling():
                task.uncancel()  # the work was broken off; the line itself goes on to its record
        return None if self._stopped is None else failure_of(self._stopped, self._timeout_s)


async def accept(
    parts: Parts,
    *,
    principal: Principal,
    event: Event,
    due_by: int,
    announce: Callable[[RecordId], Awaitable[None]] | None,
) -> Recorded:
    """Record that work was taken on, to be ended by `due_by`. Units: microseconds UTC.

    `announce` is awaited with the record's id before the journal is asked: whatever crashes, no accepted record is unknown to who owes
    its end.

    Raises: Overloaded, Draining, AdmissionClosed, RequestUnrecordable and what `announce` raises: then nothing was recorded;
    AnswerWithheld: then it may be, which the journal tells by the record's id.
    """
    with parts.gate.enter(principal.token_id):
        draft = _would_be(parts, principal, event)
        record = replace(draft, state=State.ACCEPTED, price=None, time=replace(draft.time, due_by=due_by))
        if announce is not None:
            await announce(record.id)
        ticket, entry = await recorded_at_once(parts, record, principal.token_id)
    return Recorded(record=ticket.record, ticket=ticket, entry=entry, failure=None)


async def end(
    parts: Parts, *, principal: Principal, event: Event, failure: BaseException | None, done: Delivered
) -> Recorded:
    """Record how accepted work ended. It was promised, so no gate is asked.

    Requires: `event.follows` names the accepted record.
    Raises: AdmissionClosed; CannotFollow if its end is recorded already; AnswerWithheld: then it may be. After the last, ask again.
    """
    draft = _would_be(parts, principal, event)
    record = terminal(draft, _outcome(failure, done, parts.clock.now_us()))
    ticket, entry = await recorded_at_once(parts, record, principal.token_id)
    return Recorded(record=ticket.record, ticket=ticket, entry=entry, failure=failure)


def _outcome(failure: BaseException | None, done: Delivered, now_us: int) -> Outcome:
    return Outcome(
        failure=failure,
        outputs=done.outputs or None,
        usage=done.usage,
        device_time_us=done.device_time_us,
        started_at=done.started_at,
        finished_at=now_us,
    )


def _would_be(parts: Parts, principal: Principal, event: Event) -> Record:
    """The record that stands if nothing is ever known of the outcome. The journal assigns both sequence numbers."""
    now_us = parts.clock.now_us()
    return Record(
        id=new_record_id(now_us, parts.random),
        admission_seq=0,
        sender_seq=0,
        task=event.task,
        state=State.INTERRUPTED,
        error=None,
        time=RecordTime(admitted_at=now_us, started_at=None, finished_at=now_us),
        http=event.http.exchange(),
        gpu=event.gpu,
        provider=event.provider,
        price=event.price,
        model=event.model,
        parameters=event.parameters,
        request=event.http.request(parts.random),
        prompt=event.prompt,
        instructions=None,
        response=None,
        usage=None,
        sender=Sender(address=principal.address, proof="token", token_id=principal.token_id, signature=None),
        follows=event.follows,
        proof_of_compute=None,
    )
