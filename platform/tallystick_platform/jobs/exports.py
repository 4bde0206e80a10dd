"""Export jobs, from the request that asks for one to the folder that it leaves.

A job has two records: the first says that it was taken and by when it will be done, the second, which follows the first, what became of
it. No admission is open while the exporter works, however long that takes. The steps, and what a crash after each leaves to the next start:

1. *Row*: the job is written down under the id that its first record will have. A crash: there is no such record, and the row is removed.
2. *Accept*: the request is admitted and recorded in one commit, and then answered. A crash: the job is queued again.
3. *Work*: `live.py`, `attempt.py`. A crash: the job is queued again; what lay on disk is removed.
4. *End*: the second record (`recording.py`), with all files by their digests. A crash: the row is settled by that record.
5. What a job that did not finish left on disk is removed. A crash: `start` does it.
6. The row takes its last state, and only `finished` shows files to anyone.

Work that is not done by its time is given up, and the second record says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import structlog

from tallystick.ids import Address, RecordId
from tallystick_platform.auth import Principal
from tallystick_platform.clock import Clock
from tallystick_platform.errors import Draining, StateConflict, UnknownModel
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import Cancelled, ServerStopped
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.exporter.errors import ExportRefused
from tallystick_platform.exporter.offers import Offers, offers
from tallystick_platform.exporter.spec import Format
from tallystick_platform.jobs.attempt import Attempt, Workshop, needed_bytes
from tallystick_platform.jobs.errors import (
    ExportBusy,
    ExportQueueFull,
    ExportUnsupported,
    TooManyExports,
    UnknownExport,
)
from tallystick_platform.jobs.facts import ExportFacts
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.live import US_PER_S, LiveJob, Submitted
from tallystick_platform.jobs.process import Exporter
from tallystick_platform.jobs.published import Published, export_files
from tallystick_platform.jobs.recording import JobRecords
from tallystick_platform.jobs.settling import Settling
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.registry import Registry
from tallystick_platform.store.jobs import UNFINISHED, ExportJob, JobPage, JobState, JobStore
from tallystick_platform.store.journal import Journal

MAX_QUEUED_EXPORTS = 16
MAX_QUEUED_PER_OWNER = 4
MAX_KEPT_PER_OWNER = 32  # finished, with their files
RETRY_QUEUE_S = 60
GIVE_UP_LIMIT_S = 30.0  # for the record of a job that is given up, while whoever gives it up waits
ID_BYTES = 12

LiveExport: TypeAlias = LiveJob[ExportJob, Attempt]

_log = structlog.get_logger(__name__)


class ExportJobs:
    """Every export of the service, used from one event loop. `random(n)` gives n unpredictable bytes.

    `limit_s` is the time from a job's request to its end.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        records: Journal,
        models: Registry,
        store: JobStore,
        folders: ExportFolders,
        exporter: Exporter,
        facts: ExportFacts,
        clock: Clock,
        random: Callable[[int], bytes],
        limit_s: float,
        signing_key: Path | None = None,
    ) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._random = random
        self._live: dict[str, LiveExport] = {}
        self._settling = Settling(store=store, folders=folders, clock=clock)
        self._records = JobRecords[ExportJob](
            exchange=exchange, journal=records, facts=facts, closing=lambda: self._settling.closing
        )
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
        for job in await in_thread(store.unfinished):
            if await self._records.was_accepted(job):
                await self._settling.settle_left(job, await self._records.end_of(job))
            else:
                await in_thread(store.remove, job.id, UNFINISHED)  # nobody was told of it
        swept = await in_thread(lambda: folders.sweep(store.ids()))
        again = await in_thread(store.unfinished)
        for job in again:
            live = self._live[job.id] = LiveExport(job.owner)
            live.task = asyncio.create_task(self._conclude(live, job), name=f"export {job.id}")
        _log.info("exports.started", resumed=len(again), swept=swept)
        return len(again)

    async def stop(self) -> None:
        """Break off what is under way; each job goes on at the next start, and is recorded when it has ended."""
        self._settling.closing = True
        for live in list(self._live.values()):
            live.stop(ServerStopped())
        tasks = [live.task for live in self._live.values() if live.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(
        self,
        *,
        principal: Principal,
        reference: str,
        format: Format,  # noqa: A002  the API's word
        quantization: str | None,
        http: HttpFacts,
    ) -> Submitted[ExportJob]:
        """Take an export into the queue; recorded and durable on return.

        Raises: UnknownModel, ExportUnsupported, DiskFull, TooManyExports, ExportQueueFull, AnswerWithheld, and what the gate and the
        journal refuse with
        """
        version = await in_thread(self._shop.models.resolve, reference, principal.address)
        offered, size_bytes = await in_thread(lambda: (self.offers(version), self._needed(version)))
        try:
            offered.require(format, quantization)
        except ExportRefused as error:
            raise ExportUnsupported(reference=version.reference, reason=error.reason) from error
        self.folders.need(size_bytes)
        if await in_thread(self._shop.store.kept, principal.address) >= MAX_KEPT_PER_OWNER:
            raise TooManyExports(limit=MAX_KEPT_PER_OWNER)
        self._check_room(principal.address)
        now_us = self._clock.now_us()
        job = ExportJob(
            id=f"exp_{self._random(ID_BYTES).hex()}",
            owner=principal.address,
            model_owner=version.model.owner,
            token_id=principal.token_id,
            path=http.path,
            model=version.model.id,
            version=version.version,
            source_digest=version.digest,
            dtype=version.dtype,
            format=format,
            quantization=quantization,
            record_id=RecordId(bytes(16)),  # it is known once the record is
            created_at=now_us,
            due_by=now_us + int(self._limit_s * US_PER_S),
        )
        live = self._live[job.id] = LiveExport(principal.address)
        live.task = asyncio.create_task(self._begin(live, job, principal, http), name=f"export {job.id}")
        return await asyncio.shield(live.accepted)

    def offers(self, version: ModelVersion) -> Offers:
        """The formats that a version can be exported to, and why not to the others. It reads from the disk. Raises: UnknownModel"""
        whole_model = self._base(version) or version
        return offers(self._shop.models.path(whole_model), whole_model.format)

    def _base(self, version: ModelVersion) -> ModelVersion | None:
        return None if version.base is None else self._shop.models.find(version.base, None)

    def _needed(self, version: ModelVersion) -> int:
        return needed_bytes(version, self._base(version))

    async def find(self, viewer: Address, job_id: str) -> ExportJob:
        """A job as it is at this moment.

        Raises: UnknownExport, also for what is somebody else's; RowTampered.
        """
        job = await in_thread(self._shop.store.get, job_id)
        if job is None or not job.visible_to(viewer):
            raise UnknownExport
        return self._as_it_is(job)

    async def published(self, viewer: Address, job_id: str) -> Published:
        """The files of a finished export. Raises: UnknownExport, ExportNotFinished, RowTampered"""
        return export_files(await self.find(viewer, job_id), self.folders.path(job_id))

    async def page(self, viewer: Address, *, cursor: int | None, limit: int) -> JobPage:
        """What exists for a viewer, newest first. Raises: RowTampered."""
        page = await in_thread(self._shop.store.page, viewer, cursor=cursor, limit=limit)
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
            removed = await in_thread(self._shop.store.remove, job_id, [s for s in JobState if s not in UNFINISHED])
        except StateConflict as error:  # it ended, or was removed, in between
            raise ExportBusy from error
        await in_thread(self.folders.discard, job_id)
        return removed

    async def _give_up(self, live: LiveExport, job: ExportJob) -> ExportJob:
        if not live.stop(Cancelled()):
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

    async def _begin(self, live: LiveExport, job: ExportJob, principal: Principal, http: HttpFacts) -> None:
        """A new job's task: steps 1 and 2, then the rest."""

        async def write_down(record_id: RecordId) -> None:
            nonlocal job
            job = await in_thread(self._written, replace(job, record_id=record_id))

        try:
            taken = await self._records.accept(job, principal, http, write_down)
        except Exception as error:  # noqa: BLE001  (whoever asked is waiting for it)
            live.accepted.set_exception(error)
            live.accepted.exception()  # seen, also if the one who asked has left
            if not await self._records.stands(job, lambda: self._shop.store.remove(job.id, UNFINISHED)):
                self._live.pop(job.id, None)
                return
        else:
            live.accepted.set_result(Submitted(job=job, ticket=taken.ticket, entry=taken.entry))
        await self._conclude(live, job)

    def _written(self, job: ExportJob) -> ExportJob:
        """Write the job's row. From then on its version is not removed; one that was removed just before is gone.

        Raises: UnknownModel
        """
        written = self._shop.store.insert(job)
        try:
            self._shop.models.find(f"{job.model}@{job.version}", None)
        except UnknownModel:
            self._shop.store.remove(job.id, UNFINISHED)
            raise
        return written

    async def _conclude(self, live: LiveExport, job: ExportJob) -> None:
        """Steps 3 to 6."""
        attempt = Attempt(self._shop, job)
        try:
            failure = await live.work_through(attempt, self._clock, self._limit_s)
            if not isinstance(failure, ServerStopped):
                ended = await self._records.end(attempt.job, failure, attempt.delivered())
                if ended is None:
                    failure = ServerStopped()  # the next start does the work again
                else:
                    attempt.job, failure = replace(attempt.job, ended_by=ended[0]), ended[1]
            await self._settling.settle(attempt.job, failure, begun=attempt.began)
        except Exception as error:  # noqa: BLE001  (nobody waits for this task; the next start settles the row by the record)
            _log.error("export.not_settled", job=job.id, error=type(error).__name__, exc_info=error)
        finally:
            self._live.pop(job.id, None)
