"""Jobs of several requests for answers, from the request that asks for one to the answers that it leaves.

A job has two records, as an export has: the first says that it was taken, and by when it will be done; the second follows it and says what
became of it. Each of its requests has a record of its own between them (`asking.py`). The steps, and what a crash after each leaves:

1. *Row*: the job and its requests are written down under the id that its first record will have. A crash: no such record, and they go.
2. *Accept*: the job is admitted and recorded in one commit, and then answered. A crash: it goes on at the next start.
3. *Work*: `live.py`, `asking.py`. A crash: the next start goes on with what is not answered yet.
4. *End*: the second record (`recording.py`). A crash: the row is settled by that record.
5. The row takes its last state. The answers of a batch go into files in the same transaction.

Whatever is kept of a job is forgotten when its time is over; its records stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import structlog

from tallystick.ids import Address, RecordId
from tallystick.record import Provider, State
from tallystick_platform.auth import Principal
from tallystick_platform.errors import Draining, RequestTimedOut
from tallystick_platform.exchange.faults import Cancelled, ServerStopped, fault_of
from tallystick_platform.exchange.records import Event
from tallystick_platform.exchange.request import HttpFacts
from tallystick_platform.jobs.asking import Desk, WorkAttempt
from tallystick_platform.jobs.batch_lines import batch_files
from tallystick_platform.jobs.live import US_PER_S, LiveJob, Submitted
from tallystick_platform.jobs.recording import JobRecords
from tallystick_platform.jobs.settling import until_written
from tallystick_platform.jobs.work_errors import JobBusy, JobQueueFull, NoLineAnswered, UnknownJob
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.store.jobs import JobFault
from tallystick_platform.store.kept_files import FileStore
from tallystick_platform.store.records import StoredRecord
from tallystick_platform.store.work import (
    NO_RECORD,
    OPEN,
    LineAsked,
    Work,
    WorkKind,
    WorkLine,
    WorkPage,
    WorkState,
)

MAX_OPEN_JOBS: Final = 256
MAX_OPEN_PER_OWNER: Final = 32
KEEP_S: Final = 7 * 86_400
"""How long a job, its answers and every file are kept."""
SWEEP_S: Final = 3_600.0
RETRY_QUEUE_S: Final = 30
GIVE_UP_LIMIT_S: Final = 30.0  # for the record of a job that is given up, while whoever gives it up waits

STATED: Final = "stated"
PROMPT: Final = "prompt"
TASK_NAMES: Final = {WorkKind.REMOTE: "job", WorkKind.NATIVE: "job", WorkKind.BATCH: "batch"}

LiveWork: TypeAlias = LiveJob[Work, WorkAttempt]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFacts:
    """What both records of a job state. Its price is that of its requests, and stands in their records."""

    provider: Provider

    def accepted(self, job: Work) -> Event:
        """What the record that takes a job states."""
        return Event(
            task=TASK_NAMES[job.kind],
            model=None,
            parameters=job.asked[STATED],
            gpu=None,
            provider=self.provider,
            price=None,
            prompt=job.asked[PROMPT],
        )

    def ended(self, job: Work) -> Event:
        """What the record that ends it states."""
        return replace(self.accepted(job), prompt=None, follows=job.record_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A job as it is at this moment, with its lines; `said` is what those under way have answered until now."""

    work: Work
    lines: Sequence[WorkLine]
    said: dict[int, str]


