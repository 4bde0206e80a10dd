"""A job under way in this process: its work, within its time, until it is done or broken off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.errors import PlatformError, RequestTimedOut
from tallystick_platform.exchange.faults import ServerStopped
from tallystick_platform.store.entries import JournalEntry, Ticket

US_PER_S = 1_000_000

_log = structlog.get_logger(__name__)


class Due(Protocol):
    """A job that was promised to be ended by its time. Units: microseconds UTC."""

    @property
    def id(self) -> str: ...

    @property
    def due_by(self) -> int: ...


J_co = TypeVar("J_co", bound=Due, covariant=True)


class Attempting(Protocol[J_co]):
    """One attempt at a job; being cancelled means that it must leave."""

    @property
    def job(self) -> J_co: ...

    async def carry_out(self) -> None: ...


J = TypeVar("J", bound=Due)
A = TypeVar("A", bound=Attempting[Due])


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Generic[J]):
    """A job that was taken, and the record that says so."""

    job: J
    ticket: Ticket
    entry: JournalEntry


@dataclass(eq=False)
class LiveJob(Generic[J, A]):
    """One job. `settled` once its work is over; `task` is everything about it, `work` the attempt alone."""

    owner: Address
    accepted: asyncio.Future[Submitted[J]] = field(default_factory=asyncio.Future)
    attempt: A | None = None
    stopped: PlatformError | None = None
    settled: bool = False
    task: asyncio.Task[None] | None = None
    work: asyncio.Task[None] | None = None

    def stop(self, reason: PlatformError) -> bool:
        """Break the work off with this failure; says whether that came in time. The first reason counts."""
        if self.settled:
            return False
        if self.stopped is None:
            self.stopped = reason
            if self.work is not None:
                self.work.cancel()
        return True

    async def work_through(self, attempt: A, clock: Clock, limit_s: float) -> BaseException | None:
        """Carry the attempt out within the job's time; says why it failed, None if it did not. `limit_s` is for the words alone."""
        job = attempt.job
        self.attempt = attempt
        try:
            left_s = (job.due_by - clock.now_us()) / US_PER_S
            if left_s <= 0:
                return RequestTimedOut(timeout_s=limit_s)
            if self.stopped is not None:
                return self.stopped
            return self._failure(await self._carried_out(attempt, left_s, limit_s), job)
        finally:
            self.settled = True

    async def _carried_out(self, attempt: A, left_s: float, limit_s: float) -> asyncio.Task[None]:
        """The work, over in one way or another."""
        work = self.work = asyncio.create_task(attempt.carry_out(), name=f"attempt {attempt.job.id}")
        try:
            await asyncio.wait([work], timeout=left_s)
            if not work.done():
                self.stop(RequestTimedOut(timeout_s=limit_s))
                await asyncio.wait([work])
        finally:
            work.cancel()
        return work

    def _failure(self, work: asyncio.Task[None], job: Due) -> BaseException | None:
        if work.cancelled():
            return self.stopped or ServerStopped()
        error = work.exception()
        if error is None:
            return None
        if self.stopped is not None:
            return self.stopped
        if not isinstance(error, PlatformError):
            _log.error("job.defect", job=job.id, error=type(error).__name__, exc_info=error)
        return error
