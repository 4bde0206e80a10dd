"""Bringing a database of an older version to this one, with Alembic, whenever the database is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from tallystick_platform.errors import SchemaTooNew, SchemaTooOld

HEAD = "2001"
"""The newest migration. Checked first, so that Alembic is imported only when there is something to migrate."""
OLDEST = "2001"
"""Where the journals of format version 2 begin. Before it came a format that was never released and that nothing reads any more."""


def migrate(connection: Connection, path: Path) -> None:
    """Bring the schema to HEAD, all of it or nothing.

    Raises: SchemaTooNew, SchemaTooOld
    """
    found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise SchemaTooNew(path=path, found=found, known=HEAD)
    if found is not None and found < OLDEST:
        raise SchemaTooOld(path=path)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        command.upgrade(config, HEAD)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _version(connection: Connection) -> str | None:
    known = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchall()
    if not known:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])
