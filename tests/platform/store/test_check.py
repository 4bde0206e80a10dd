"""The check of the whole journal: silent on a good one, and naming every column that something else changed."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Integer, LargeBinary, Table, select, update

from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, next_head, writer_body
from tallystick.ids import Hash32, Index
from tallystick.keys import Wallet
from tallystick.merkle import tree_root
from tallystick_platform.errors import InventoryUnreadable, StateConflict
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.check import ChainStanding, Checked, check_journal
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.database import Database
from tallystick_platform.store.drafts import encode_draft
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.jobs import JobStore
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.row_writes import adopt, delete_rows, insert_row
from tallystick_platform.store.rows import Batch, Mined, Signed, pack_wraps
from tallystick_platform.store.sealer import EpochPlan
from tallystick_platform.store.tables import ADMISSION, ADOPTED, BATCH, EPOCH, METADATA, RECORD, ROTATION, VOID
from tallystick_platform.store.tokens import TokenStore
from tests.support.job_rows import a_full_job
from tests.support.journals import (
    ALICE,
    BOB,
    DOMAIN,
    LOG_ID,
    RANDOM,
    TOKEN_ID,
    WALLET,
    Running,
    Setting,
    completed,
    findings,
    record_many,
    record_one,
    would_be,
)
from tests.support.model_rows import model_rows
from tests.support.work_rows import work_rows

EARLIER = Wallet(b"\x12" * 32)

TABLES = (
    "api_token",
    "admission",
    "draft",
    "record",
    "blob",
    "batch",
    "epoch",
    "void",
    "rotation",
    "adopted_record",
    "model",
    "model_version",
    "upload",
    "upload_part",
    "export_job",
    "work",
    "work_line",
    "kept_file",
    "kept_content",
)
COLUMNS = [(name, column.name) for name in TABLES for column in METADATA.tables[name].columns]


async def full_journal(setting: Setting) -> None:
    """Rows in every table: two epochs, two batches of which one is mined, a blob, a draft, a token, a model, an upload, an export, a job.

    And what an adoption leaves: numbers to be declared void, a record that only the chain has, an earlier writer.
    """
    database = setting.database()
    model_rows(database, setting.macs)
    JobStore(database, setting.macs).insert(a_full_job())
    work_rows(database, setting.macs)
    TokenStore(database, setting.macs).create(name="test", address=ALICE, now_us=setting.clock.now_us())
    journal = setting.journal(database)
    await journal.start()
    journal.release()
    await record_many(journal, setting.clock, 3)
    setting.clock.advance(setting.epoch_seconds)
    large = would_be(setting.clock, sender=BOB, body=RANDOM(200_000))
    ticket = await journal.admit(large, token_id=TOKEN_ID)
    await journal.commit(completed(ticket.record, setting.clock))
    await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()
    batches = setting.batches(database)
    place(batches)
    first = plan(batches, 0, 0, 3)
    raw = b"transaction"
    now = setting.clock.now_us()
    batches.save_signed(first, Signed(nonce=7, tx_hash=Hash32(keccak256(raw)), raw=raw), now)
    mined = Mined(
        tx_hash=Hash32(keccak256(raw)), block_number=5, block_hash=Hash32(b"\x0b" * 32), block_time=9, gas_used=8
    )
    batches.save_mined(first, mined, now)
    place(batches)
    last = plan(batches, 1, 3, 1)
    with database.writing() as connection:
        insert_row(connection, setting.macs, VOID, void_row(number=0, first=50, last=60))
        insert_row(connection, setting.macs, ADOPTED, {"log_index": 40, "admission_seq": 40, "leaf": b"\x0a" * 32})
        insert_row(connection, setting.macs, ROTATION, rotation_row(last))
    database.close()


def place(batches: Batches) -> None:
    """Give the next epoch its place as the anchorer does."""
    epoch, tip = batches.next_epoch(), batches.tip()
    assert epoch is not None
    batches.place(epoch, tip.entries, tip.head_after(epoch))


def plan(batches: Batches, number: int, first_index: int, count: int) -> Batch:
    """Plan a batch as the anchorer does."""
    pending, tip = batches.records(first_index, count), batches.tip()
    root = tree_root([record.leaf for record in pending])
    epoch = pending[0].epoch
    batch = Batch(
        number=number,
        entry=tip.entries,
        epoch=epoch,
        first_index=pending[0].index,
        count=count,
        root=root,
        head=tip.head_after_batch(epoch, count, root),
    )
    batches.plan_batch(batch, 1)
    return batch


def void_row(*, number: int, first: int, last: int) -> dict[str, object]:
    empty = dict.fromkeys(column.name for column in VOID.columns if column.name != "mac")
    return empty | {
        "number": number, "first": first, "last": last, "adopted": 0, "state": "planned", "created_at": 1,
    }  # fmt: skip


def rotation_row(last: Batch) -> dict[str, object]:
    """An earlier writer handed over to today's after the last batch."""
    head = next_head(last.head, EntryKind.WRITER, last.entry + 1, writer_body(EARLIER.address, WALLET.address, 4, 4))
    return {
        "entry": last.entry + 1,
        "head": head,
        "previous": EARLIER.address,
        "writer": WALLET.address,
        "size": 4,
        "last_admission": 4,
        "tx_hash": b"\x0c" * 32,
        "block_number": 6,
        "block_hash": b"\x0d" * 32,
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    setting = Setting(tmp_path_factory.mktemp("journal"))
    asyncio.run(full_journal(setting))
    return setting


@pytest.fixture
def setting(template: Setting, tmp_path: Path) -> Setting:
    shutil.copytree(template.home, tmp_path / "home")
    return replace(template, home=tmp_path / "home")


def change(database: Database, table: Table, column: str) -> object:
    """Change one column of the first row of a table, keeping its type; says which row a reader now finds there."""
    key = next(iter(table.primary_key.columns))
    with database.writing() as connection:
        row = connection.execute(select(table).order_by(key)).mappings().first()
        assert row is not None, f"the template has no row in {table.name}"
        changed = other(row[column], table.c[column].type)
        connection.execute(update(table).where(key == row[key.name]).values({column: changed}))
    named = changed if column == key.name else row[key.name]
    return named.hex() if isinstance(named, bytes) else named


def other(value: object, kind: object) -> object:
    """A value of the same type that is not this one."""
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1,)) + value[1:]
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, int):
        return value + 1_000
    return 1 if isinstance(kind, Integer) else b"\x01" if isinstance(kind, LargeBinary) else "x"


