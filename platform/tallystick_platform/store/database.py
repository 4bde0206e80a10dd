"""Opening the journal's database: one writer, durable commits, migrations, deleted bytes overwritten."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, create_engine, event, insert
from sqlalchemy.exc import SQLAlchemyError

from tallystick_platform.errors import StoreError, StoreLocked
from tallystick_platform.store.migration import migrate
from tallystick_platform.store.row_macs import Value

BUSY_TIMEOUT_MS = 5_000
CHECKPOINT_PAGES = 2_000  # 8 MiB of write-ahead log before its pages go back into the database file
_PRAGMAS = (
    "journal_mode=WAL",  # readers never wait for the writer
    "synchronous=FULL",  # a commit that returned survives power loss
    "secure_delete=ON",  # a deleted draft leaves no bytes behind
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    "temp_store=MEMORY",
)


class Database:
    """The journal's database: an engine for readers and small writes, and the connection of the journal's writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd: int | None = None
        self.engine: Engine = _engine(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open and migrate the database at `path`, creating it with mode 0600 if there is none.

        Raises: StoreError, SchemaTooNew
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            database = cls(path)
            with database.engine.connect() as connection:
                migrate(connection, path)
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(path=path, reason=str(error)) from error
        return database

    def lock(self) -> None:
        """Become the journal's only writer process until `close` or the end of the process.

        Raises: StoreLocked
        """
        fd = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise StoreLocked(path=self.path) from error
        self._lock_fd = fd

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose reads all see one state of the database."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that excludes other writers; committed if the block ends well. Durable on return."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def writer(self) -> WriterConnection:
        """The connection for the journal's writer."""
        return WriterConnection(self.engine)

    def close(self) -> None:
        """Release the lock and every connection."""
        self.engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


class WriterConnection:
    """The driver's own connection, spared SQLAlchemy's work per statement: SQL is compiled once, rows are plain tuples."""

    def __init__(self, engine: Engine) -> None:
        self._dialect = engine.dialect
        self._pooled = engine.raw_connection()
        self._cursor: Any = self._pooled.cursor()
        self._inserts: dict[Table, str] = {}

    def begin(self) -> None:
        """Start a transaction that excludes other writers."""
        self._cursor.execute("BEGIN IMMEDIATE")

    def insert(self, table: Table, rows: Sequence[Sequence[Value]]) -> None:
        """Insert rows given as values in the table's order of columns."""
        sql = self._inserts.get(table)
        if sql is None:
            sql = self._inserts[table] = str(insert(table).compile(dialect=self._dialect))
        self._cursor.executemany(sql, rows)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        """Run one statement for each row of parameters; says how many rows it changed."""
        self._cursor.executemany(sql, rows)
        return int(self._cursor.rowcount)

    def fetch(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        self._cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def commit(self) -> None:
        """Make the transaction durable. If this raises, it may or may not have become so."""
        self._cursor.execute("COMMIT")

    def close(self) -> None:
        """Undo what is not committed and close the connection for good: after an error its state is not worth trusting."""
        driver = self._pooled.driver_connection
        with suppress(sqlite3.Error):
            if driver is not None and driver.in_transaction:
                self._cursor.execute("ROLLBACK")
        with suppress(sqlite3.Error):
            self._cursor.close()  # a statement left open would keep the database locked
        if driver is not None:
            self._pooled.invalidate()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin and end where this package says so
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
