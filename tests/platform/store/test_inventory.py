"""The inventory: counts, sums and next numbers, and the box that nobody else can open or write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.ids import Index
from tallystick_platform.errors import InventoryUnreadable, JournalUnavailable, StateConflict
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.inventory import NONCE_BYTES, SALT_BYTES, Holding, Inventory, InventoryBox
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import adopt, change_inventory, read_inventory
from tests.support.journals import ALICE, BOB, TOKEN_ID, WALLET, Bytes, Running, Setting, record_one, would_be

MACS = RowMacs(WALLET.secret)
ONE, TWO, THREE = (MACS.mark("t", (number,)) for number in range(3))


def full() -> Inventory:
    inventory = Inventory(next_seq=9, next_index=Index(7), floor=3, base_seq=4, base_index=Index(2))
    inventory.add("admission", [ONE, TWO])
    inventory.add("record", [THREE])
    return inventory


def test_the_order_of_changes_does_not_matter() -> None:
    one, other = Inventory(), Inventory()
    one.add("t", [ONE, TWO])
    one.replace("t", TWO, THREE)
    other.add("t", [TWO])
    other.add("t", [THREE])
    other.remove("t", [TWO])
    other.add("t", [ONE])
    assert one == other


def test_what_is_removed_leaves_nothing() -> None:
    inventory = Inventory()
    inventory.add("t", [ONE, TWO])
    inventory.remove("t", [TWO, ONE])
    assert inventory.tables == {"t": Holding(0, 0)}


def test_two_rows_for_one_give_another_sum() -> None:
    inventory, twice = Inventory(), Inventory()
    inventory.add("t", [ONE, TWO])
    twice.add("t", [ONE, ONE])
    assert inventory.tables["t"].count == twice.tables["t"].count
    assert inventory.tables["t"].total != twice.tables["t"].total


def test_a_box_gives_back_what_was_put_in() -> None:
    assert InventoryBox(MACS).open(InventoryBox(MACS).close(full())) == full()


def test_no_box_is_a_new_journal() -> None:
    assert InventoryBox(MACS).open(None) == Inventory()


def test_each_box_of_a_process_has_a_nonce_of_its_own_and_each_process_a_salt() -> None:
    boxes = InventoryBox(MACS, Bytes("salts"))
    first, second = boxes.close(full()), boxes.close(full())
    other = InventoryBox(MACS).close(full())
    assert first[:SALT_BYTES] == second[:SALT_BYTES] != other[:SALT_BYTES]
    nonces = [box[SALT_BYTES:][:NONCE_BYTES] for box in (first, second)]
    assert nonces == [(1).to_bytes(NONCE_BYTES, "big"), (2).to_bytes(NONCE_BYTES, "big")]


def test_nothing_of_a_box_can_be_changed() -> None:
    box = InventoryBox(MACS).close(full())
    for at in range(len(box)):
        with pytest.raises(InventoryUnreadable):
            InventoryBox(MACS).open(box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :])


@pytest.mark.parametrize("box", [b"", bytes(8), bytes(200)])
def test_what_is_no_box_does_not_open(box: bytes) -> None:
    with pytest.raises(InventoryUnreadable):
        InventoryBox(MACS).open(box)


def test_another_operators_box_does_not_open() -> None:
    with pytest.raises(InventoryUnreadable):
        InventoryBox(RowMacs(b"\x22" * 32)).open(InventoryBox(MACS).close(full()))


def test_an_adoption_goes_on_above_the_chain() -> None:
    inventory = full()
    inventory.adopt(size=Index(20), highest=100, void=90)
    assert (inventory.next_index, inventory.base_index) == (20, 20)
    assert (inventory.next_seq, inventory.base_seq, inventory.floor) == (101, 100, 90)


@pytest.mark.parametrize(("size", "highest"), [(6, 100), (20, 7)])
def test_an_adoption_never_goes_back(size: int, highest: int) -> None:
    with pytest.raises(ValueError, match="never below"):
        full().adopt(size=Index(size), highest=highest, void=0)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_after_an_adoption_every_number_is_above_the_floor(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock, sender=ALICE)
    with setting.database().writing() as connection:
        adopt(connection, setting.macs, size=Index(5), highest=1_000, void=1_000)
    async with Running(setting) as journal:
        tickets = [
            await journal.admit(would_be(setting.clock, sender=sender), token_id=TOKEN_ID)
            for sender in (ALICE, BOB, ALICE)
        ]
    numbers = [(ticket.record.admission_seq, ticket.record.sender_seq) for ticket in tickets]
    assert numbers == [(1_001, 1_001), (1_002, 1_001), (1_003, 1_002)]


async def test_after_an_adoption_that_declared_nothing_void_the_journal_starts(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    with setting.database().writing() as connection:
        adopt(connection, setting.macs, size=Index(5), highest=10, void=0)
    async with Running(setting) as journal:
        entry = await record_one(journal, setting.clock)
    assert (entry.admission_seq, entry.index) == (11, 5)
    with setting.database().writing() as connection:
        connection.exec_driver_sql("DELETE FROM record WHERE log_index = 5")
    with pytest.raises(JournalUnavailable, match="expected admission 11 and index 5"):
        await setting.journal(setting.database()).start()


async def test_a_running_journal_notices_that_others_wrote_other_tables(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
        with setting.database().writing() as connection:
            change_inventory(connection, setting.macs, lambda inventory: inventory.add("api_token", [ONE]))
        await record_one(journal, setting.clock)
    with setting.database().reading() as connection:
        inventory = read_inventory(connection, setting.macs)
    assert inventory is not None
    counts = {name: inventory.tables[name].count for name in ("api_token", "admission", "record")}
    assert counts == {"api_token": 1, "admission": 2, "record": 2}
    assert (inventory.next_seq, inventory.next_index) == (3, 2)


async def test_a_tail_written_by_something_else_keeps_the_journal_from_starting(setting: Setting) -> None:
    async with Running(setting) as journal:
        await record_one(journal, setting.clock)
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE record SET log_index = 4")
    with pytest.raises(StateConflict, match="admission 1 and index 0 as the last"):
        Counters(database.writer(), setting.macs)