def test_a_good_journal_has_no_findings(setting: Setting) -> None:
    assert findings(setting) == []


def test_a_new_journal_has_no_findings(tmp_path: Path) -> None:
    assert findings(Setting(tmp_path), chain=ChainStanding(size=0, entries=0)) == []


def test_every_row_of_every_table_is_looked_at(setting: Setting) -> None:
    checked = Checked()
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": WALLET.address, "checked": checked}
    assert list(check_journal(setting.database(), setting.macs, reveal=setting.sealer().reveal_draft, **options)) == []
    assert dict(checked.rows) == {
        "api_token": 1,
        "admission": 5,
        "draft": 1,
        "record": 4,
        "blob": 1,
        "batch": 2,
        "epoch": 2,
        "void": 1,
        "rotation": 1,
        "adopted_record": 1,
        "model": 1,
        "model_version": 1,
        "upload": 1,
        "upload_part": 1,
        "export_job": 1,
        "work": 1,
        "work_line": 1,
        "kept_file": 1,
        "kept_content": 1,
    }


def test_every_table_of_the_schema_is_covered_here() -> None:
    assert {*TABLES, "inventory", "kept_answer"} == set(METADATA.tables)  # a kept answer is told when it is read


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_column_is_found_and_named(setting: Setting, table: str, column: str) -> None:
    database = setting.database()
    row = change(database, METADATA.tables[table], column)
    named = [found for found in findings(setting, database) if (found.table, found.row) == (table, row)]
    assert any(column in found.columns for found in named)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("which", ["asc", "desc"])
def test_a_deleted_row_is_found_and_its_table_named(setting: Setting, table: str, which: str) -> None:
    database = setting.database()
    key = next(iter(METADATA.tables[table].primary_key.columns))
    with database.writing() as connection:
        row = connection.execute(select(key).order_by(getattr(key, which)())).scalars().first()
        connection.execute(METADATA.tables[table].delete().where(key == row))
    named = {found.table for found in findings(setting, database)}
    assert (table if table != "draft" else "admission") in named


