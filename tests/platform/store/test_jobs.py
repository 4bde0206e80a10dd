"""Export jobs at rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from tallystick_platform.errors import RowTampered, StateConflict
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import JOB, UNFINISHED, JobFault, JobState, JobStore
from tests.support.job_rows import FILE, a_full_job, a_job
from tests.support.journals import ALICE, BOB, TOKEN_ID, Setting

CAROL = b"\xc0" * 20


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Setting(tmp_path).database()
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database, tmp_path: Path) -> JobStore:
    return JobStore(database, Setting(tmp_path).macs)


@pytest.mark.parametrize("job", [a_job(), a_full_job(), a_job(model_owner=None)])
def test_a_job_is_read_as_it_was_written(jobs: JobStore, job) -> None:
    assert jobs.insert(job) == replace(job, number=1) == jobs.get(job.id)


def test_jobs_are_numbered_in_their_order(jobs: JobStore) -> None:
    assert [jobs.insert(a_job(id=f"exp_{n}")).number for n in range(3)] == [1, 2, 3]


def test_a_change_is_made_only_in_a_state_that_allows_it(jobs: JobStore) -> None:
    job = jobs.insert(a_job())
    changed = jobs.change(
        job.id, UNFINISHED, state=JobState.FAILED, error=JobFault(code="c", message="m"), files=(FILE,)
    )
    assert changed == jobs.get(job.id)
    assert (changed.state, changed.error.code, changed.files) == (JobState.FAILED, "c", (FILE,))
    with pytest.raises(StateConflict):
        jobs.change(job.id, UNFINISHED, state=JobState.FINISHED)
    with pytest.raises(StateConflict):
        jobs.remove(job.id, [JobState.FINISHED])
    with pytest.raises(StateConflict):
        jobs.change("exp_none", UNFINISHED, state=JobState.FINISHED)


def test_a_removed_job_is_gone(jobs: JobStore) -> None:
    job = jobs.insert(a_job(state=JobState.FINISHED))
    assert jobs.ids() == {job.id}
    assert jobs.remove(job.id, [JobState.FINISHED]) == job
    assert jobs.get(job.id) is None
    assert jobs.ids() == set()


def test_what_is_not_finished_is_found_oldest_first(jobs: JobStore) -> None:
    for number, state in enumerate(JobState):
        jobs.insert(a_job(id=f"exp_{number}", state=state))
    assert [job.state for job in jobs.unfinished()] == [JobState.QUEUED, JobState.RUNNING]


def test_pages_hold_what_is_visible_newest_first(jobs: JobStore) -> None:
    for number in range(5):
        jobs.insert(
            a_job(id=f"exp_{number}", owner=ALICE if number % 2 else CAROL, model_owner=BOB if number else None)
        )
    mine = jobs.page(ALICE, cursor=None, limit=1)
    assert ([job.id for job in mine.jobs], mine.next_cursor) == (["exp_3"], 4)
    rest = jobs.page(ALICE, cursor=mine.next_cursor, limit=1)
    assert ([job.id for job in rest.jobs], rest.next_cursor) == (["exp_1"], None)
    assert len(jobs.page(BOB, cursor=None, limit=9).jobs) == 4
    assert jobs.page(b"\xdd" * 20, cursor=None, limit=9).jobs == []


def test_a_job_is_visible_to_who_asked_and_whose_model_it_is() -> None:
    job = a_job()
    assert [job.visible_to(who) for who in (ALICE, BOB, CAROL)] == [True, True, False]
    assert a_job(model_owner=None).visible_to(ALICE)


def test_a_changed_row_is_refused(jobs: JobStore, database: Database) -> None:
    job = jobs.insert(a_job())
    with database.writing() as connection:
        connection.execute(update(JOB).values(owner=CAROL))
    for read in (lambda: jobs.get(job.id), jobs.unfinished, lambda: jobs.page(CAROL, cursor=None, limit=1)):
        with pytest.raises(RowTampered):
            read()


def test_the_token_of_whoever_asked_is_kept(jobs: JobStore) -> None:
    assert jobs.insert(a_job()).token_id == TOKEN_ID
