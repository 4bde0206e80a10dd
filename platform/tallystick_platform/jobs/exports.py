"""Export jobs, from the request that asks for one to the folder that it leaves.

A job has two records: the first says that it was taken and by when it will be done, the second, which follows the first, what became of
it. No admission is open while the exporter works, however long that takes. The steps, and what a crash after each leaves to the next start:

1. *Row*: the job is written down under the id that its first record will have. A crash: there is no such record, and the row is removed.
2. *Accept*: the request is admitted and recorded in one commit, and then answered. A crash: the job is queued again.
3. *Work*: `attempt.py`. A crash: the job is queued again; what lay on disk is removed.
4. *End*: the second record, with all files by their digests. A crash: the row is settled by that record.
5. What a job that did not finish left on disk is removed. A crash: `start` does it.
6. The row takes its last state, and only `finished` shows files to anyone.

Work that is not done by its time is given up, and the second record says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from tallystick.errors import TallystickError
from tallystick.ids import Address, RecordId
from tallystick_platform.auth import Principal
from tallystick_platform.clock import Clock
from tallystick_platform.errors import (
    AdmissionClosed,
    CannotFollow,
    Draining,
    PlatformError,
    RequestTimedOut,
    StateConflict,
)
from tallystick_platform.exchange import (
    AnswerWithheld,
    Delivered,
    Event,
    EventLine,
    HttpFacts,
    Recorded,
    ServerStopped,
    StopReason,
)
from tallystick_platform.exchange.faults import failure_of
from tallystick_platform.jobs.attempt import Attempt, Models, Workshop, whole
from tallystick_platform.jobs.errors import (
    ExportBusy,
    ExportQueueFull,
    ExportUnsupported,
    Interrupted,
    TooManyExports,
    UnknownExport,
    Unrecordable,
)
from tallystick_platform.jobs.facts import ExportFacts, new_job
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import Exporter
from tallystick_platform.jobs.settling import MAX_ATTEMPTS, Settling
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.store.jobs import UNFINISHED, ExportJob, JobPage, JobState, JobStore
from tallystick_platform.store.records import StoredRecord

MAX_QUEUED_EXPORTS = 16
MAX_QUEUED_PER_OWNER = 4
MAX_KEPT_PER_OWNER = 32  # finished, with their files
RETRY_QUEUE_S = 60
RETRY_RECORD_S = 5.0
GIVE_UP_LIMIT_S = 30.0  # for the record of a job that is given up, while whoever gives it up waits
US_PER_S = 1_000_000
EXPORTABLE = frozenset({"safetensors"})
ID_BYTES = 12

_log = structlog.get_logger(__name__)


class Admissions(Protocol):
    """The exchange, as far as jobs and downloads use it."""

    def event(self, *, principal: Principal, event: Event, timeout_s: float | None) -> EventLine: ...

    async def accept(
        self, *, principal: Principal, event: Event, due_by: int, announce: Callable[[RecordId], Awaitable[None]]
    ) -> Recorded: ...

    async def end(
        self, *, principal: Principal, event: Event, failure: BaseException | None, done: Delivered
    ) -> Recorded: ...


class Records(Protocol):
    """The journal, as far as jobs read it."""

    async def entry(self, record_id: RecordId) -> StoredRecord | None: ...

    async def follower(self, record_id: RecordId) -> StoredRecord | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that was taken, and the record that says so."""

    job: ExportJob
    ticket: Ticket
    entry: JournalEntry


class _Live:
    """A job under way in this process."""

    __slots__ = ("accepted", "attempt", "owner", "settled", "stopped", "task", "work")

    def __init__(self, owner: Address) -> None:
        self.owner = owner
        self.accepted: asyncio.Future[Submitted] = asyncio.get_running_loop().create_future()
        self.attempt: Attempt | None = None
        self.stopped: StopReason | None = None
        self.settled = False
        self.task: asyncio.Task[None] | None = None
        self.work: asyncio.Task[None] | None = None

    def stop(self, reason: StopReason) -> bool:
        """Break the work off; says whether that came in time. The first reason counts."""
        if self.settled:
            return False
        if self.stopped is None:
            self.stopped = reason
            if self.work is not None:
                self.work.cancel()
        return True


