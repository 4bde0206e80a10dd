"""Opening the database: durability, migrations, modes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tallystick_platform.errors import SchemaTooNew, SchemaTooOld, StoreError
from tallystick_platform.store import migration
from tallystick_platform.store.database import Database
from tallystick_platform.store.tables import METADATA

SCHEMA = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version' ORDER BY name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "journal.sqlite"


@pytest.mark.parametrize(
    ("pragma", "expected"), [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("busy_timeout", 5000)]
)
def test_every_connection_is_durable_and_leaves_nothing_behind(path: Path, pragma: str, expected: object) -> None:
    database = Database.open(path)
    with database.reading() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == expected
    assert database.writer().fetch(f"PRAGMA {pragma}") == [(expected,)]


def test_the_file_and_its_folder_are_for_the_owner_alone(path: Path) -> None:
    Database.open(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_migrating_an_empty_database_gives_exactly_the_schema_of_the_tables(path: Path) -> None:
    fresh = create_engine("sqlite://")
    METADATA.create_all(fresh)
    with Database.open(path).reading() as migrated, fresh.connect() as created:
        assert compare_metadata(MigrationContext.configure(migrated), METADATA) == []
        assert migrated.exec_driver_sql(SCHEMA).fetchall() == created.exec_driver_sql(SCHEMA).fetchall()


def test_the_newest_migration_is_the_one_that_opening_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migration.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [migration.HEAD]


def test_opening_again_changes_nothing(path: Path) -> None:
    Database.open(path).close()
    before = path.read_bytes()
    Database.open(path).close()
    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_an_empty_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE record (x)")
    with pytest.raises(StoreError):
        Database.open(path)
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["record"]


def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    database = Database.open(path)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew) as refused:
        Database.open(path)
    assert (refused.value.found, refused.value.known) == ("9999", migration.HEAD)


@pytest.mark.parametrize("found", ["0001", "0003"])
def test_a_journal_of_the_first_format_is_refused_with_a_sentence(path: Path, found: str) -> None:
    database = Database.open(path)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (found,))
    with pytest.raises(SchemaTooOld, match=r"format version 1, which was never released .* start with another folder"):
        Database.open(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        Database.open(path)


def test_a_write_that_fails_is_undone(path: Path) -> None:
    database = Database.open(path)

    def write() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO draft VALUES (1, 1, x'00')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM draft").scalar() == 0


def test_closing_the_writers_connection_undoes_what_it_did_not_commit(path: Path) -> None:
    database = Database.open(path)
    writer = database.writer()
    writer.begin()
    writer.insert(METADATA.tables["draft"], [(1, 1, b"x")])
    writer.close()
    with database.writing() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM draft").scalar() == 0
