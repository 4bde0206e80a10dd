"""Export jobs, from the request that asks for one to the folder that it leaves.

Each job is one task and one event line after another: admitted when it is asked for, recorded when it ends, and admitted again when a
restart finds it unfinished. The row tells the job's state, and only `finished` shows files to anyone. The order of an end:

1. The record is durable (the line's `finish`; a crash before it: see attempt.py).
2. What a job that did not finish left on disk is removed. A crash before it: `start` does.
3. The row takes its last state. A crash before it: `start` settles it by the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from tallystick.ids import Address
from tallystick.receipts import SignedAdmission
from tallystick_platform.auth import Principal
from tallystick_platform.clock import Clock
from tallystick_platform.errors import (
    Draining,
    JournalUnavailable,
    Overloaded,
    StateConflict,
)
from tallystick_platform.exchange import (
    AdmittedEvent,
    AnswerWithheld,
    Cancelled,
    Event,
    EventLine,
    HttpFacts,
    StopReason,
)
from tallystick_platform.jobs.attempt import Attempt, Models, NeverBegun, Workshop, whole
from tallystick_platform.jobs.errors import (
    ExportBusy,
    ExportQueueFull,
    ExportUnsupported,
    TooManyExports,
    UnknownExport,
)
from tallystick_platform.jobs.facts import ExportFacts, new_job
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import Exporter
from tallystick_platform.jobs.settling import Records, Settling
from tallystick_platform.store.jobs import UNFINISHED, ExportJob, JobPage, JobState, JobStore

MAX_QUEUED_EXPORTS = 16
MAX_QUEUED_PER_OWNER = 4
MAX_KEPT_PER_OWNER = 32  # finished, with their files
RETRY_QUEUE_S = 60
RETRY_ADMISSION_S = 5.0
EXPORTABLE = frozenset({"safetensors"})
ID_BYTES = 12

_log = structlog.get_logger(__name__)


class Admissions(Protocol):
    """The exchange, as far as jobs use it."""

    def event(self, *, principal: Principal, event: Event, timeout_s: float | None) -> EventLine: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that was taken, and the signed promise to record it."""

    job: ExportJob
    admission: SignedAdmission


class _Live:
    """A job under way in this process."""

    __slots__ = ("accepted", "attempt", "line", "owner", "task")

    def __init__(self, owner: Address) -> None:
        self.owner = owner
        self.accepted: asyncio.Future[Submitted] = asyncio.get_running_loop().create_future()
        self.line: EventLine | None = None
        self.attempt: Attempt | None = None
        self.task: asyncio.Task[None] | None = None


class ExportJobs:
    """Every export of the service, used from one event loop. `random(n)` gives n unpredictable bytes."""

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
        signing_key: Path | None = None,
    ) -> None:
        self._exchange = exchange
        self._facts = facts
        self._clock = clock
        self._random = random
        self._live: dict[str, _Live] = {}
        self._settling = Settling(store=store, folders=folders, records=records, clock=clock)
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
        left = await whole(store.unfinished)
        for job in left:
            await self._settling.settle_left(job)
        swept = await whole(lambda: folders.sweep(store.ids()))
        again = await whole(store.unfinished)
        for job in again:
            live = self._live[job.id] = _Live(job.owner)
            live.task = asyncio.create_task(self._resume(live, job), name=f"export {job.id}")
        _log.info("exports.started", resumed=len(again), swept=swept)
        return len(again)

    async def stop(self) -> None:
        """End what is under way; each attempt gets its record, and each job goes on at the next start."""
        self._settling.closing = True
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for live in list(self._live.values()):
            if live.line is not None:
                live.line.stop(StopReason.SERVER_STOPPED)
            elif live.task is not None:
                live.task.cancel()  # it waits to be admitted again
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
        """Take an export into the queue; durable and admitted on return.

        Raises: UnknownModel, ExportUnsupported, DiskFull, TooManyExports, ExportQueueFull, Overloaded, Draining, JournalUnavailable
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
            http,
            self._clock.now_us(),
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
        if live.line is None:  # it waits to be admitted again, after a restart
            if live.task is not None:
                live.task.cancel()
                await asyncio.wait([live.task])
            self._live.pop(job.id, None)
            await self._settling.settle(job, Cancelled(), begun=False)
            return await self.find(job.owner, job.id)
        if not live.line.stop(StopReason.CANCELLED):
            raise ExportBusy  # its work is done, and its record under way
        if live.task is not None:
            await asyncio.wait([live.task])
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
        """A new job's task: admission first, then the row, then the work."""
        try:
            line = live.line = self._exchange.event(
                principal=principal, event=self._facts.export(job, http), timeout_s=None
            )
            admitted = await line.admit()
            job = replace(job, record_id=admitted.ticket.record.id)
            job = await self._or_record(line, admitted, lambda: self._shop.store.insert(job))
            live.accepted.set_result(Submitted(job=job, admission=admitted.ticket.admission))
        except Exception as error:  # noqa: BLE001  (whoever asked is waiting for it)
            self._live.pop(job.id, None)
            live.accepted.set_exception(error)
            live.accepted.exception()  # seen, also if the one who asked has left
            return
        await self._conclude(live, line, admitted, job)

    async def _resume(self, live: _Live, job: ExportJob) -> None:
        """A left job's task: a new admission, as soon as there is room, then the work."""
        principal = Principal(token_id=job.token_id, name="", address=job.owner)
        http = HttpFacts(method="POST", path=job.path, request_hash=job.request_hash, streamed=False)
        event = self._facts.export(job, http, resumes=job.record_id)
        try:
            line, admitted = await self._admitted_again(principal, event)
            live.line = line
            record_id = admitted.ticket.record.id
            job = await self._or_record(
                line, admitted, lambda: self._shop.store.change(job.id, UNFINISHED, record_id=record_id)
            )
        except Exception as error:  # noqa: BLE001  (whatever it is, the row is taken up again at the next start)
            _log.warning("export.not_resumed", job=job.id, error=type(error).__name__)
            self._live.pop(job.id, None)
            return
        await self._conclude(live, line, admitted, job)

    async def _admitted_again(self, principal: Principal, event: Event) -> tuple[EventLine, AdmittedEvent]:
        """Raises: Draining, JournalClosed."""
        while True:
            line = self._exchange.event(principal=principal, event=event, timeout_s=None)
            try:
                return line, await line.admit()
            except (Overloaded, JournalUnavailable):
                await asyncio.sleep(RETRY_ADMISSION_S)

    async def _or_record(self, line: EventLine, admitted: AdmittedEvent, write: Callable[[], ExportJob]) -> ExportJob:
        """Write an admitted job's row; where that fails, the admission still gets its record."""
        try:
            return await whole(write)
        except Exception as error:
            await line.finish(admitted, NeverBegun(error))
            raise

    async def _conclude(self, live: _Live, line: EventLine, admitted: AdmittedEvent, job: ExportJob) -> None:
        """The work, its record, and the job's last state."""
        attempt = live.attempt = Attempt(self._shop, job)
        failure: BaseException | None
        try:
            failure = (await line.finish(admitted, attempt)).failure
        except AnswerWithheld as error:
            failure = error
        try:
            await self._settling.settle(attempt.job, failure, begun=attempt.began)
        except Exception as error:  # noqa: BLE001  (nobody waits for this task; the next start settles the row by the record)
            _log.error("export.not_settled", job=job.id, error=type(error).__name__, exc_info=error)
        finally:
            self._live.pop(job.id, None)