class ExportJobs:
    """Every export of the service, used from one event loop. `random(n)` gives n unpredictable bytes.

    `limit_s` is the time from a job's request to its end.
    """

    def __init__(
        self,
        *,
        exchange: Admissions,
        records: Records,
        models: Models,
        store: JobStore,
        folders: ExportFolders,
        exporter: Exporter,
        facts: ExportFacts,
        clock: Clock,
        random: Callable[[int], bytes],
        limit_s: float,
        signing_key: Path | None = None,
    ) -> None:
        self._exchange = exchange
        self._records = records
        self._limit_s = limit_s
        self._facts = facts
        self._clock = clock
        self._random = random
        self._live: dict[str, _Live] = {}
        self._settling = Settling(store=store, folders=folders, clock=clock)
        self.folders = folders
        self._shop = Workshop(
            models=models,
            store=store,
            folders=folders,
            exporter=exporter,
            clock=clock,
            signing_key=signing_key,
            turn=asyncio.Lock(),
        )

    async def start(self) -> int:
        """Settle what a process that died left, and queue it again; says how many jobs go on.

        Requires: the journal has recovered.
        Raises: RowTampered
        """
        store, folders = self._shop.store, self.folders
        for job in await whole(store.unfinished):
            if await self._records.entry(job.record_id) is None:
                await whole(lambda job_id=job.id: store.remove(job_id, UNFINISHED))  # type: ignore[misc]  # nobody was told of it
            else:
                await self._settling.settle_left(job, await self._records.follower(job.record_id))
        swept = await whole(lambda: folders.sweep(store.ids()))
        again = await whole(store.unfinished)
        for job in again:
            live = self._live[job.id] = _Live(job.owner)
            live.task = asyncio.create_task(self._conclude(live, job), name=f"export {job.id}")
        _log.info("exports.started", resumed=len(again), swept=swept)
        return len(again)

    async def stop(self) -> None:
        """Break off what is under way; each job goes on at the next start, and is recorded when it has ended."""
        self._settling.closing = True
        for live in list(self._live.values()):
            live.stop(StopReason.SERVER_STOPPED)
        tasks = [live.task for live in self._live.values() if live.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(
        self,
        *,
        principal: Principal,
        reference: str,
        format: str,  # noqa: A002  the API's word
        quantization: str | None,
        http: HttpFacts,
    ) -> Submitted:
        """Take an export into the queue; recorded and durable on return.

        Raises: UnknownModel, ExportUnsupported, DiskFull, TooManyExports, ExportQueueFull, AnswerWithheld, and what the gate and the
        journal refuse with
        """
        version = await whole(lambda: self._shop.models.resolve(reference, principal.address))
        if version.format not in EXPORTABLE:
            raise ExportUnsupported(reference=version.reference, format=version.format)
        self.folders.need(version.size_bytes)
        if await whole(lambda: self._shop.store.kept(principal.address)) >= MAX_KEPT_PER_OWNER:
            raise TooManyExports(limit=MAX_KEPT_PER_OWNER)
        self._check_room(principal.address)
        job = new_job(
            f"exp_{self._random(ID_BYTES).hex()}",
            principal,
            version,
            (format, quantization),
            http.path,
            now_us=self._clock.now_us(),
            limit_us=int(self._limit_s * US_PER_S),
        )
        live = self._live[job.id] = _Live(principal.address)
        live.task = asyncio.create_task(self._begin(live, job, principal, http), name=f"export {job.id}")
        return await asyncio.shield(live.accepted)

    async def find(self, viewer: Address, job_id: str) -> ExportJob:
        """A job as it is at this moment.

        Raises: UnknownExport, also for what is somebody else's; RowTampered.
        """
        job = await whole(lambda: self._shop.store.get(job_id))
        if job is None or not job.visible_to(viewer):
            raise UnknownExport
        return self._as_it_is(job)

    async def page(self, viewer: Address, *, cursor: int | None, limit: int) -> JobPage:
        """What exists for a viewer, newest first. Raises: RowTampered."""
        page = await whole(lambda: self._shop.store.page(viewer, cursor=cursor, limit=limit))
        return replace(page, jobs=[self._as_it_is(job) for job in page.jobs])

    async def cancel(self, viewer: Address, job_id: str) -> ExportJob:
        """Give up what is not finished, and remove what is: its files and its row, not its record.

        Raises: UnknownExport, ExportBusy, RowTampered
        """
        job = await self.find(viewer, job_id)
        live = self._live.get(job_id)
        if live is not None:
            return await self._give_up(live, job)
        try:
            removed = await whole(lambda: self._shop.store.remove(job_id, [s for s in JobState if s not in UNFINISHED]))
        except StateConflict as error:  # it ended, or was removed, in between
            raise ExportBusy from error
        await whole(lambda: self.folders.discard(job_id))
        return removed

    async def _give_up(self, live: _Live, job: ExportJob) -> ExportJob:
        if not live.stop(StopReason.CANCELLED):
            raise ExportBusy  # its work is done, and its record under way
        if live.task is not None:
            await asyncio.wait([live.task], timeout=GIVE_UP_LIMIT_S)
        if job.id in self._live:
            raise ExportBusy  # it is given up, and its record waits for the journal
        return await self.find(job.owner, job.id)

    def _as_it_is(self, job: ExportJob) -> ExportJob:
        live = self._live.get(job.id)
        if live is None or live.attempt is None or job.state not in UNFINISHED:
            return job
        attempt = live.attempt
        return replace(attempt.job, state=attempt.state, stage=attempt.stage, progress=attempt.progress)

    def _check_room(self, owner: Address) -> None:
        owned = sum(live.owner == owner for live in self._live.values())
        for bound, limit, found in (
            ("exports of this sender that wait", MAX_QUEUED_PER_OWNER, owned),
            ("exports that wait", MAX_QUEUED_EXPORTS, len(self._live)),
        ):
            if found >= limit:
                raise ExportQueueFull(bound=bound, limit=limit, retry_after_s=RETRY_QUEUE_S)
        if self._settling.closing:
            raise Draining(retry_after_s=RETRY_QUEUE_S)

    async def _begin(self, live: _Live, job: ExportJob, principal: Principal, http: HttpFacts) -> None:
        """A new job's task: steps 1 and 2, then the rest."""

        async def write_down(record_id: RecordId) -> None:
            nonlocal job
            job = await whole(lambda: self._shop.store.insert(replace(job, record_id=record_id)))

        try:
            taken = await self._exchange.accept(
                principal=principal, event=self._facts.accepted(job, http), due_by=job.due_by, announce=write_down
            )
        except Exception as error:  # noqa: BLE001  (whoever asked is waiting for it)
            live.accepted.set_exception(error)
            live.accepted.exception()  # seen, also if the one who asked has left
            if not await self._stands(job):
                self._live.pop(job.id, None)
                return
        else:
            live.accepted.set_result(Submitted(job=job, ticket=taken.ticket, entry=taken.entry))
        await self._conclude(live, job)

    async def _stands(self, job: ExportJob) -> bool:
        """Whether a job was accepted although its commit was not confirmed: then it is done. Else its row is removed."""
        while job.number and not self._settling.closing:
            try:
                if await self._records.entry(job.record_id) is not None:
                    return True
                await whole(lambda: self._shop.store.remove(job.id, UNFINISHED))
            except Exception as error:  # noqa: BLE001  (the database's errors are many, and all of them mean: not now)
                _log.warning("export.not_known", job=job.id, error=type(error).__name__)
                await asyncio.sleep(RETRY_RECORD_S)
            else:
                break
        return False

    async def _conclude(self, live: _Live, job: ExportJob) -> None:
        """Steps 3 to 6."""
        attempt = live.attempt = Attempt(self._shop, job)
        failure: BaseException | None
        try:
            failure = await self._worked(live, attempt)
            live.settled = True
            if not isinstance(failure, ServerStopped):
                failure = await self._recorded(attempt, failure)
            await self._settling.settle(attempt.job, failure, begun=attempt.began)
        except Exception as error:  # noqa: BLE001  (nobody waits for this task; the next start settles the row by the record)
            _log.error("export.not_settled", job=job.id, error=type(error).__name__, exc_info=error)
        finally:
            self._live.pop(job.id, None)

    async def _worked(self, live: _Live, attempt: Attempt) -> BaseException | None:
        """Step 3, within the job's time; says why it failed, None if it did not."""
        job = attempt.job
        if job.attempts >= MAX_ATTEMPTS:
            return Interrupted(attempts=job.attempts)
        left_s = (job.due_by - self._clock.now_us()) / US_PER_S
        if left_s <= 0:
            return RequestTimedOut(timeout_s=self._limit_s)
        if live.stopped is not None:
            return failure_of(live.stopped, self._limit_s)
        work = live.work = asyncio.create_task(attempt.carry_out(), name=f"attempt {job.id}")
        try:
            await asyncio.wait([work], timeout=left_s)
            if not work.done():
                live.stop(StopReason.TIMED_OUT)
                await asyncio.wait([work])
        finally:
            work.cancel()
        return self._failure_of(live, job, work)

    def _failure_of(self, live: _Live, job: ExportJob, work: asyncio.Task[None]) -> BaseException | None:
        if work.cancelled():
            return failure_of(live.stopped or StopReason.SERVER_STOPPED, self._limit_s)
        error = work.exception()
        if error is None:
            return None
        if live.stopped is not None:
            return failure_of(live.stopped, self._limit_s)
        if not isinstance(error, PlatformError):
            _log.error("export.defect", job=job.id, error=type(error).__name__, exc_info=error)
        return error

    async def _recorded(self, attempt: Attempt, failure: BaseException | None) -> BaseException | None:
        """Step 4, as soon as the journal takes it: it was promised. Says how the job ended then."""
        done = attempt.delivered()
        while not self._settling.closing:
            try:
                attempt.job = replace(attempt.job, ended_by=await self._end(attempt.job, failure, done))
            except (AnswerWithheld, AdmissionClosed) as error:
                _log.warning("export.not_recorded", job=attempt.job.id, reason=str(error))
                await asyncio.sleep(RETRY_RECORD_S)
            except TallystickError as error:  # what it made does not fit a record: then that is how it ended
                _log.error("export.unrecordable", job=attempt.job.id, error=type(error).__name__, exc_info=error)
                failure, done = Unrecordable(), replace(done, outputs=())
            else:
                return failure
        return ServerStopped()  # the next start does the work again

    async def _end(self, job: ExportJob, failure: BaseException | None, done: Delivered) -> RecordId:
        """Write the second record, and give its id; also where an earlier try came about without being confirmed."""
        principal = Principal(token_id=job.token_id, name="", address=job.owner)
        try:
            recorded = await self._exchange.end(
                principal=principal, event=self._facts.ended(job), failure=failure, done=done
            )
        except CannotFollow:
            stands = await self._records.follower(job.record_id)
            if stands is None:
                raise
            return stands.record_id
        return recorded.record.id
