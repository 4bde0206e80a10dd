"""Jobs of several requests for answers at rest. What is asked and answered is encrypted (at_rest.py); every change is durable on return.

A line of a job is one request. It is asked under a record whose id is announced here before, so that whatever crashes, the next start can
tell from the journal whether the line was recorded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from tallystick.ids import Address, RecordId
from tallystick_platform.errors import StateConflict
from tallystick_platform.store.at_rest import AtRest
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import JobFault
from tallystick_platform.store.kept_files import KeptFile, insert_file
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import delete_rows, insert_row, insert_rows, replace_row
from tallystick_platform.store.tables import WORK, WORK_LINE

NO_RECORD = RecordId(bytes(16))


class WorkState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN = (WorkState.QUEUED, WorkState.RUNNING)
ENDED = tuple(state for state in WorkState if state not in OPEN)


class WorkKind(StrEnum):
    """By which address a job came."""

    REMOTE = "remote"
    NATIVE = "native"
    BATCH = "batch"


class LineAsked(msgspec.Struct, frozen=True, array_like=True):
    """A line's request: where it goes to, as it would by itself, and the name that its sender gave it."""

    name: str
    path: str
    body: bytes


class LineAnswer(msgspec.Struct, frozen=True, array_like=True):
    """A line's answer, as it would have been sent by itself; `text` is what a job's log shows of it."""

    body: bytes
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job. Units: microseconds UTC. `asked` is what its address keeps of the request, beside the lines."""

    id: str
    number: int
    kind: WorkKind
    owner: Address
    token_id: str
    path: str
    state: WorkState
    lines: int
    completed: int
    failed: int
    record_id: RecordId
    ended_by: RecordId | None
    error: JobFault | None
    asked: Mapping[str, Any] = field(repr=False)
    created_at: int
    due_by: int
    started_at: int | None
    finished_at: int | None
    keep_until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLine:
    """One line. `status` and `answer` are there once it is answered; `record_id` is the record of its last attempt, if it had one."""

    id: str
    work: str
    number: int
    attempts: int
    record_id: RecordId | None
    status: int | None
    asked: LineAsked = field(repr=False)
    answer: LineAnswer | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPage:
    """Some jobs, newest first, and where the next page begins."""

    works: Sequence[Work]
    next_cursor: int | None


class WorkStore:
    """The jobs of a journal's database. Blocking: call it from a thread. Raises: RowTampered, wherever a row is read."""

    def __init__(self, database: Database, macs: RowMacs) -> None:
        self._database = database
        self._macs = macs
        self._at_rest = AtRest(macs)

    def insert(self, work: Work, lines: Sequence[LineAsked]) -> Work:
        """Add a job with its lines; its number is given here."""
        with self._database.writing() as connection:
            last = connection.execute(select(func.max(WORK.c.number))).scalar() or 0
            values = self._values(work) | {"number": last + 1}
            insert_row(connection, self._macs, WORK, values)
            insert_rows(connection, self._macs, WORK_LINE, [self._line(work.id, n, one) for n, one in enumerate(lines)])
        return self._work(values)

    def get(self, work_id: str, kind: WorkKind, owner: Address) -> Work | None:
        """The job of this id, if it is this owner's."""
        with self._database.reading() as connection:
            row = connection.execute(select(WORK).where(WORK.c.id == work_id)).first()
        work = None if row is None else self._work(self._macs.check(WORK, row))
        return work if work is not None and (work.kind, work.owner) == (kind, owner) else None

    def page(self, owner: Address, kind: WorkKind, *, cursor: int | None, limit: int) -> WorkPage:
        """An owner's jobs, newest first, below number `cursor`."""
        query = select(WORK).where(WORK.c.owner == bytes(owner), WORK.c.kind == kind.value)
        if cursor is not None:
            query = query.where(WORK.c.number < cursor)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(WORK.c.number.desc()).limit(limit + 1)).all()
        works = [self._work(self._macs.check(WORK, row)) for row in rows[:limit]]
        return WorkPage(works=works, next_cursor=works[-1].number if len(rows) > limit else None)

    def unfinished(self) -> list[Work]:
        """What was queued or running, oldest first."""
        query = select(WORK).where(WORK.c.state.in_([state.value for state in OPEN])).order_by(WORK.c.number)
        with self._database.reading() as connection:
            return [self._work(self._macs.check(WORK, row)) for row in connection.execute(query)]

    def lines(self, work_id: str) -> list[WorkLine]:
        """Every line of a job, in order."""
        query = select(WORK_LINE).where(WORK_LINE.c.work == work_id).order_by(WORK_LINE.c.number)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [self._read_line(self._macs.check(WORK_LINE, row)) for row in rows]

    def announce(self, line_id: str, record_id: RecordId) -> None:
        """The record under which a line is about to be asked; one more attempt."""
        with self._database.writing() as connection:
            before = self._line_row(connection, line_id)
            changes: dict[str, Value] = {"record_id": bytes(record_id), "attempts": int(str(before["attempts"])) + 1}
            replace_row(connection, self._macs, WORK_LINE, before, changes)

    def answer(self, line_id: str, status: int, answer: LineAnswer) -> None:
        """A line's answer, whose record stands if it has one."""
        box = self._at_rest.close(WORK_LINE, line_id, "answer", msgspec.msgpack.encode(answer))
        with self._database.writing() as connection:
            before = self._line_row(connection, line_id)
            replace_row(connection, self._macs, WORK_LINE, before, {"status": status, "answer": box})

    def change(self, work_id: str, required: Collection[WorkState], **changes: Any) -> Work:
        """Set some of a job's members. Requires: a state of `required`.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            return self._changed(connection, work_id, required, changes)

    def hand_over(self, work_id: str, files: Sequence[tuple[KeptFile, bytes]], **changes: Any) -> Work:
        """End a job whose answers lie in files from now on: its lines go.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            for file, content in files:
                insert_file(connection, self._macs, self._at_rest, file, content)
            delete_rows(connection, self._macs, WORK_LINE, WORK_LINE.c.work == work_id)
            return self._changed(connection, work_id, OPEN, changes)

    def remove(self, work_id: str, required: Collection[WorkState]) -> None:
        """Forget a job and its lines. Requires: a state of `required`.

        Raises: StateConflict
        """
        with self._database.writing() as connection:
            self._required(connection, work_id, required)
            delete_rows(connection, self._macs, WORK_LINE, WORK_LINE.c.work == work_id)
            delete_rows(connection, self._macs, WORK, WORK.c.id == work_id)

    def sweep(self, now_us: int) -> int:
        """Forget what has been kept for as long as it is; says how many jobs."""
        query = select(WORK.c.id).where(WORK.c.keep_until <= now_us)
        with self._database.reading() as connection:
            over = list(connection.execute(query).scalars())
        for work_id in over:
            self.remove(work_id, ENDED)
        return len(over)

    def _changed(
        self, connection: Connection, work_id: str, required: Collection[WorkState], changes: Mapping[str, Any]
    ) -> Work:
        before = self._required(connection, work_id, required)
        encoded = {name: _ENCODERS.get(name, _as_it_is)(value) for name, value in changes.items()}
        if "asked" in changes:
            encoded["asked"] = self._box(work_id, changes["asked"])
        return self._work(replace_row(connection, self._macs, WORK, before, encoded))

    def _required(self, connection: Connection, work_id: str, required: Collection[WorkState]) -> Mapping[str, Value]:
        row = connection.execute(select(WORK).where(WORK.c.id == work_id)).first()
        values = None if row is None else self._macs.check(WORK, row)
        if values is None or values["state"] not in [state.value for state in required]:
            found = "no such row" if values is None else str(values["state"])
            raise StateConflict(table=WORK.name, row=work_id, expected=" or ".join(required), found=found)
        return values

    def _line_row(self, connection: Connection, line_id: str) -> Mapping[str, Value]:
        row = connection.execute(select(WORK_LINE).where(WORK_LINE.c.id == line_id)).first()
        if row is None:
            raise StateConflict(table=WORK_LINE.name, row=line_id, expected="a line", found="no such row")
        return self._macs.check(WORK_LINE, row)

    def _values(self, work: Work) -> dict[str, Value]:
        names = [column.name for column in WORK.columns if column.name not in ("mac", "asked")]
        plain = {name: _ENCODERS.get(name, _as_it_is)(getattr(work, name)) for name in names}
        return plain | {"asked": self._box(work.id, work.asked)}

    def _box(self, work_id: str, asked: Mapping[str, Any]) -> bytes:
        return self._at_rest.close(WORK, work_id, "asked", msgspec.msgpack.encode(dict(asked)))

    def _work(self, row: Mapping[str, Any]) -> Work:
        plain = ("id", "number", "token_id", "path", "lines", "completed", "failed", "created_at", "due_by")
        more = ("started_at", "finished_at", "keep_until")
        error = None if row["error"] is None else json.loads(row["error"])
        return Work(
            **{name: row[name] for name in (*plain, *more)},
            kind=WorkKind(row["kind"]),
            owner=Address(row["owner"]),
            state=WorkState(row["state"]),
            record_id=RecordId(row["record_id"]),
            ended_by=None if row["ended_by"] is None else RecordId(row["ended_by"]),
            error=None if error is None else JobFault(code=error["code"], message=error["message"]),
            asked=msgspec.msgpack.decode(self._at_rest.open(WORK, row["id"], "asked", row["asked"])),
        )

    def _line(self, work_id: str, number: int, asked: LineAsked) -> dict[str, Value]:
        line_id = f"{work_id}/{number}"
        return {
            "id": line_id,
            "work": work_id,
            "number": number,
            "attempts": 0,
            "record_id": None,
            "status": None,
            "asked": self._at_rest.close(WORK_LINE, line_id, "asked", msgspec.msgpack.encode(asked)),
            "answer": None,
        }

    def _read_line(self, row: Mapping[str, Any]) -> WorkLine:
        def opened(column: str) -> bytes:
            return self._at_rest.open(WORK_LINE, row["id"], column, row[column])

        return WorkLine(
            **{name: row[name] for name in ("id", "work", "number", "attempts", "status")},
            record_id=None if row["record_id"] is None else RecordId(row["record_id"]),
            asked=msgspec.msgpack.decode(opened("asked"), type=LineAsked),
            answer=None if row["answer"] is None else msgspec.msgpack.decode(opened("answer"), type=LineAnswer),
        )


def _as_it_is(value: Any) -> Any:
    return value


_ENCODERS: Mapping[str, Any] = {
    "kind": lambda kind: kind.value,
    "state": lambda state: state.value,
    "owner": bytes,
    "record_id": bytes,
    "ended_by": lambda record_id: None if record_id is None else bytes(record_id),
    "error": lambda fault: None if fault is None else json.dumps({"code": fault.code, "message": fault.message}),
}
