"""A journal's database that fails where a test says: with an error, or with the death of the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import Table

from tallystick_platform.store.database import Database, WriterConnection
from tallystick_platform.store.row_macs import Value


class Point(StrEnum):
    """Where in the group commit."""

    CONNECT = "connect"
    BEGIN = "begin"
    INSERT = "insert"
    DELETE = "delete"
    COMMIT = "commit"
    COMMITTED = "committed"  # the commit reports a failure, and persisted


POINTS = tuple(Point)


class Crash(BaseException):
    """The process dies here, as far as the journal can tell."""


class FaultyDatabase(Database):
    """Fails once at the point that was set, then works again; or fails until told otherwise."""

    fault: Point | None = None
    crash: bool = False
    lasting: bool = False
    struck: int = 0
    max_pages: int | None = None  # SQLite's own bound: beyond it, it answers as on a full disk

    def fail(self, point: Point | None, *, crash: bool = False, lasting: bool = False) -> None:
        """Arrange the next fault."""
        self.fault, self.crash, self.lasting = point, crash, lasting

    def heal(self) -> None:
        """Work again."""
        self.fault = None

    def strike(self, point: Point) -> None:
        """Called at every point."""
        if self.fault is not point:
            return
        self.struck += 1
        if not self.lasting:
            self.fault = None
        if self.crash:
            raise Crash
        raise sqlite3.OperationalError("disk I/O error")

    def writer(self) -> WriterConnection:
        self.strike(Point.CONNECT)
        writer = FaultyWriter(self)
        writer.fetch(f"PRAGMA max_page_count = {self.max_pages or 1 << 30}")
        return writer


class FaultyWriter(WriterConnection):
    """A writer connection that asks its database whether to fail."""

    def __init__(self, database: FaultyDatabase) -> None:
        super().__init__(database.engine)
        self._database = database

    def begin(self) -> None:
        self._strike(Point.BEGIN)
        super().begin()

    def insert(self, table: Table, rows: Sequence[Sequence[Value]]) -> None:
        super().insert(table, rows)
        self._strike(Point.INSERT)

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> int:
        if sql.startswith("DELETE"):
            self._strike(Point.DELETE)
        return super().execute_many(sql, rows)

    def commit(self) -> None:
        self._strike(Point.COMMIT)
        super().commit()
        self._strike(Point.COMMITTED)

    def _strike(self, point: Point) -> None:
        try:
            self._database.strike(point)
        except Crash:
            self.close()  # what the death of a process does to its files
            raise
