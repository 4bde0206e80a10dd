"""Export jobs at rest. Every change is durable on return, and is made only to a row in a state that allows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, or_, select

from tallystick.ids import Address, RecordId
from tallystick_platform.errors import StateConflict
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import delete_rows, insert_row, replace_row
from tallystick_platform.store.tables import JOB

WHOLE = 1_000  # progress at rest counts in thousandths


class JobState(StrEnum):
    """How far an export is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFault:
    """Why an export did not finish."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that can be downloaded. Units: bytes."""

    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """One export: who asked for what, and what became of it. Units: microseconds UTC; `progress` from 0 to 1.

    `record_id` is the record that accepted it, to be ended by `due_by`, and `ended_by` the one that says what became of it. `files` are
    what `digest` covers; `signature` is the one file beside them. `number` grows with every job and orders them; it comes with the row.
    """

    id: str
    number: int = 0
    owner: Address
    model_owner: Address | None
    token_id: str
    path: str
    model: str
    version: str
    source_digest: bytes
    dtype: str | None
    format: str
    quantization: str | None
    state: JobState = JobState.QUEUED
    stage: str | None = None
    progress: float = 0.0
    attempts: int = 0
    record_id: RecordId
    ended_by: RecordId | None = None
    error: JobFault | None = None
    files: tuple[StoredFile, ...] = ()
    signature: StoredFile | None = None
    digest: bytes | None = None
    parity: Mapping[str, Any] | None = None
    created_at: int
    due_by: int
    finished_at: int | None = None

    def visible_to(self, viewer: Address) -> bool:
        """Whether it exists for `viewer`: who asked for it, and whose model it is."""
        return viewer in (self.owner, self.model_owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and where the next page begins."""

    jobs: Sequence[ExportJob]
    next_cursor: int | None


class JobStore:
    """The export jobs of a journal's database. Raises: RowTampered, wherever a row is read."""

    def __init__(self, database: Database, macs: RowMacs) -> None:
        self._database = database
        self._macs = macs

    def insert(self, job: ExportJob) -> ExportJob:
        """Add a job; its number is given here."""
        with self._database.writing() as connection:
            last = connection.execute(select(func.max(JOB.c.number))).scalar() or 0
            values = _values(job) | {"number": last + 1}
            insert_row(connection, self._macs, JOB, values)
        return _job(values)

    def get(self, job_id: str) -> ExportJob | None:
        """The job of this id, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(JOB).where(JOB.c.id == job_id)).first()
        return None if row is None else _job(self._macs.check(JOB, row))

    def page(self, viewer: Address, *, cursor: int | None, limit: int) -> JobPage:
        """What exists for a viewer, newest first, below number `cursor`."""
        query = select(JOB).where(or_(JOB.c.owner == bytes(viewer), JOB.c.model_owner == bytes(viewer)))
        if cursor is not None:
            query = query.where(JOB.c.number < cursor)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(JOB.c.number.desc()).limit(limit + 1)).all()
        jobs = [_job(self._macs.check(JOB, row)) for row in rows[:limit]]
        return JobPage(jobs=jobs, next_cursor=jobs[-1].number if len(rows) > limit else None)

    def unfinished(self) -> list[ExportJob]:
        """What was queued or running, oldest first."""
        query = select(JOB).where(JOB.c.state.in_([state.value for state in UNFINISHED])).order_by(JOB.c.number)
        with self._database.reading() as connection:
            return [_job(self._macs.check(JOB, row)) for row in connection.execute(query)]

    def kept(self, owner: Address) -> int:
        """How many finished exports of a sender lie on disk."""
        query = select(func.count()).select_from(JOB)
        query = query.where(JOB.c.owner == bytes(owner), JOB.c.state == JobState.FINISHED.value)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def ids(self) -> set[str]:
        """Every job that there is."""
        with self._database.reading() as connection:
            return set(connection.execute(select(JOB.c.id)).scalars())

    def change(self, job_id: str, required: Collection[JobState], **changes: Any) -> ExportJob:
        """Set some of a job's members. Requires: a state of `required`.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            job = self._required(connection, job_id, required)
            values = replace_row(connection, self._macs, JOB, _values(job), _encoded(changes))
        return _job(values)

    def remove(self, job_id: str, required: Collection[JobState]) -> ExportJob:
        """Forget a job. Requires: a state of `required`.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            job = self._required(connection, job_id, required)
            delete_rows(connection, self._macs, JOB, JOB.c.id == job_id)
        return job

    def _required(self, connection: Connection, job_id: str, required: Collection[JobState]) -> ExportJob:
        row = connection.execute(select(JOB).where(JOB.c.id == job_id)).first()
        job = None if row is None else _job(self._macs.check(JOB, row))
        if job is None or job.state not in required:
            found = "no such row" if job is None else job.state.value
            raise StateConflict(table=JOB.name, row=job_id, expected=" or ".join(required), found=found)
        return job


def is_exported(connection: Connection, model: str, version: str) -> bool:
    """Whether an export of this version waits or runs, as the caller's transaction sees it."""
    query = select(func.count()).select_from(JOB).where(JOB.c.model == model, JOB.c.version == version)
    query = query.where(JOB.c.state.in_([state.value for state in UNFINISHED]))
    return int(connection.execute(query).scalar_one()) > 0


def _values(job: ExportJob) -> dict[str, Value]:
    names = (column.name for column in JOB.columns if column.name != "mac")
    return _encoded({name: getattr(job, name) for name in names})


def _encoded(members: Mapping[str, Any]) -> dict[str, Value]:
    return {name: _ENCODERS.get(name, _as_it_is)(value) for name, value in members.items()}


def _as_it_is(value: Any) -> Any:
    return value


def _or_none(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else change(value)


def _file(file: StoredFile) -> dict[str, object]:
    return {"name": file.name, "size": file.size, "sha256": file.sha256.hex()}


def _stored_file(values: Mapping[str, Any]) -> StoredFile:
    return StoredFile(name=values["name"], size=values["size"], sha256=bytes.fromhex(values["sha256"]))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


_ENCODERS: Mapping[str, Callable[[Any], Any]] = {
    "state": lambda state: state.value,
    "progress": lambda progress: round(progress * WHOLE),
    "error": _or_none(lambda fault: _json(asdict(fault))),
    "files": lambda files: _json([_file(file) for file in files]),
    "signature": _or_none(lambda file: _json(_file(file))),
    "parity": _or_none(_json),
    "owner": bytes,
    "model_owner": _or_none(bytes),
    "record_id": bytes,
    "ended_by": _or_none(bytes),
}
_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "state": JobState,
    "progress": lambda thousandths: thousandths / WHOLE,
    "error": _or_none(lambda text: JobFault(**json.loads(text))),
    "files": lambda text: tuple(map(_stored_file, json.loads(text))),
    "signature": _or_none(lambda text: _stored_file(json.loads(text))),
    "parity": _or_none(json.loads),
}


def _job(row: Mapping[str, Any]) -> ExportJob:
    names = [each.name for each in fields(ExportJob)]
    return ExportJob(**{name: _DECODERS.get(name, _as_it_is)(row[name]) for name in names})
