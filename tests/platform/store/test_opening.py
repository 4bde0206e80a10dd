"""Records that the service opens for their own senders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tallystick_platform.errors import RowTampered
from tallystick_platform.store.epoch_keys import EpochKeyFiles
from tests.support.journals import LOG_ID, RANDOM, TOKEN_ID, Running, Setting, completed, record_one, would_be


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_a_record_is_what_was_recorded(setting: Setting) -> None:
    async with Running(setting) as journal:
        ticket = await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
        record = completed(ticket.record, setting.clock)
        entry = await journal.commit(record)
        stored = await journal.entry(entry.record_id)
        assert stored is not None
        assert await journal.opened(stored) == record


async def test_large_fields_stand_in_their_places(setting: Setting) -> None:
    async with Running(setting) as journal:
        draft = would_be(setting.clock)
        assert draft.request is not None
        draft = replace(draft, request=replace(draft.request, body=RANDOM(300_000)))
        ticket = await journal.admit(draft, token_id=TOKEN_ID)
        record = completed(ticket.record, setting.clock)
        stored = await journal.entry((await journal.commit(record)).record_id)
        assert stored is not None
        assert await journal.opened(stored) == record
        with setting.database().writing() as connection:
            connection.exec_driver_sql("DELETE FROM blob")
        with pytest.raises(RowTampered):
            await journal.opened(stored)


async def test_without_the_key_of_its_epoch_a_record_stays_closed(setting: Setting) -> None:
    async with Running(setting) as journal:
        stored = await journal.entry((await record_one(journal, setting.clock)).record_id)
        assert stored is not None
        EpochKeyFiles(setting.keys_dir, LOG_ID).erase(stored.epoch)
        assert await journal.opened(stored) is None