@pytest.mark.parametrize("table", [name for name in TABLES if name != "draft"])
def test_an_emptied_table_is_found_and_named(setting: Setting, table: str) -> None:
    database = setting.database()
    with database.writing() as connection:
        connection.execute(METADATA.tables[table].delete())
    assert "rows" in {found.check for found in findings(setting, database) if found.table == table}


def test_a_dropped_tail_is_found(setting: Setting) -> None:
    """The last request is taken out of every table, as if it had never been made."""
    database = setting.database()
    with database.writing() as connection:
        for statement in (
            "DELETE FROM draft WHERE admission_seq >= 4",
            "DELETE FROM blob WHERE log_index >= 3",
            "DELETE FROM record WHERE log_index >= 3",
            "DELETE FROM admission WHERE seq >= 4",
            "DELETE FROM batch WHERE number >= 1",
            "DELETE FROM rotation",
        ):
            connection.exec_driver_sql(statement)
    found = {(one.check, one.table) for one in findings(setting, database)}
    assert {("tail", "admission"), ("tail", "record"), ("rows", "batch"), ("rows", "blob")} <= found


def test_a_dropped_tail_keeps_the_journal_from_starting(setting: Setting) -> None:
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM admission WHERE seq >= 5")
    with pytest.raises(StateConflict, match="rows were removed"):
        Counters(database.writer(), setting.macs)


def test_a_revoked_token_put_back_is_found(setting: Setting) -> None:
    """The row as it was before the revocation, with the MAC that was good then."""
    database = setting.database()
    tokens, table = TokenStore(database, setting.macs), METADATA.tables["api_token"]
    with database.reading() as connection:
        before = dict(connection.execute(select(table)).mappings().one())
    tokens.revoke(before["id"], now_us=setting.clock.now_us())
    assert findings(setting, database) == []
    with database.writing() as connection:
        connection.execute(update(table).values(before))
    assert [(one.check, one.table) for one in findings(setting, database)] == [("rows", "api_token")]


def test_an_older_inventory_beside_the_rows_of_its_time_is_found_by_the_other_tables(setting: Setting) -> None:
    """The thief of a backup puts back a token that was revoked, and the inventory of that day; the rest went on since."""
    database = setting.database()
    table, inventory = METADATA.tables["api_token"], METADATA.tables["inventory"]
    with database.reading() as connection:
        token = dict(connection.execute(select(table)).mappings().one())
        box = connection.execute(select(inventory.c.box)).scalar_one()
    TokenStore(database, setting.macs).revoke(token["id"], now_us=setting.clock.now_us())
    JobStore(database, setting.macs).insert(a_full_job(id="exp_000000000000000000000002"))
    with database.writing() as connection:
        connection.execute(update(table).values(token))
        connection.execute(update(inventory).values(box=box))
    assert [(one.check, one.table) for one in findings(setting, database)] == [("rows", "export_job")]


@pytest.mark.parametrize("change", ["DELETE FROM inventory", "UPDATE inventory SET id = 2"])
def test_a_missing_inventory_is_found_and_keeps_the_journal_from_starting(setting: Setting, change: str) -> None:
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql(change)
    assert [(one.check, one.found) for one in findings(setting, database)] == [
        ("inventory", "none, and 27 rows in other tables")
    ]
    with pytest.raises(InventoryUnreadable, match="missing"):
        Counters(database.writer(), setting.macs)


@pytest.mark.parametrize("position", [0, 16, 28, -1])
def test_a_changed_inventory_is_found_and_keeps_the_journal_from_starting(setting: Setting, position: int) -> None:
    database = setting.database()
    table = METADATA.tables["inventory"]
    with database.writing() as connection:
        box = bytearray(connection.execute(select(table.c.box)).scalar_one())
        box[position] ^= 1
        connection.execute(update(table).values(box=bytes(box)))
    assert [(one.check, one.table) for one in findings(setting, database)] == [("inventory", "inventory")]
    with pytest.raises(InventoryUnreadable, match="does not open"):
        Counters(database.writer(), setting.macs)


def test_an_emptied_journal_is_found_against_the_chain(tmp_path: Path) -> None:
    found = findings(Setting(tmp_path), chain=ChainStanding(size=4, entries=3))
    assert [(one.check, one.table, one.found) for one in found] == [
        ("chain", "record", "0"),
        ("chain", "batch", "0 of them"),
    ]


