"""Epochs as the journal lives through them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch
from tallystick.keys import AuditorKey
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tallystick_platform.store.group import GroupCommitter
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import EPOCH
from tests.support.journals import (
    LOG_ID,
    TOKEN_ID,
    Running,
    Setting,
    carried_out,
    completed,
    findings,
    record_many,
    record_one,
    would_be,
)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def held(setting: Setting) -> list[Epoch]:
    return EpochKeyFiles(setting.keys_dir, LOG_ID).held()


def spans(setting: Setting) -> list[tuple[int, int, bool]]:
    """Number, first index and whether it is closed, of every epoch."""
    with setting.database().reading() as connection:
        rows = connection.execute(EPOCH.select().order_by(EPOCH.c.number)).fetchall()
    return [(row.number, row.first_index, row.closed_at is not None) for row in rows]


async def test_the_first_request_opens_the_first_epoch(setting: Setting) -> None:
    async with Running(setting) as journal:
        assert spans(setting) == []
        await record_one(journal, setting.clock)
    assert spans(setting) == [(1, 0, False)]


async def test_a_new_epoch_begins_at_the_next_record_and_the_old_key_is_dropped(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 3)
        assert held(setting) == [1]
        setting.clock.advance(setting.epoch_seconds)
        entry = await record_one(journal, setting.clock)
    assert entry.epoch == 2
    assert spans(setting) == [(1, 0, True), (2, 3, False)]
    assert held(setting) == [2]
    assert findings(setting) == []


async def test_a_key_is_kept_while_a_draft_needs_it(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        setting.clock.advance(setting.epoch_seconds)
        await record_one(journal, setting.clock)
        assert held(setting) == [1, 2]
        entry = await journal.commit(completed(ticket.record, setting.clock))
        await journal.recover()
        assert entry.epoch == 2
    assert held(setting) == [2]


async def test_a_draft_of_a_closed_epoch_is_recovered_after_a_crash_and_then_its_key_is_dropped(
    setting: Setting,
) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        setting.clock.advance(setting.epoch_seconds)
        await record_one(journal, setting.clock)
    async with Running(setting) as journal:
        assert await journal.recover() == 1
        stored = await journal.entry(ticket.record.id)
    assert stored is not None
    assert stored.epoch == 2
    assert held(setting) == [2]
    assert findings(setting) == []


async def test_an_epoch_goes_on_after_a_restart(setting: Setting) -> None:
    for _ in range(2):
        async with Running(setting) as journal:
            await record_one(journal, setting.clock)
    assert spans(setting) == [(1, 0, False)]


async def test_another_auditor_means_another_epoch(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    changed = replace(setting, auditor=AuditorKey.generate())
    async with Running(changed) as journal:
        await record_one(journal, setting.clock)
    assert spans(setting) == [(1, 0, True), (2, 1, False)]


async def test_a_lost_key_costs_an_epoch_and_nothing_else(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    EpochKeyFiles(setting.keys_dir, LOG_ID).erase(Epoch(1))
    async with Running(setting) as journal:
        assert (await record_one(journal, setting.clock)).epoch == 2
    assert findings(setting) == []


async def test_an_epoch_whose_row_was_never_written_is_taken_up_with_its_key(setting: Setting) -> None:
    planned = EpochKeyFiles(setting.keys_dir, LOG_ID).create(Epoch(1))
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    assert EpochKeyFiles(setting.keys_dir, LOG_ID).load(Epoch(1)) == planned


async def test_epochs_wait_for_the_chain_in_their_order(setting: Setting) -> None:
    async with Running(setting) as journal:
        for _ in range(2):
            await record_one(journal, setting.clock)
            setting.clock.advance(setting.epoch_seconds)
    batches = setting.batches(setting.database())
    first = batches.next_epoch()
    assert first is not None
    assert (first.number, first.first_index) == (1, 0)


def committer(setting: Setting, sealer: Sealer) -> GroupCommitter:
    """What the writer runs, without the writer."""
    made = GroupCommitter(setting.database(), sealer, setting.macs, clock=setting.clock, promise_s=60)
    made.held = None
    return made


async def test_an_idle_journal_drops_the_key_of_an_epoch_that_is_over(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    writer = committer(setting, setting.sealer())
    writer.connect()
    writer.idle()
    assert held(setting) == [1]
    setting.clock.advance(setting.epoch_seconds)
    writer.idle()
    assert spans(setting) == [(1, 0, True)]
    assert held(setting) == []
    writer.idle()
    writer.close()
    async with Running(setting) as journal:
        assert (await record_one(journal, setting.clock)).epoch == 2
    assert findings(setting) == []


async def test_an_idle_journal_keeps_the_key_while_a_request_is_open(setting: Setting) -> None:
    async with Running(setting) as journal:
        await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    writer = committer(setting, setting.sealer())
    writer.connect()
    setting.clock.advance(setting.epoch_seconds)
    writer.idle()
    assert spans(setting) == [(1, 0, True)]
    assert held(setting) == [1]
    carried_out(writer, ())
    assert held(setting) == [2]
    writer.close()


async def test_a_key_that_cannot_be_erased_yet_is_erased_with_a_later_group(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: EpochKeyFiles, epoch: Epoch) -> None:
        raise KeyFileError(f"{epoch}.key", "read-only file system")

    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
        setting.clock.advance(setting.epoch_seconds)
        with monkeypatch.context() as patched:
            patched.setattr(EpochKeyFiles, "erase", refuse)
            await record_one(journal, setting.clock)
            assert held(setting) == [1, 2]
        await record_one(journal, setting.clock)
    assert held(setting) == [2]
