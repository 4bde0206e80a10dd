"""The last state of a job, by what its record says: in the process that ran it, or in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from tallystick.record import State
from tallystick_platform.clock import Clock
from tallystick_platform.errors import PlatformError
from tallystick_platform.exchange.faults import Cancelled, ServerStopped, fault_of
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import ExportFault
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.store.jobs import UNFINISHED, ExportJob, JobFault, JobState, JobStore
from tallystick_platform.store.records import StoredRecord

_ENDED_UNSEEN = JobFault(
    code="interrupted", message="the server ended while it wrote the job's end down; its record says more"
)
RETRY_ROW_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Settling:
    """Writes what became of jobs. Set `closing`, and what cannot be written is left to the next start."""

    store: JobStore
    folders: ExportFolders
    clock: Clock
    closing: bool = False

    async def settle(self, job: ExportJob, failure: BaseException | None, *, begun: bool) -> None:
        """What became of a job that is recorded, or that the server's stop broke off. `begun`: whether its turn had come.

        Raises: StateConflict.
        """
        if failure is None:
            await self._change(
                job, state=JobState.FINISHED, progress=1.0, stage=None, ended_by=job.ended_by, **self._now()
            )
            return
        empty: dict[str, Any] = {"files": (), "signature": None, "digest": None}
        parity = failure.parity if isinstance(failure, ExportFault) else None
        if isinstance(failure, ServerStopped):
            changes = empty | {"state": JobState.QUEUED, "parity": None, "attempts": job.attempts - begun}
        else:
            state = JobState.CANCELLED if isinstance(failure, Cancelled) else JobState.FAILED
            changes = empty | {"state": state, "parity": parity, "error": _fault(failure), "ended_by": job.ended_by}
            changes |= self._now()
        await self._discard(job)
        await self._change(job, **changes)
        _log.info("export.ended", job=job.id, state=changes["state"].value, error=type(failure).__name__)

    async def settle_left(self, job: ExportJob, end: StoredRecord | None) -> None:
        """What a process that died left of a job, by the record that ends it; where there is none, the job is queued again."""
        lies_there = job.digest is not None and self.folders.path(job.id).is_dir()
        changes: dict[str, Any] = {"files": (), "signature": None, "digest": None, "parity": None}
        if end is None:
            changes |= {"state": JobState.QUEUED}
        elif end.state is State.COMPLETED and lies_there:
            await self.settle(replace(job, ended_by=end.record_id), None, begun=True)
            return
        elif end.state is State.CANCELLED:
            changes |= {"state": JobState.CANCELLED, "error": _fault(Cancelled())}
        else:
            changes |= {"state": JobState.FAILED, "error": _ENDED_UNSEEN}
        if end is not None:
            changes |= {"ended_by": end.record_id, **self._now()}
        await self._discard(job)
        await self._change(job, **changes)

    async def _change(self, job: ExportJob, **changes: Any) -> None:
        """Change an unfinished job's row."""
        await until_written(lambda: self.store.change(job.id, UNFINISHED, **changes), lambda: self.closing)

    async def _discard(self, job: ExportJob) -> None:
        try:
            await in_thread(self.folders.discard, job.id)
        except (OSError, PlatformError) as error:  # nobody is shown what stays there; the next start tries again
            _log.error("export.not_removed", job=job.id, error=str(error))

    def _now(self) -> dict[str, int]:
        return {"finished_at": self.clock.now_us()}


async def until_written(write: Callable[[], object], closing: Callable[[], bool]) -> None:
    """Write a row, again and again while the disk is full: nobody else would. Raises: StateConflict; anything, once the service stops."""
    while True:
        try:
            await in_thread(write)
        except Exception as error:  # the database's errors are many, and all but our own mean: not now
            if closing() or isinstance(error, PlatformError):
                raise
            _log.warning("job.row_not_written", error=str(error))
            await asyncio.sleep(RETRY_ROW_S)
        else:
            return


def _fault(failure: BaseException) -> JobFault | None:
    fault = fault_of(failure)
    return None if fault is None else JobFault(code=fault.code, message=fault.message)
