"""Every step of the group commit failing, failing although it persisted, and crashing; afterwards the whole journal is checked.

What must hold each time: no caller has an answer for what is not durable, every admission that is durable ends in exactly one record,
and no number is missing.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.ids import RecordId
from tallystick.keys import EpochKey
from tallystick.record import Record, RecordFault, State
from tallystick.sealing import open_sealed, record_secret, sealed_header
from tallystick_platform.errors import CannotFollow, JournalClosed, JournalUnavailable
from tallystick_platform.store import writer
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.group import GroupCommitter
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.tables import ADMISSION, DRAFT, RECORD
from tests.support.faulty_store import FaultyDatabase, Point
from tests.support.journals import (
    LOG_ID,
    PROMISE_S,
    RANDOM,
    TOKEN_ID,
    Setting,
    accepted,
    carried_out,
    completed,
    ending,
    findings,
    record_many,
    record_one,
    would_be,
)

PERSISTED = (Point.COMMITTED,)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.fixture
async def database(setting: Setting) -> FaultyDatabase:
    return FaultyDatabase.open(setting.journal_path)


async def started(setting: Setting, database: FaultyDatabase) -> Journal:
    journal = setting.journal(database)
    await journal.start()
    journal.release()
    return journal


def states(setting: Setting, database: FaultyDatabase) -> dict[RecordId, Record]:
    """Every record, opened with the epoch's key."""
    key = EpochKeyFiles(setting.keys_dir, LOG_ID).load(1)
    assert isinstance(key, EpochKey)
    opened = {}
    for stored in setting.batches(database).records(0, 1_000):
        found = open_sealed(
            stored.sealed,
            log_id=LOG_ID,
            index=stored.index,
            epoch=stored.epoch,
            fields_root=stored.fields_root,
            secret=record_secret(key, stored.index, sealed_header(stored.sealed).nonce),
        )
        opened[found.record.id] = found.record
    return opened


def audit(setting: Setting, database: FaultyDatabase) -> None:
    """No finding, no draft left, as many records as admissions."""
    assert findings(setting, database) == []
    with database.reading() as connection:
        admitted = connection.execute(ADMISSION.select()).fetchall()
        recorded = connection.execute(RECORD.select()).fetchall()
        assert connection.execute(DRAFT.select()).fetchall() == []
    assert {row.record_id for row in admitted} == {row.record_id for row in recorded}
    assert len(admitted) == len(recorded)


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.COMMIT, Point.COMMITTED])
async def test_a_failing_admission_gives_no_ticket_and_leaves_the_journal_whole(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    refused = would_be(setting.clock)
    database.fail(point)
    with pytest.raises(JournalUnavailable):
        await journal.admit(refused, token_id=TOKEN_ID)
    await record_one(journal, setting.clock)
    await journal.recover()
    await journal.close()
    audit(setting, database)
    recorded = states(setting, database)
    assert (refused.id in recorded) == (point in PERSISTED)
    if point in PERSISTED:
        assert recorded[refused.id].state is State.FAILED
        assert recorded[refused.id].error is not None
        assert recorded[refused.id].error.code == "journal_unavailable"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.DELETE, Point.COMMIT, Point.COMMITTED])
async def test_a_failing_commit_gives_no_entry_and_the_journal_records_that_it_was_withheld(
    setting: Setting, database: FaultyDatabase, point: Point, streamed: bool
) -> None:
    journal = await started(setting, database)
    ticket = await journal.admit(would_be(setting.clock, streamed=streamed), token_id=TOKEN_ID)
    database.fail(point)
    with pytest.raises(JournalUnavailable):
        await journal.commit(completed(ticket.record, setting.clock, "the answer"))
    await journal.recover()
    await record_one(journal, setting.clock)
    await journal.close()
    audit(setting, database)
    found = states(setting, database)[ticket.record.id]
    if point in PERSISTED:
        assert found.state is State.COMPLETED
        return
    assert found.state is State.FAILED
    assert found.error is not None
    assert found.error.code == "journal_unavailable"
    assert (found.response is not None) == streamed
    assert (found.price is not None) == streamed