def test_an_older_copy_of_the_journal_is_found_against_the_chain(setting: Setting) -> None:
    with (
        setting.database().writing() as connection
    ):  # the adopted record lies beyond; here it would hide what is missing
        delete_rows(connection, setting.macs, ADOPTED, ADOPTED.c.log_index == 40)
    assert findings(setting, chain=ChainStanding(size=4, entries=5)) == []
    found = findings(setting, chain=ChainStanding(size=5, entries=6))
    assert [(one.check, one.expected, one.found) for one in found] == [
        ("chain", "5 records, as on the chain", "4"),
        ("chain", "6 entries, as on the chain", "5 of them"),
    ]


def test_numbers_and_indices_that_a_restored_backup_lost_are_no_gaps(setting: Setting) -> None:
    """After an adoption the journal goes on above what was declared void, and behind the chain's records."""
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM draft")
        delete_rows(connection, setting.macs, ADOPTED, ADOPTED.c.log_index == 40)
        delete_rows(connection, setting.macs, VOID, VOID.c.number == 0)
        for index, seq in ((4, 5), (5, 7)):
            insert_row(connection, setting.macs, ADOPTED, {"log_index": index, "admission_seq": seq, "leaf": bytes(32)})
        for number, (first, last) in enumerate([(6, 6), (8, 60)]):
            insert_row(connection, setting.macs, VOID, void_row(number=number, first=first, last=last))
        adopt(connection, setting.macs, size=Index(6), highest=60, void=60)
    database.close()
    entries = asyncio.run(recorded(setting, 2))
    assert [(entry.index, entry.admission_seq) for entry in entries] == [(6, 61), (7, 62)]
    assert findings(setting) == []
    with setting.database().writing() as connection:
        delete_rows(connection, setting.macs, VOID, VOID.c.number == 0)
    assert [(one.check, one.row, one.expected) for one in findings(setting)] == [("admission-sequence", 61, "seq 6")]


async def recorded(setting: Setting, count: int) -> list[JournalEntry]:
    async with Running(setting) as journal:
        return [await record_one(journal, setting.clock) for _ in range(count)]


class Forger:
    """Someone with the operator's key, who changes rows and makes their MACs fit again."""

    def __init__(self, setting: Setting) -> None:
        self.database = setting.database()
        self._macs = setting.macs

    def set(self, table: Table, row: int, **changes: object) -> None:
        key = next(iter(table.primary_key.columns))
        with self.database.writing() as connection:
            found = dict(connection.execute(select(table).where(key == row)).mappings().one())
            found |= changes
            found["mac"] = self._macs.of_row(table, found)
            connection.execute(update(table).where(key == row).values(found))


@pytest.mark.parametrize(
    ("table", "row", "changes", "check"),
    [
        (RECORD, 1, {"leaf": b"\x01" * 32}, "leaf"),
        (RECORD, 1, {"sealed": b"\x20" + bytes(7) + b"\x02" + bytes(64)}, "leaf"),
        (RECORD, 1, {"sealed": b"\x20" + bytes(7) + b"\x03" + bytes(64)}, "header"),
        (RECORD, 1, {"sealed": b"\x09" * 64}, "sealed"),
        (RECORD, 1, {"anchor_by": 2**40}, "receipt"),
        (ADMISSION, 2, {"record_by": 1}, "promise"),
        (ADMISSION, 2, {"signature": b"\x01" * 65}, "promise"),
        (ADMISSION, 2, {"sender_seq": 9}, "sender-sequence"),
        (RECORD, 1, {"response_hash": b"\x01" * 32}, "receipt"),
        (RECORD, 1, {"signature": b"\x01" * 65}, "receipt"),
        (RECORD, 1, {"epoch": 2}, "batch-span"),
        (RECORD, 1, {"epoch": 9}, "epoch"),
        (RECORD, 1, {"task": "embed"}, "admission"),
        (RECORD, 3, {"log_index": 9}, "index-continuity"),
        (BATCH, 0, {"root": b"\x01" * 32}, "root"),
        (BATCH, 1, {"head": b"\x01" * 32}, "head"),
        (BATCH, 1, {"epoch": 1}, "head"),
        (BATCH, 1, {"entry": 9}, "entry-sequence"),
        (EPOCH, 1, {"wraps": pack_wraps((b"\x01" * 1_176,))}, "head"),
        (EPOCH, 2, {"head": None}, "head"),
        (ROTATION, 4, {"writer": b"\x01" * 20}, "head"),
        (BATCH, 1, {"first_index": 2}, "batch-span"),
        (BATCH, 1, {"number": 2}, "batch-sequence"),
        (BATCH, 1, {"state": "mined"}, "state"),
        (BATCH, 1, {"state": "sent"}, "state"),
        (BATCH, 0, {"state": "planned"}, "state"),
        (BATCH, 0, {"state": "lost"}, "state"),
        (BATCH, 0, {"raw_tx": b"another"}, "transaction"),
        (EPOCH, 1, {"closed_at": None}, "epoch-closed"),
        (EPOCH, 2, {"first_index": 2}, "epoch-span"),
        (EPOCH, 2, {"number": 3}, "epoch-sequence"),
    ],
)
def test_contradictions_are_found_even_where_the_mac_fits(
    setting: Setting, table: Table, row: int, changes: dict[str, object], check: str
) -> None:
    forger = Forger(setting)
    forger.set(table, row, **changes)
    found = findings(setting, forger.database)
    assert check in {one.check for one in found}
    assert "row-mac" not in {one.check for one in found}


