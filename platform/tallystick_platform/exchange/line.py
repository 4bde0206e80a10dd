"""The one line that every request takes: admit -> work -> seal and journal -> receipt. Requests differ in their `Work` alone.

Each stage takes what the stage before it returns, so none can be left out, and only `Recorded`, which holds a `JournalEntry`, lets an
answer or a stream's end leave.

    1. *Prepare*: whoever is to do the work is claimed, a model is loaded. A crash or an early end here leaves nothing.
    2. *Admit*: the draft is durable. A crash after it: the journal records the request as interrupted at the next start.
    3. *Work*: the answer is computed, and handed over as it comes. An early end is recorded, with what the transport had taken until then.
    4. *Commit*: the record is durable, and says truly what was delivered. An early end changes nothing any more.

A line runs in a task of its own, which nobody else cancels; `stop` ends it early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tallystick.ids import RecordId
from tallystick.record import Record
from tallystick_platform.auth import Principal
from tallystick_platform.errors import PlatformError, RequestTimedOut
from tallystick_platform.exchange.committing import committed
from tallystick_platform.exchange.faults import ServerStopped
from tallystick_platform.exchange.parts import Parts
from tallystick_platform.exchange.records import Delivered, Event, terminal, would_be
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.store.entries import JournalEntry, Ticket

T = TypeVar("T")
Announce = Callable[[RecordId], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request that will have a record, whatever happens. Units: microseconds that the admission took."""

    ticket: Ticket
    admit_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recorded request. The failure, if any, is why the work did not come to its own end. Units: microseconds."""

    record: Record
    ticket: Ticket
    entry: JournalEntry
    failure: BaseException | None
    admit_us: int = 0
    commit_us: int = 0


class Work(Protocol):
    """What a request is admitted for. Used once, by one line."""

    async def prepare(self) -> Event:
        """Claim whatever the work needs, and say what the record will state. Raises: why it cannot be done at all."""
        ...

    async def carry_out(self, admitted: Admitted) -> None:
        """Do it. An error ends it as a failure; being cancelled means that it must leave at once."""
        ...

    def delivered(self, failure: BaseException | None) -> Delivered:
        """How far it came."""
        ...

    def close(self) -> None:
        """Give back what was claimed; called once, whatever happened."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """One request under way. Use it once: `run` in a task, `stop` from anywhere in the same event loop."""

    parts: Parts
    under_way: set[Line] = field(repr=False)
    principal: Principal
    http: HttpFacts
    work: Work
    timeout_s: float
    announce: Announce | None = None
    _stopped: PlatformError | None = field(default=None, init=False)
    _settled: bool = field(default=False, init=False)
    _breakable: asyncio.Task[object] | None = field(default=None, init=False)  # set while a wait may be broken off

    def stop(self, reason: PlatformError) -> None:
        """End the request early with this failure, if its outcome is not settled yet. The first reason counts."""
        if self._stopped is None and not self._settled:
            self._stopped = reason
            if self._breakable is not None:
                self._breakable.cancel()

    async def run(self) -> Recorded:
        """Take the request to its record.

        Raises: what the work's `prepare` raises; Overloaded, Draining, AdmissionClosed, RequestUnrecordable, JournalUnavailable: then
        nothing was admitted. AnswerWithheld: then nothing more of the answer may be released.
        """
        with self.parts.gate.enter(self.principal.token_id):
            timed_out = RequestTimedOut(timeout_s=self.timeout_s)
            timer = asyncio.get_running_loop().call_later(self.timeout_s, self.stop, timed_out)
            self.under_way.add(self)
            try:
                event = await self._until_stopped(self.work.prepare())
                admitted = await self._admit(event)
                failure = await self._carry_out(admitted)
                return await self._commit(admitted, failure)
            finally:
                self.work.close()
                self.under_way.discard(self)
                timer.cancel()

    async def _admit(self, event: Event) -> Admitted:
        parts = self.parts
        began_ns = parts.clock.monotonic_ns()
        draft = would_be(parts, self.principal, self.http, event)
        if self.announce is not None:
            await self.announce(draft.id)
        ticket = await parts.journal.admit(draft, token_id=self.principal.token_id)
        return Admitted(ticket=ticket, admit_us=(parts.clock.monotonic_ns() - began_ns) // 1000)

    async def _carry_out(self, admitted: Admitted) -> BaseException | None:
        """Have the work done; says why it failed, None if it did not."""
        try:
            await self._until_stopped(self.work.carry_out(admitted))
        except PlatformError as error:
            return error
        except Exception as error:  # noqa: BLE001  (an admitted request needs its record, whatever broke)
            self.parts.log_defect(error, admitted.ticket.record.id)
            return error
        finally:
            self._settled = True
        return None

    async def _commit(self, admitted: Admitted, failure: BaseException | None) -> Recorded:
        parts = self.parts
        began_ns = parts.clock.monotonic_ns()
        done = self.work.delivered(failure)
        record = terminal(admitted.ticket.record, failure, done, parts.clock.now_us())
        entry = await committed(parts, record, admitted.ticket)
        return Recorded(
            record=record,
            ticket=admitted.ticket,
            entry=entry,
            failure=failure,
            admit_us=admitted.admit_us,
            commit_us=(parts.clock.monotonic_ns() - began_ns) // 1000,
        )

    async def _until_stopped(self, waiting: Coroutine[Any, Any, T]) -> T:
        """What is awaited, unless `stop` breaks it off or did so before. Raises: then, the reason."""
        if self._stopped is not None:
            waiting.close()
            raise self._stopped
        task = self._breakable = asyncio.current_task()
        try:
            result = await waiting
            if self._stopped is None:
                return result
            reason = self._stopped  # which the work took no notice of
        except asyncio.CancelledError:
            reason = self._stopped or ServerStopped()
        except Exception:
            if self._stopped is None:
                raise
            reason = self._stopped  # whatever it ran into on its way out
        finally:
            self._breakable = None
            while task is not None and task.cancelling():
                task.uncancel()  # the wait was broken off; the line itself goes on to its record
        raise reason
