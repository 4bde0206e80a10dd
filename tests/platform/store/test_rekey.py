"""The journal under another key of the operator's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_platform.errors import InventoryUnreadable, RowTampered
from tallystick_platform.store.check import check_journal
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import read_inventory, rekey
from tests.support.journals import DOMAIN, LOG_ID, WALLET, Running, Setting, findings, record_many

AFTER = RowMacs(b"\x77" * 32)


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    setting = Setting(tmp_path)
    async with Running(setting) as journal:
        await record_many(journal, setting.clock, 3)
    return setting


@pytest.fixture
def database(setting: Setting) -> Iterator[Database]:
    database = setting.database()
    yield database
    database.close()


def found_under(macs: RowMacs, setting: Setting, database: Database) -> set[str]:
    reveal = setting.sealer().reveal_draft
    faults = check_journal(database, macs, log_id=LOG_ID, domain=DOMAIN, writer=WALLET.address, reveal=reveal)
    return {fault.check for fault in faults}


def test_every_row_and_the_inventory_are_whole_under_the_new_key_and_not_under_the_old(
    setting: Setting, database: Database
) -> None:
    assert rekey(database, setting.macs, AFTER) == 3 + 3 + 1  # admissions, records, an epoch
    assert found_under(AFTER, setting, database) == set()
    assert {"row-mac", "inventory"} <= found_under(setting.macs, setting, database)


def test_the_numbers_go_on(setting: Setting, database: Database) -> None:
    rekey(database, setting.macs, AFTER)
    with database.reading() as connection:
        inventory = read_inventory(connection, AFTER)
    assert inventory is not None
    assert (inventory.next_seq, inventory.next_index) == (4, 3)


def test_a_changed_row_is_not_brought_under_the_new_key(setting: Setting, database: Database) -> None:
    with sqlite3.connect(setting.journal_path) as connection:
        connection.execute("UPDATE record SET task = 'other' WHERE log_index = 1")
    with pytest.raises(RowTampered):
        rekey(database, setting.macs, AFTER)
    with sqlite3.connect(setting.journal_path) as connection:
        connection.execute("UPDATE record SET task = 'chat' WHERE log_index = 1")
    assert findings(setting, database) == []


def test_a_missing_row_is_not_forgotten_on_the_way(setting: Setting, database: Database) -> None:
    with sqlite3.connect(setting.journal_path) as connection:
        connection.execute("DELETE FROM record WHERE log_index = 2")
    with pytest.raises(InventoryUnreadable, match="record"):
        rekey(database, setting.macs, AFTER)


def test_a_wrong_key_before_changes_nothing(setting: Setting, database: Database) -> None:
    with pytest.raises(InventoryUnreadable):
        rekey(database, AFTER, RowMacs(b"\x78" * 32))
    assert findings(setting, database) == []


def test_an_empty_journal_is_brought_over_too(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "empty")
    database = setting.database()
    assert rekey(database, setting.macs, AFTER) == 0
    database.close()