async def test_an_outcome_that_told_the_truth_already_is_recorded_as_it_was_offered(
    setting: Setting, database: FaultyDatabase
) -> None:
    journal = await started(setting, database)
    ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    offered = replace(ticket.record, state=State.TIMED_OUT, error=RecordFault(code="timeout", message="too slow"))
    database.fail(Point.COMMIT)
    with pytest.raises(JournalUnavailable):
        await journal.commit(offered)
    await journal.recover()
    await journal.close()
    audit(setting, database)
    found = states(setting, database)[ticket.record.id]
    assert (found.state, found.error, found.time) == (offered.state, offered.error, offered.time)


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.COMMIT, Point.COMMITTED])
async def test_work_whose_acceptance_fails_is_not_owed_and_its_record_tells_whether_it_stands(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    record = accepted(setting.clock)
    database.fail(point)
    with pytest.raises(JournalUnavailable):
        await journal.record_at_once(record, token_id=TOKEN_ID)
    await record_one(journal, setting.clock)
    assert (await journal.entry(record.id) is not None) == (point in PERSISTED)
    assert len(await journal.unended()) == (point in PERSISTED)
    await journal.close()
    audit(setting, database)


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.COMMIT, Point.COMMITTED])
async def test_an_end_whose_commit_fails_is_told_again_and_stands_once(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    ticket, _ = await journal.record_at_once(accepted(setting.clock), token_id=TOKEN_ID)
    database.fail(point)
    with pytest.raises(JournalUnavailable):
        await journal.record_at_once(ending(ticket.record, setting.clock), token_id=TOKEN_ID)
    with pytest.raises(CannotFollow) if point in PERSISTED else nullcontext():
        await journal.record_at_once(ending(ticket.record, setting.clock), token_id=TOKEN_ID)
    assert await journal.unended() == []
    assert await journal.follower(ticket.record.id) is not None
    await journal.close()
    audit(setting, database)


async def test_every_caller_of_a_failing_group_is_refused(setting: Setting, database: FaultyDatabase) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    database.fail(Point.COMMIT, lasting=True)
    offered = [would_be(setting.clock) for _ in range(20)]
    results = await asyncio.gather(
        *(journal.admit(record, token_id=TOKEN_ID) for record in offered), return_exceptions=True
    )
    assert all(isinstance(result, JournalUnavailable) for result in results)
    database.heal()
    await record_many(journal, setting.clock, 3)
    await journal.close()
    audit(setting, database)
    assert not {record.id for record in offered} & states(setting, database).keys()


async def test_a_journal_says_that_it_does_not_write_and_finds_out_by_itself_when_it_does(
    setting: Setting, database: FaultyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    assert journal.fault is None
    database.fail(Point.COMMIT, lasting=True)
    with pytest.raises(JournalUnavailable):
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    assert journal.fault == "the last group could not be written"
    database.heal()
    async with asyncio.timeout(10):
        while journal.fault is not None:
            await asyncio.sleep(0.001)
    await journal.close()
    assert journal.fault == "its writer ended"
    audit(setting, database)


async def test_while_the_disk_is_full_no_answer_is_released_and_afterwards_the_journal_goes_on(
    setting: Setting, database: FaultyDatabase
) -> None:
    journal = await started(setting, database)
    open_ones = [await journal.admit(would_be(setting.clock), token_id=TOKEN_ID) for _ in range(3)]
    await fill_disk(setting, database, journal)
    for _ in range(10):  # the last free pages may still take a few
        with suppress(JournalUnavailable):
            await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    with pytest.raises(JournalUnavailable, match="full"):
        await journal.admit(would_be(setting.clock, body=RANDOM(10_000)), token_id=TOKEN_ID)
    for ticket in open_ones:
        with pytest.raises(JournalUnavailable):
            await journal.commit(completed(ticket.record, setting.clock, RANDOM(10_000).hex()))
    database.max_pages = None
    await record_one(journal, setting.clock)
    await journal.recover()
    still_open = journal.counts().open
    await journal.close()
    journal = await started(setting, database)
    assert await journal.recover() == still_open
    await journal.close()
    audit(setting, database)
    withheld = [states(setting, database)[ticket.record.id] for ticket in open_ones]
    assert [record.state for record in withheld] == [State.FAILED] * 3


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.COMMIT, Point.COMMITTED])
async def test_a_crash_while_admitting_leaves_nothing_or_an_interrupted_record(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    offered = would_be(setting.clock)
    await crash(database, point, journal.admit(offered, token_id=TOKEN_ID))
    journal = await started(setting, database)
    assert await journal.recover() == (1 if point in PERSISTED else 0)
    await record_one(journal, setting.clock)
    await journal.close()
    audit(setting, database)
    recorded = states(setting, database)
    assert (offered.id in recorded) == (point in PERSISTED)
    if point in PERSISTED:
        assert recorded[offered.id].state is State.INTERRUPTED


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.DELETE, Point.COMMIT, Point.COMMITTED])
async def test_a_crash_while_recording_leaves_the_record_or_an_interrupted_one(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await crash(database, point, journal.commit(completed(ticket.record, setting.clock)))
    journal = await started(setting, database)
    assert await journal.recover() == (0 if point in PERSISTED else 1)
    await journal.close()
    audit(setting, database)
    expected = State.COMPLETED if point in PERSISTED else State.INTERRUPTED
    assert states(setting, database)[ticket.record.id].state is expected


@pytest.mark.parametrize("point", [Point.BEGIN, Point.INSERT, Point.COMMIT, Point.COMMITTED])
async def test_a_crash_while_an_epoch_opens_changes_no_key_that_was_used(
    setting: Setting, database: FaultyDatabase, point: Point
) -> None:
    journal = await started(setting, database)
    await crash(database, point, journal.admit(would_be(setting.clock), token_id=TOKEN_ID))
    key = EpochKeyFiles(setting.keys_dir, LOG_ID).load(1)
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    await journal.close()
    audit(setting, database)
    assert key is None or EpochKeyFiles(setting.keys_dir, LOG_ID).load(1) == key


async def test_a_crash_while_recovering_is_recovered_from(setting: Setting, database: FaultyDatabase) -> None:
    journal = await started(setting, database)
    ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()
    for point in (Point.BEGIN, Point.INSERT, Point.DELETE, Point.COMMIT):
        database.fail(point, crash=True)
        journal = await started(setting, database)
        await died(journal)
    journal = await started(setting, database)
    assert await journal.recover() == 1
    await journal.close()
    audit(setting, database)
    assert states(setting, database)[ticket.record.id].state is State.INTERRUPTED


async def test_recovery_that_cannot_write_says_so(setting: Setting, database: FaultyDatabase) -> None:
    journal = await started(setting, database)
    await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()
    database.fail(Point.COMMIT, lasting=True)
    journal = await started(setting, database)
    with pytest.raises(JournalUnavailable):
        await journal.recover()
    database.heal()
    assert await journal.recover() == 1
    await journal.close()
    audit(setting, database)


async def test_when_the_writer_dies_nobody_is_left_waiting(setting: Setting, database: FaultyDatabase) -> None:
    journal = await started(setting, database)
    ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    database.fail(Point.COMMIT, crash=True)
    calls = [journal.admit(would_be(setting.clock), token_id=TOKEN_ID) for _ in range(3)]
    results = await asyncio.gather(
        *calls, journal.commit(completed(ticket.record, setting.clock)), return_exceptions=True
    )
    assert all(isinstance(result, JournalUnavailable | JournalClosed) for result in results)
    await died(journal)
    with pytest.raises(JournalClosed):
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    with pytest.raises(JournalClosed):
        await journal.recover()


async def test_a_journal_that_cannot_connect_does_not_start(setting: Setting, database: FaultyDatabase) -> None:
    database.fail(Point.CONNECT)
    with pytest.raises(JournalUnavailable):
        await setting.journal(database).start()


async def test_an_epoch_row_that_something_else_changed_stops_the_journal(
    setting: Setting, database: FaultyDatabase
) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    await journal.close()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE epoch SET opened_at = opened_at + 1")
    with pytest.raises(JournalUnavailable, match="changed by something other"):
        await setting.journal(database).start()


async def test_an_idle_journal_that_cannot_close_its_epoch_goes_on(setting: Setting, database: FaultyDatabase) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    await journal.close()
    committer = GroupCommitter(database, setting.sealer(), setting.macs, clock=setting.clock, promise_s=PROMISE_S)
    committer.held = None
    committer.connect()
    setting.clock.advance(setting.epoch_seconds)
    database.fail(Point.COMMIT)
    committer.idle()
    assert not committer.healthy
    committer.idle()
    assert not committer.ready
    assert carried_out(committer, ()) == []
    assert committer.healthy
    committer.close()
    audit(setting, database)


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM record", "DELETE FROM admission", "DELETE FROM inventory", "UPDATE inventory SET box = zeroblob(99)"],
)
async def test_something_else_that_wrote_the_journal_is_noticed(
    setting: Setting, database: FaultyDatabase, change: str
) -> None:
    journal = await started(setting, database)
    await record_one(journal, setting.clock)
    with database.writing() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(JournalUnavailable):
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()


