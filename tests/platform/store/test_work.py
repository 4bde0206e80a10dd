"""Jobs of several requests and files of them at rest: as they were written, encrypted, and gone when their time is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tallystick.ids import RecordId
from tallystick_platform.errors import RowTampered, StateConflict
from tallystick_platform.store.at_rest import BOXED
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import JobFault
from tallystick_platform.store.kept_files import FileStore, Holding
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import rekey
from tallystick_platform.store.tables import METADATA, WORK_LINE
from tallystick_platform.store.work import OPEN, LineAnswer, WorkKind, WorkState, WorkStore
from tests.support.journals import ALICE, BOB, Setting
from tests.support.work_rows import CONTENT, LINE, a_file, a_work, work_rows

RECORD = RecordId(b"\x05" * 16)
ANSWER = LineAnswer(b'{"secret":"words"}', "secret words")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Setting(tmp_path).database()
    yield database
    database.close()


@pytest.fixture
def macs(tmp_path: Path) -> RowMacs:
    return Setting(tmp_path).macs


@pytest.fixture
def store(database: Database, macs: RowMacs) -> WorkStore:
    return WorkStore(database, macs)


def test_a_job_and_its_lines_are_read_as_they_were_written(store: WorkStore) -> None:
    work = a_work(lines=2)
    assert store.insert(work, [LINE, replace_name("second")]) == replace(work, number=1)
    assert store.get(work.id, WorkKind.REMOTE, ALICE) == replace(work, number=1)
    first, second = store.lines(work.id)
    assert (first.asked, second.asked.name, first.attempts, first.record_id) == (LINE, "second", 0, None)
    store.announce(first.id, RECORD)
    store.answer(first.id, 200, ANSWER)
    first, second = store.lines(work.id)
    assert (first.attempts, first.record_id, first.status, first.answer) == (1, RECORD, 200, ANSWER)
    assert (second.attempts, second.status, second.answer) == (0, None, None)


def replace_name(name: str):
    return type(LINE)(name, LINE.path, LINE.body)


def test_a_job_is_its_owners_and_its_kinds_alone(store: WorkStore) -> None:
    work = store.insert(a_work(), [LINE])
    assert store.get(work.id, WorkKind.REMOTE, BOB) is None
    assert store.get(work.id, WorkKind.BATCH, ALICE) is None
    assert store.page(BOB, WorkKind.REMOTE, cursor=None, limit=5).works == []
    assert store.page(ALICE, WorkKind.REMOTE, cursor=None, limit=5).works == [work]


def test_a_change_is_made_only_in_a_state_that_allows_it(store: WorkStore) -> None:
    work = store.insert(a_work(), [LINE])
    fault = JobFault(code="c", message="m")
    changed = store.change(work.id, OPEN, state=WorkState.FAILED, error=fault, asked={"other": 1})
    assert (changed.state, changed.error, changed.asked) == (WorkState.FAILED, fault, {"other": 1})
    assert store.get(work.id, WorkKind.REMOTE, ALICE) == changed
    with pytest.raises(StateConflict):
        store.change(work.id, OPEN, state=WorkState.FINISHED)
    with pytest.raises(StateConflict):
        store.announce(f"{work.id}/7", RECORD)


def test_what_was_handed_over_lies_in_files_and_in_lines_no_more(
    database: Database, macs: RowMacs, store: WorkStore
) -> None:
    work = store.insert(a_work(kind=WorkKind.BATCH), [LINE])
    store.hand_over(work.id, [(a_file(), CONTENT)], state=WorkState.FINISHED)
    assert store.lines(work.id) == []
    files = FileStore(database, macs)
    (file,) = files.files(ALICE, "batch", below=None, limit=5)
    assert (file.number, files.content(file)) == (1, CONTENT)


def test_jobs_and_files_go_when_their_time_is_over(database: Database, macs: RowMacs, store: WorkStore) -> None:
    files = FileStore(database, macs)
    over = store.insert(a_work(id="cd" * 16, state=WorkState.FINISHED, keep_until=10), [LINE])
    kept = store.insert(a_work(state=WorkState.FINISHED, keep_until=11), [LINE])
    files.insert(a_file(keep_until=10), CONTENT)
    assert files.held(ALICE) == Holding(files=1, size_bytes=len(CONTENT))
    assert (store.sweep(10), files.sweep(10)) == (1, 1)
    assert [store.get(work.id, WorkKind.REMOTE, ALICE) for work in (over, kept)] == [None, kept]
    assert store.lines(over.id) == []
    assert files.held(ALICE) == Holding(files=0, size_bytes=0)


def test_no_word_of_a_job_or_a_file_lies_open_in_the_database(database: Database, macs: RowMacs) -> None:
    work_rows(database, macs)
    store = WorkStore(database, macs)
    (line,) = store.lines(a_work().id)
    store.answer(line.id, 200, ANSWER)
    with database.reading() as connection:
        for name in BOXED:
            for row in connection.execute(select(METADATA.tables[name])):
                assert b"secret" not in repr(tuple(row)).encode(), name


def test_a_box_opens_in_its_own_row_alone(database: Database, macs: RowMacs, store: WorkStore) -> None:
    store.insert(a_work(lines=2), [LINE, LINE])
    with database.writing() as connection:
        rows = {row.id: row._mapping for row in connection.execute(select(WORK_LINE))}
        first, second = sorted(rows)
        moved = {**rows[first], "asked": rows[second]["asked"]}
        changed = {"asked": moved["asked"], "mac": macs.of_row(WORK_LINE, moved)}
        connection.execute(update(WORK_LINE).where(WORK_LINE.c.id == first).values(**changed))
    with pytest.raises(RowTampered):
        store.lines(a_work().id)


def test_under_another_operators_key_everything_is_read_again(database: Database, macs: RowMacs) -> None:
    work_rows(database, macs)
    after = RowMacs(b"\x77" * 32)
    rekey(database, macs, after)
    (line,) = WorkStore(database, after).lines(a_work().id)
    files = FileStore(database, after)
    assert (line.asked, files.content(files.get("file-1", ALICE))) == (LINE, CONTENT)
    with pytest.raises(RowTampered):
        WorkStore(database, macs).lines(a_work().id)
