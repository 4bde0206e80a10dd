"""A request that is not a chat, on the same straight line: admit -> work -> seal and journal -> receipt.

Exports and downloads take it. What differs from a chat is the work alone, which the caller brings along as a `Work`; admission, record,
journal and receipt are the same, and `Recorded`, which holds a `JournalEntry`, is again what only a durable commit produces.

The line has two steps, so that a job may outlive the request that asked for it:

1. `admit` takes a place at the gate and makes the admission durable. A crash after it: the journal records `interrupted` at the next
   start. What was admitted must go on to step 2, whatever happens.
2. `finish` carries the work out and commits its record, then gives the place back. `stop` breaks the work off and leaves the record to
   say how far it came; once the work has ended, it changes nothing any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from tallystick.ids import new_record_id
from tallystick.record import (
    Gpu,
    HttpExchange,
    Model,
    Price,
    Provider,
    Record,
    RecordTime,
    Sender,
    State,
    Value,
)
from tallystick_platform import errors
from tallystick_platform.auth import Principal
from tallystick_platform.exchange.committing import committed
from tallystick_platform.exchange.faults import StopReason, failure_of
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Outcome, terminal
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.store.entries import JournalEntry, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is asked for, as the record will state it. `price` holds the rate; the device time comes with the outcome.

    `streamed` of `http`: what is handed over leaves as the work goes, not after the record.
    """

    task: str
    model: Model
    parameters: Mapping[str, Value]
    http: HttpFacts
    gpu: Gpu | None
    provider: Provider
    price: Price | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What work has to show for itself, asked for once, after its end. Units: microseconds.

    `text` stands as the record's response: what was handed over, also where the work broke off half way; None for nothing.
    """

    text: str | None = None
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

        Raises: Overloaded, Draining, JournalUnavailable; then nothing was admitted.
        """
        with ExitStack() as stack:
            stack.enter_context(self._parts.gate.enter(self._principal.token_id))
            ticket = await self._parts.journal.admit(self._would_be(), token_id=self._principal.token_id)
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
            done = work.delivered()
            outcome = Outcome(
                failure=failure,
                delivered=done.text,
                finish_reason=None,
                usage=None,
                device_time_us=done.device_time_us,
                started_at=done.started_at,
                finished_at=parts.clock.now_us(),
            )
            record = terminal(admitted.ticket.record, outcome)
            entry = await committed(parts, record)
            return Recorded(record=record, entry=entry, failure=failure)

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

    def _would_be(self) -> Record:
        """The record that stands if nothing is ever known of the outcome. The journal assigns both sequence numbers."""
        event, http, now_us = self._event, self._event.http, self._parts.clock.now_us()
        principal = self._principal
        return Record(
            id=new_record_id(now_us, self._parts.random),
            admission_seq=0,
            sender_seq=0,
            task=event.task,
            state=State.INTERRUPTED,
            error=None,
            time=RecordTime(admitted_at=now_us, started_at=None, finished_at=now_us),
            http=HttpExchange(
                method=http.method,
                path=http.path,
                request_hash=http.request_hash,
                response_hash=None,
                streamed=http.streamed,
            ),
            gpu=event.gpu,
            provider=event.provider,
            price=event.price,
            model=event.model,
            parameters=event.parameters,
            prompt=None,
            instructions=None,
            response=None,
            usage=None,
            sender=Sender(address=principal.address, proof="token", token_id=principal.token_id, signature=None),
            proof_of_compute=None,
        )