async def fill_disk(setting: Setting, database: FaultyDatabase, journal: Journal) -> None:
    """Let the journal's next connection find no free page."""
    with database.reading() as connection:
        database.max_pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    database.fail(Point.BEGIN)
    with pytest.raises(JournalUnavailable):
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)


async def crash(database: FaultyDatabase, point: Point, call: object) -> None:
    """Make the writer die at a point while a caller waits; the caller never hears of it."""
    database.fail(point, crash=True)
    waiting = asyncio.ensure_future(call)  # type: ignore[arg-type]
    while not database.struck:
        await asyncio.sleep(0)
    database.struck = 0
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    database.engine.dispose()


async def died(journal: Journal) -> None:
    """Wait until the writer has ended."""
    writer = journal._writer
    while writer is not None and not writer.ended:
        await asyncio.sleep(0)


@pytest.mark.faults
def test_killed_at_random_moments_every_answer_that_was_given_stands(setting: Setting) -> None:
    rounds = int(os.environ.get("TALLYSTICK_FAULT_ROUNDS", "3"))
    moments = random.Random(rounds)
    admitted: dict[str, str] = {}
    recorded: dict[str, tuple[str, str]] = {}
    for _ in range(rounds):
        for line in lines_until_killed(setting.home, moments.randint(50, 1_500)):
            what, *values = line.split()
            if what == "admitted":
                admitted[values[0]] = values[1]
            elif what == "recorded":
                recorded[values[0]] = (values[1], values[2])
    database = FaultyDatabase.open(setting.journal_path)
    asyncio.run(recovered(setting, database))
    audit(setting, database)
    with database.reading() as connection:
        rows = {row.record_id.hex(): row for row in connection.execute(RECORD.select())}
    assert len(recorded) > rounds
    assert {name: (str(rows[name].log_index), rows[name].leaf.hex()) for name in recorded} == recorded
    assert {name: str(rows[name].admission_seq) for name in admitted} == admitted


def lines_until_killed(home: Path, lines: int) -> Iterator[str]:
    """What a journal under load says until it is killed, after so many lines."""
    command = [sys.executable, "-m", "tests.support.journal_under_load", str(home)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if count == lines:
                process.send_signal(signal.SIGKILL)
            if line.endswith(b"\n"):
                yield line.decode()
        assert process.stderr is not None
        process.wait()
        assert process.returncode == -signal.SIGKILL, process.stderr.read().decode()


async def recovered(setting: Setting, database: FaultyDatabase) -> None:
    """Start once more, and stop."""
    journal = await started(setting, database)
    await journal.recover()
    await journal.close()
