"""The bounds of the group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import RecordError
from tallystick.ids import Address, Index
from tallystick_platform.errors import NotAdmitted, StateConflict
from tallystick_platform.store import counters, group, writer
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.group import Commit, GroupCommitter, Operation, Prepared
from tallystick_platform.store.transaction import Transaction
from tests.support.journals import TOKEN_ID, Running, Setting, carried_out, completed, findings, record_many, would_be


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_a_group_is_never_larger_than_its_bound(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    prepare = GroupCommitter.prepare

    def counted(self: GroupCommitter, operations: Sequence[Operation]) -> Prepared:
        sizes.append(len(operations))
        return prepare(self, operations)

    monkeypatch.setattr(GroupCommitter, "prepare", counted)
    async with Running(setting) as journal:
        await asyncio.gather(*(journal.admit(would_be(setting.clock), token_id=TOKEN_ID) for _ in range(300)))
    assert writer.MAX_GROUP == 64
    assert max(sizes) == 64
    assert sum(sizes) == 300


async def test_owed_records_go_a_few_at_a_time(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    assert group.MAX_OWED_PER_GROUP == 16
    monkeypatch.setattr(group, "MAX_OWED_PER_GROUP", 2)
    async with Running(setting) as journal:
        await asyncio.gather(*(journal.admit(would_be(setting.clock), token_id=TOKEN_ID) for _ in range(5)))
    sizes: list[int] = []
    write = Transaction.write

    def counted(self: Transaction, connection: WriterConnection, counts: Counters) -> None:
        sizes.append(len(self.done))
        write(self, connection, counts)

    monkeypatch.setattr(Transaction, "write", counted)
    async with Running(setting) as journal:
        assert await journal.recover() == 5
    assert sizes == [2, 2, 1]


async def test_more_senders_than_are_remembered_keep_their_numbers(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counters.MAX_KNOWN_SENDERS == 65_536
    monkeypatch.setattr(counters, "MAX_KNOWN_SENDERS", 2)
    senders = [Address(bytes((number % 5,)) * 20) for number in range(20)]
    async with Running(setting) as journal:
        for sender in senders:
            ticket = await journal.admit(would_be(setting.clock, sender=sender), token_id=TOKEN_ID)
        await journal.recover()
    assert ticket.record.sender_seq == 4
    async with Running(setting) as journal:
        await journal.recover()
    assert findings(setting) == []


async def test_counters_notice_another_writer(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 2)
    database = setting.database()
    connection = database.writer()
    known = Counters(connection, setting.macs)
    assert (known.next_seq, known.next_index) == (3, 2)
    known.confirm(connection, known.standing)
    with pytest.raises(StateConflict):
        known.confirm(connection, (4, Index(2)))
    with pytest.raises(StateConflict):
        known.confirm(connection, (3, Index(1)))
    connection.close()


async def test_a_sender_with_many_open_requests_has_no_gap_after_some_are_refused(setting: Setting) -> None:
    async with Running(setting) as journal:
        calls = [asyncio.ensure_future(journal.admit(would_be(setting.clock), token_id=TOKEN_ID)) for _ in range(12)]
        await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        await journal.recover()
    kept = [result.record.sender_seq for result in results if not isinstance(result, BaseException)]
    assert sorted(set(kept)) == sorted(kept)
    async with Running(setting) as journal:
        await journal.recover()
    assert findings(setting) == []


async def test_a_record_that_can_in_no_way_be_written_harms_nobody_else(setting: Setting) -> None:
    unwritable = replace(would_be(setting.clock), task="")
    async with Running(setting) as journal:
        bad = await journal.admit(unwritable, token_id=TOKEN_ID)
        good = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        results = await asyncio.gather(
            journal.commit(completed(bad.record, setting.clock)),
            journal.commit(completed(good.record, setting.clock)),
            return_exceptions=True,
        )
        assert isinstance(results[0], RecordError)
        assert isinstance(results[1], JournalEntry)
        assert journal.counts().open == 1
    async with Running(setting) as journal:
        assert await journal.recover() == 1
        assert journal.counts().open == 1
        await record_many(journal, setting.clock, 2)


async def test_a_record_that_was_found_to_stand_is_not_written_again(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        journal._committer.open.clear()
        future: asyncio.Future[JournalEntry] = asyncio.get_running_loop().create_future()
        operation = Commit(record=completed(ticket.record, setting.clock), future=future)
        outcomes = carried_out(journal._committer, [operation])
    assert [type(result) for _, result in outcomes] == [NotAdmitted]
