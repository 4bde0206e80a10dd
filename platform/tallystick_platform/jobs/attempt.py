"""One attempt at an export: the work between the record that took the job and the record that ends it.

The steps, and what a crash in each leaves to the next start:

1. *Wait* for the turn: one export runs at a time. A crash: the job is queued again.
2. *Run* the exporter on an empty staging folder, its row in state `running`. A crash: the same, and the staging folder is removed.
3. *Check* what it left, write its files and digest into the row. A crash: the same.
4. *Publish*: rename the folder. Nobody is shown it yet, because the row still says `running`. A crash: the same, and the folder is removed.

Nothing is admitted meanwhile, so the work may take longer than an admission may stay without its record. What comes after is in
`exports.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tallystick_platform.clock import Clock
from tallystick_platform.exchange.records import Delivered
from tallystick_platform.exporter.spec import ExportSpec
from tallystick_platform.jobs.errors import MAX_ATTEMPTS, DiskFailed, Interrupted
from tallystick_platform.jobs.facts import export_output
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.process import Exporter, Produced
from tallystick_platform.registry.desk import in_thread
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.registry import Registry
from tallystick_platform.store.jobs import UNFINISHED, ExportJob, JobState, JobStore

WAITING = "waiting"
PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What every attempt uses. `turn` lets one of them work at a time."""

    models: Registry
    store: JobStore
    folders: ExportFolders
    exporter: Exporter
    clock: Clock
    signing_key: Path | None
    turn: asyncio.Lock


class Attempt:
    """One attempt. `stage` and `progress` tell how far it is, `job` what its row says."""

    def __init__(self, workshop: Workshop, job: ExportJob) -> None:
        self._workshop = workshop
        self.job = job
        self.stage = WAITING
        self.progress = 0.0
        self.began = False
        self._began_ns: int | None = None
        self._started_at: int | None = None
        self._ended_ns: int | None = None
        self._produced: Produced | None = None

    @property
    def state(self) -> JobState:
        """Whether its turn has come."""
        return JobState.RUNNING if self.began else JobState.QUEUED

    async def carry_out(self) -> None:
        """Steps 1 to 4. Raises: Interrupted for a job that seems to be what ends the server again and again."""
        if self.job.attempts >= MAX_ATTEMPTS:
            raise Interrupted(attempts=self.job.attempts)
        async with self._workshop.turn:
            self._started_at = self._workshop.clock.now_us()
            self._began_ns = self._workshop.clock.monotonic_ns()
            try:
                await self._export()
            except OSError as error:
                raise DiskFailed(error=error) from error
            finally:
                self._ended_ns = self._workshop.clock.monotonic_ns()

    def delivered(self) -> Delivered:
        """The files, once they lie where they can be published; else nothing."""
        produced, began_ns, ended_ns = self._produced, self._began_ns, self._ended_ns
        return Delivered(
            outputs=() if produced is None else (export_output(produced.digest, produced.files),),
            device_time_us=0 if began_ns is None or ended_ns is None else (ended_ns - began_ns) // 1000,
            started_at=self._started_at,
        )

    async def _export(self) -> None:
        shop, job = self._workshop, self.job
        self.job = job = await in_thread(
            shop.store.change, job.id, UNFINISHED, state=JobState.RUNNING, attempts=job.attempts + 1
        )
        self.began = True
        version = await in_thread(shop.models.find, f"{job.model}@{job.version}", None)
        base = None if version.base is None else await in_thread(shop.models.find, version.base, None)
        shop.folders.need(needed_bytes(version, base))
        target = await in_thread(shop.folders.stage, job.id, job.record_id.hex())
        produced = await shop.exporter.run(self._spec(version, base, target), self._report)
        self._report(PUBLISHING, 1.0)
        await in_thread(self._publish, target, produced)
        self._produced = produced

    def _publish(self, staged: Path, produced: Produced) -> None:
        """Steps 3 and 4, in a thread."""
        shop, job = self._workshop, self.job
        signature = shop.folders.check(staged, produced.files)
        self.job = shop.store.change(
            job.id,
            UNFINISHED,
            files=produced.files,
            digest=produced.digest,
            parity=produced.parity,
            signature=signature,
        )
        shop.folders.publish(staged, job.id)

    def _spec(self, version: ModelVersion, base: ModelVersion | None, target: Path) -> ExportSpec:
        job, shop = self.job, self._workshop
        quantization = "" if job.quantization is None else f', "quantization": "{job.quantization}"'
        return ExportSpec(
            source=shop.models.path(version),
            source_digest=job.source_digest,
            model=job.model,
            version=job.version,
            task=version.task,
            format=job.format,  # type: ignore[arg-type]  # the spec checks it
            quantization=job.quantization,
            target=target,
            command=f'POST /v1/models/{job.model}@{job.version}/exports {{"format": "{job.format}"{quantization}}}',
            licence=version.licence,
            signing_key=shop.signing_key,
            base=None if base is None else shop.models.path(base),
            base_digest=None if base is None else base.digest,
        )

    def _report(self, stage: str, fraction: float) -> None:
        self.stage, self.progress = stage, max(self.progress, fraction)


def needed_bytes(version: ModelVersion, base: ModelVersion | None) -> int:
    """The size of what is exported; an adapter's is its base's, in 32 bits."""
    return version.size_bytes if base is None else version.size_bytes + 2 * base.size_bytes