def test_what_another_wallet_signed_is_found(setting: Setting) -> None:
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": Wallet.generate().address}
    found = list(check_journal(setting.database(), setting.macs, reveal=setting.sealer().reveal_draft, **options))
    assert Counter(one.check for one in found) == {"receipt": 4, "promise": 5}


def test_what_an_earlier_writer_signed_stands(setting: Setting) -> None:
    """The wallet that signed everything here hands over to another."""
    with setting.database().writing() as connection:
        delete_rows(connection, setting.macs, ROTATION, ROTATION.c.entry == 4)
        last = setting.batches(setting.database()).batch(1)
        successor = Wallet.generate().address
        body = writer_body(WALLET.address, successor, 4, 4)
        row = rotation_row(last) | {"previous": WALLET.address, "writer": successor}
        insert_row(connection, setting.macs, ROTATION, row | {"head": next_head(last.head, EntryKind.WRITER, 4, body)})
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": successor}
    assert list(check_journal(setting.database(), setting.macs, reveal=setting.sealer().reveal_draft, **options)) == []


def test_under_another_operators_key_no_row_fits(setting: Setting) -> None:
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": WALLET.address}
    macs = RowMacs(b"\x22" * 32)
    found = list(check_journal(setting.database(), macs, reveal=setting.sealer().reveal_draft, **options))
    assert Counter(one.check for one in found) == {"row-mac": 27, "inventory": 1}


def test_a_value_of_the_wrong_type_ends_a_check_and_not_the_walk(setting: Setting) -> None:
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE record SET fields_root = 'text' WHERE log_index = 1")
        connection.exec_driver_sql("UPDATE batch SET count = -1 WHERE number = 1")
    checks = {one.check for one in findings(setting, database)}
    assert {"row-mac", "records", "entries"} <= checks


def test_a_finding_reads_as_one_line(setting: Setting) -> None:
    database = setting.database()
    change(database, RECORD, "leaf")
    line = next(str(one) for one in findings(setting, database) if one.check == "leaf")
    assert line.startswith("leaf: record 0 (log_index, fields_root, sealed, leaf): expected 0x")
    assert "\n" not in line


def test_a_draft_of_another_admission_is_found(setting: Setting) -> None:
    database = setting.database()
    sealer = setting.sealer()
    with database.reading() as connection:
        plan = connection.execute(select(EPOCH).order_by(EPOCH.c.number.desc())).mappings().first()
    assert plan is not None
    number = plan["number"]
    sealer.resume(EpochPlan(number=number, first_index=Index(0), wraps=(), opened_at=plan["opened_at"]))
    other_draft = replace(would_be(setting.clock), admission_seq=5, sender_seq=9)
    ciphertext = sealer.protect_draft(5, encode_draft(other_draft))
    with database.writing() as connection:
        connection.execute(update(METADATA.tables["draft"]).values(ciphertext=ciphertext))
    found = findings(setting, database)
    assert [(one.check, one.row, one.columns) for one in found] == [("draft", 5, ("ciphertext",))]
