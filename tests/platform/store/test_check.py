"""The check of the whole journal: silent on a good one, and naming every column that something else changed."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Integer, LargeBinary, Table, select, update

from tallystick.hashing import keccak256
from tallystick.ids import Hash32, Head, Index
from tallystick.keys import Wallet
from tallystick.merkle import next_head, tree_root
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.check import Checked, check_journal
from tallystick_platform.store.database import Database
from tallystick_platform.store.drafts import encode_draft
from tallystick_platform.store.jobs import JobStore
from tallystick_platform.store.row_macs import RowMacs
from tallystick_platform.store.rows import Batch, Mined, Signed
from tallystick_platform.store.sealer import EpochPlan
from tallystick_platform.store.tables import METADATA, BatchRow, EpochRow, RecordRow, table_of
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
    Setting,
    completed,
    findings,
    record_many,
    would_be,
)
from tests.support.model_rows import model_rows

TABLES = (
    "api_token",
    "admission",
    "draft",
    "record",
    "blob",
    "batch",
    "epoch",
    "model",
    "model_version",
    "upload",
    "upload_part",
    "export_job",
)
COLUMNS = [(name, column.name) for name in TABLES for column in METADATA.tables[name].columns]


async def full_journal(setting: Setting) -> None:
    """Rows in every table: two epochs, two batches of which one is mined, a blob, a draft, a token, a model, an upload, an export."""
    database = setting.database()
    model_rows(database, setting.macs)
    JobStore(database, setting.macs).insert(a_full_job())
    TokenStore(database, setting.macs).create(name="test", address=ALICE, now_us=setting.clock.now_us())
    journal = setting.journal(database)
    await journal.start()
    await record_many(journal, setting.clock, 3)
    setting.clock.advance(setting.epoch_seconds)
    large = {"messages": [{"role": "user", "content": RANDOM(20_000).hex()}]}
    ticket = await journal.admit(replace(would_be(setting.clock, sender=BOB), prompt=large), token_id=TOKEN_ID)
    await journal.commit(completed(ticket.record, setting.clock))
    await journal.admit(would_be(setting.clock), token_id=TOKEN_ID)
    await journal.close()
    batches = Batches(database, setting.macs)
    first = plan(batches, 0, 0, 3, Head(LOG_ID))
    raw = b"transaction"
    now = setting.clock.now_us()
    batches.save_signed(first, Signed(nonce=7, tx_hash=Hash32(keccak256(raw)), raw=raw), now)
    mined = Mined(
        tx_hash=Hash32(keccak256(raw)), block_number=5, block_hash=Hash32(b"\x0b" * 32), block_time=9, gas_used=8
    )
    batches.save_mined(first, mined, now)
    plan(batches, 1, 3, 1, first.head)
    database.close()


def plan(batches: Batches, number: int, first_index: int, count: int, head: Head) -> Batch:
    """Plan a batch as the anchorer does."""
    pending = batches.records(first_index, count)
    root = tree_root([record.leaf for record in pending])
    batch = Batch(
        number=number,
        first_index=pending[0].index,
        count=count,
        root=root,
        head=next_head(head, root, first_index, count),
    )
    batches.plan_batch(batch, 1)
    return batch


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
        "model": 1,
        "model_version": 1,
        "upload": 1,
        "upload_part": 1,
        "export_job": 1,
    }


def test_every_table_of_the_schema_is_covered_here() -> None:
    assert set(TABLES) == set(METADATA.tables)


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_changed_column_is_found_and_named(setting: Setting, table: str, column: str) -> None:
    database = setting.database()
    row = change(database, METADATA.tables[table], column)
    named = [found for found in findings(setting, database) if (found.table, found.row) == (table, row)]
    assert any(column in found.columns for found in named)


@pytest.mark.parametrize("table", ["admission", "record", "epoch", "batch", "draft"])
def test_a_deleted_row_is_found(setting: Setting, table: str) -> None:
    database = setting.database()
    key = next(iter(METADATA.tables[table].primary_key.columns))
    with database.writing() as connection:
        first = connection.execute(select(key).order_by(key)).scalar()
        connection.execute(METADATA.tables[table].delete().where(key == first))
    assert findings(setting, database) != []


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
    ("model", "row", "changes", "check"),
    [
        (RecordRow, 1, {"leaf": b"\x01" * 32}, "leaf"),
        (RecordRow, 1, {"sealed": b"\x01\x00\x00\x00\x00\x01" + bytes(64)}, "leaf"),
        (RecordRow, 1, {"sealed": b"\x09" * 64}, "sealed"),
        (RecordRow, 1, {"response_hash": b"\x01" * 32}, "receipt"),
        (RecordRow, 1, {"signature": b"\x01" * 65}, "receipt"),
        (RecordRow, 1, {"epoch": 2}, "epoch"),
        (RecordRow, 1, {"task": "embed"}, "admission"),
        (RecordRow, 3, {"log_index": 9}, "index-continuity"),
        (BatchRow, 0, {"root": b"\x01" * 32}, "root"),
        (BatchRow, 1, {"head": b"\x01" * 32}, "head"),
        (BatchRow, 1, {"first_index": 2}, "batch-span"),
        (BatchRow, 1, {"number": 2}, "batch-sequence"),
        (BatchRow, 1, {"state": "mined"}, "state"),
        (BatchRow, 1, {"state": "sent"}, "state"),
        (BatchRow, 0, {"state": "planned"}, "state"),
        (BatchRow, 0, {"state": "lost"}, "state"),
        (BatchRow, 0, {"raw_tx": b"another"}, "transaction"),
        (EpochRow, 1, {"closed_at": None}, "epoch-closed"),
        (EpochRow, 2, {"first_index": 2}, "epoch-span"),
        (EpochRow, 2, {"number": 3}, "epoch-sequence"),
    ],
)
def test_contradictions_are_found_even_where_the_mac_fits(
    setting: Setting, model: type, row: int, changes: dict[str, object], check: str
) -> None:
    forger = Forger(setting)
    forger.set(table_of(model), row, **changes)
    found = findings(setting, forger.database)
    assert check in {one.check for one in found}
    assert "row-mac" not in {one.check for one in found}


def test_a_receipt_by_another_wallet_is_found(setting: Setting) -> None:
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": Wallet.generate().address}
    found = list(check_journal(setting.database(), setting.macs, reveal=setting.sealer().reveal_draft, **options))
    assert {one.check for one in found} == {"receipt"}
    assert len(found) == 4


def test_under_another_operators_key_no_row_fits(setting: Setting) -> None:
    options = {"log_id": LOG_ID, "domain": DOMAIN, "writer": WALLET.address}
    macs = RowMacs(b"\x22" * 32)
    found = list(check_journal(setting.database(), macs, reveal=setting.sealer().reveal_draft, **options))
    assert {one.check for one in found} == {"row-mac"}
    assert len(found) == 20


def test_a_value_of_the_wrong_type_ends_a_check_and_not_the_walk(setting: Setting) -> None:
    database = setting.database()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE record SET fields_root = 'text' WHERE log_index = 1")
        connection.exec_driver_sql("UPDATE batch SET count = -1 WHERE number = 1")
    checks = {one.check for one in findings(setting, database)}
    assert {"row-mac", "records", "batches"} <= checks


def test_a_finding_reads_as_one_line(setting: Setting) -> None:
    database = setting.database()
    change(database, table_of(RecordRow), "leaf")
    line = next(str(one) for one in findings(setting, database) if one.check == "leaf")
    assert line.startswith("leaf: record 0 (log_index, fields_root, sealed, leaf): expected 0x")
    assert "\n" not in line


def test_a_draft_of_another_admission_is_found(setting: Setting) -> None:
    database = setting.database()
    sealer = setting.sealer()
    with database.reading() as connection:
        plan = connection.execute(select(table_of(EpochRow)).order_by(EpochRow.number.desc())).mappings().first()
    assert plan is not None
    number = plan["number"]
    sealer.resume(EpochPlan(number=number, first_index=Index(0), wraps=(), opened_at=plan["opened_at"]))
    other_draft = replace(would_be(setting.clock), admission_seq=5, sender_seq=9)
    ciphertext = sealer.protect_draft(5, encode_draft(other_draft))
    with database.writing() as connection:
        connection.execute(update(METADATA.tables["draft"]).values(ciphertext=ciphertext))
    found = findings(setting, database)
    assert [(one.check, one.row, one.columns) for one in found] == [("draft", 5, ("ciphertext",))]