class WorkJobs:
    """Every job of the service, used from one event loop."""

    def __init__(self, *, desk: Desk, files: FileStore, facts: WorkFacts) -> None:
        self._desk = desk
        self._files = files
        self._live: dict[str, LiveWork] = {}
        self._closing = False
        self._sweeping: asyncio.Task[None] | None = None
        self._records = JobRecords[Work](
            exchange=desk.exchange, journal=desk.records, facts=facts, closing=lambda: self._closing
        )

    async def start(self) -> int:
        """Settle what a process that died left, and go on with the rest; says how many jobs that are.

        Requires: the journal has recovered.
        Raises: RowTampered
        """
        store = self._desk.store
        for work in await in_thread(store.unfinished):
            if not await self._records.was_accepted(work):
                await in_thread(store.remove, work.id, OPEN)  # nobody was told of it
                continue
            end = await self._records.end_of(work)
            if end is not None:
                await self._settle_left(work, end)
                continue
            live = self._live[work.id] = LiveWork(work.owner)
            live.task = asyncio.create_task(self._conclude(live, work), name=f"job {work.id}")
        self._sweeping = asyncio.create_task(self._sweep(), name="old jobs")
        _log.info("jobs.started", resumed=len(self._live))
        return len(self._live)

    def drain(self) -> None:
        """Begin nothing new. Requests under way come to their end, or to the end of the server's patience."""
        self._closing = True
        for live in list(self._live.values()):
            live.stop(ServerStopped())

    async def stop(self) -> None:
        """End what is under way; each job goes on at the next start."""
        self.drain()
        for live in list(self._live.values()):
            if live.attempt is not None:
                live.attempt.stop_lines(ServerStopped())
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if self._sweeping is not None:
            self._sweeping.cancel()
            tasks.append(self._sweeping)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def submit(
        self,
        *,
        principal: Principal,
        kind: WorkKind,
        work_id: str,
        http: HttpFacts,
        lines: Sequence[LineAsked],
        limit_s: float,
        stated: dict[str, Any],
        prompt: Any,
        asked: dict[str, Any],
    ) -> Submitted[Work]:
        """Take a job into the queue; recorded and durable on return.

        `stated` and `prompt` are for its records, `asked` is what its address shows again.

        Raises: JobQueueFull, Draining, AnswerWithheld, and what the gate and the journal refuse with
        """
        self._check_room(principal.address)
        now_us = self._desk.clock.now_us()
        work = Work(
            id=work_id,
            number=0,
            kind=kind,
            owner=principal.address,
            token_id=principal.token_id,
            path=http.path,
            state=WorkState.QUEUED,
            lines=len(lines),
            completed=0,
            failed=0,
            record_id=NO_RECORD,
            ended_by=None,
            error=None,
            asked={**asked, STATED: stated, PROMPT: prompt},
            created_at=now_us,
            due_by=now_us + int(limit_s * US_PER_S),
            started_at=None,
            finished_at=None,
            keep_until=None,
        )
        live = self._live[work.id] = LiveWork(principal.address)
        live.task = asyncio.create_task(self._begin(live, work, lines, principal, http), name=f"job {work.id}")
        return await asyncio.shield(live.accepted)

    async def find(self, owner: Address, kind: WorkKind, work_id: str) -> Work:
        """A job as it is at this moment. Raises: UnknownJob, RowTampered"""
        work = await in_thread(lambda: self._desk.store.get(work_id, kind, owner))
        if work is None or work.record_id == NO_RECORD:
            raise UnknownJob
        return self._as_it_is(work)

    async def show(self, owner: Address, kind: WorkKind, work_id: str) -> Shown:
        """The same with its lines. Raises: UnknownJob, RowTampered"""
        work = await self.find(owner, kind, work_id)
        lines = await in_thread(lambda: self._desk.store.lines(work.id))
        live = self._live.get(work.id)
        said = {} if live is None or live.attempt is None else dict(live.attempt.said)
        return Shown(work=work, lines=lines, said=said)

    async def page(self, owner: Address, kind: WorkKind, *, cursor: int | None, limit: int) -> WorkPage:
        """An owner's jobs, newest first. Raises: RowTampered"""
        page = await in_thread(lambda: self._desk.store.page(owner, kind, cursor=cursor, limit=limit))
        return replace(page, works=[self._as_it_is(work) for work in page.works])

    async def cancel(self, owner: Address, kind: WorkKind, work_id: str) -> Work:
        """Give up what is not done. A job that has ended stays as it is.

        Raises: UnknownJob, JobBusy, RowTampered
        """
        work = await self.find(owner, kind, work_id)
        live = self._live.get(work_id)
        if live is None:
            return work
        if not live.stop(Cancelled()):
            raise JobBusy  # its work is done, and its record under way
        if live.task is not None:
            await asyncio.wait([live.task], timeout=GIVE_UP_LIMIT_S)
        if work_id in self._live:
            raise JobBusy  # it is given up, and its record waits for the journal
        return await self.find(owner, kind, work_id)

    def _as_it_is(self, work: Work) -> Work:
        live = self._live.get(work.id)
        if live is None or live.attempt is None or work.state not in OPEN:
            return work
        return replace(work, completed=live.attempt.completed, failed=live.attempt.failed)

    def _check_room(self, owner: Address) -> None:
        owned = sum(live.owner == owner for live in self._live.values())
        for bound, limit, found in (
            ("jobs of this sender that are not done", MAX_OPEN_PER_OWNER, owned),
            ("jobs that are not done", MAX_OPEN_JOBS, len(self._live)),
        ):
            if found >= limit:
                raise JobQueueFull(bound=bound, limit=limit, retry_after_s=RETRY_QUEUE_S)
        if self._closing:
            raise Draining(retry_after_s=RETRY_QUEUE_S)

    async def _begin(
        self, live: LiveWork, work: Work, lines: Sequence[LineAsked], principal: Principal, http: HttpFacts
    ) -> None:
        """A new job's task: steps 1 and 2, then the rest."""
        store = self._desk.store

        async def write_down(record_id: RecordId) -> None:
            nonlocal work
            work = await in_thread(lambda: store.insert(replace(work, record_id=record_id), lines))

        try:
            taken = await self._records.accept(work, principal, http, write_down)
        except Exception as error:  # noqa: BLE001  (whoever asked is waiting for it)
            live.accepted.set_exception(error)
            live.accepted.exception()  # seen, also if the one who asked has left
            if not await self._records.stands(work, lambda: store.remove(work.id, OPEN)):
                self._live.pop(work.id, None)
                return
        else:
            live.accepted.set_result(Submitted(job=work, ticket=taken.ticket, entry=taken.entry))
        await self._conclude(live, work)

    async def _conclude(self, live: LiveWork, work: Work) -> None:
        """Steps 3 to 5."""
        attempt = WorkAttempt(self._desk, work, lambda: live.stopped)
        limit_s = (work.due_by - work.created_at) / US_PER_S
        try:
            failure = await live.work_through(attempt, self._desk.clock, limit_s)
            if failure is None and work.kind is not WorkKind.BATCH and not attempt.completed:
                failure = NoLineAnswered(lines=work.lines)
            if not isinstance(failure, ServerStopped):
                ended = await self._records.end(work, failure, attempt.delivered())
                if ended is not None:
                    await self._settle(attempt, ended[1], ended[0])
        except Exception as error:  # noqa: BLE001  (nobody waits for this task; the next start settles the row by the record)
            _log.error("job.not_settled", job=work.id, error=type(error).__name__, exc_info=error)
        finally:
            self._live.pop(work.id, None)

    async def _settle(self, attempt: WorkAttempt, failure: BaseException | None, ended_by: RecordId) -> None:
        fault = fault_of(failure)
        await self._end_row(
            attempt.job,
            _state_after(failure),
            ended_by,
            None if fault is None else JobFault(code=fault.code, message=fault.message),
            attempt.completed,
            attempt.failed,
        )

    async def _settle_left(self, work: Work, end: StoredRecord) -> None:
        """What a process that died left of a job whose end is recorded."""
        lines = await in_thread(lambda: self._desk.store.lines(work.id))
        answered = [line.status for line in lines if line.status is not None]
        completed = sum(status < 300 for status in answered)
        state = _STATE_BY_RECORD.get(end.state, WorkState.FAILED)
        error = None if state is WorkState.FINISHED else JobFault(code=state.value, message=f"the job is {state.value}")
        await self._end_row(work, state, end.record_id, error, completed, len(answered) - completed)

    async def _end_row(
        self, work: Work, state: WorkState, ended_by: RecordId, error: JobFault | None, completed: int, failed: int
    ) -> None:
        """Step 5, again and again while the disk is full: nobody else would."""
        desk = self._desk
        now_us = desk.clock.now_us()
        changes: dict[str, Any] = {
            "state": state,
            "ended_by": ended_by,
            "error": error,
            "completed": completed,
            "failed": failed,
            "finished_at": now_us,
            "keep_until": now_us + KEEP_S * US_PER_S,
        }

        def write() -> None:
            if work.kind is not WorkKind.BATCH:
                desk.store.change(work.id, OPEN, **changes)
                return
            files = batch_files(work, desk.store.lines(work.id), state, now_us, changes["keep_until"])
            asked = {**work.asked, **{file.purpose: file.id for file, _ in files}}
            desk.store.hand_over(work.id, files, asked=asked, **changes)

        await until_written(write, lambda: self._closing)
        _log.info("job.ended", job=work.id, state=state.value)

    async def _sweep(self) -> None:
        while True:
            try:
                await in_thread(lambda: self._desk.store.sweep(self._desk.clock.now_us()))
                await in_thread(lambda: self._files.sweep(self._desk.clock.now_us()))
            except Exception as error:  # noqa: BLE001  (the database's errors are many; the next round tries again)
                _log.warning("jobs.not_swept", error=type(error).__name__)
            await asyncio.sleep(SWEEP_S)


_STATE_BY_RECORD = {
    State.COMPLETED: WorkState.FINISHED,
    State.CANCELLED: WorkState.CANCELLED,
    State.TIMED_OUT: WorkState.EXPIRED,
}


def _state_after(failure: BaseException | None) -> WorkState:
    if failure is None:
        return WorkState.FINISHED
    if isinstance(failure, Cancelled):
        return WorkState.CANCELLED
    return WorkState.EXPIRED if isinstance(failure, RequestTimedOut) else WorkState.FAILED
