"""The chain's database: SQLite, one SQL transaction for each block; and the key-value stores that py-evm reads and writes state in.

A block's state, header, transactions, receipts and logs become durable together or not at all: WAL with
synchronous=FULL, so a commit that returned survives `kill -9` and a power cut alike, and one that did not return left nothing.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from tallystick_platform.embedded_chain.errors import ChainLocked, ChainStorageFailed

DATABASE_NAME: Final = "chain.sqlite3"
LOCK_NAME: Final = "chain.lock"
SCHEMA_VERSION: Final = 2
BUSY_TIMEOUT_MS: Final = 5_000
_CACHE_KIB: Final = 16_384

_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE node (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE block (
  number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL, size INTEGER NOT NULL
);
CREATE TABLE tx (
  id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, sender BLOB NOT NULL, contract BLOB, succeeded INTEGER NOT NULL,
  gas_used INTEGER NOT NULL, cumulative_gas INTEGER NOT NULL, gas_price TEXT NOT NULL,
  first_log INTEGER NOT NULL, log_count INTEGER NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE log (
  id INTEGER PRIMARY KEY, tx_position INTEGER NOT NULL, tx_hash BLOB NOT NULL, address BLOB NOT NULL,
  topic0 BLOB, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL
);
CREATE INDEX log_topic0 ON log (topic0);
CREATE INDEX log_topic2 ON log (topic2);
"""

Rows = Mapping[str, list[tuple[object, ...]]]
"""Rows to insert, by table."""


class ChainStorage:
    """The open database: one writer, and a reading connection for each thread that asks."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Open or create; `durable=False` is for tests that never kill anything.

        Raises: ChainLocked, ChainStorageFailed.
        """
        self.folder = folder
        self.path = folder / DATABASE_NAME
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = _lock(folder / LOCK_NAME)
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        try:
            self.writer = self._connect()
            self.writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            self._create_schema()
        except sqlite3.Error as error:
            os.close(self._lock_file)
            raise ChainStorageFailed(path=self.path, reason=str(error)) from error

    def reader(self) -> sqlite3.Connection:
        """Give this thread's reading connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection

    def meta(self) -> dict[str, str]:
        """Read what is kept about the chain as a whole."""
        return dict(self.reader().execute("SELECT key, value FROM meta"))

    def commit(self, nodes: Mapping[bytes, bytes | None], rows: Rows) -> None:
        """Write state nodes (None deletes) and rows, all or nothing; durable when it returns.

        A crash before COMMIT leaves the previous block as the head; after it, this one, whole.
        Raises: ChainStorageFailed, with nothing written.
        """
        try:
            with self._transaction():
                self.writer.executemany(
                    "INSERT OR REPLACE INTO node VALUES (?, ?)", [pair for pair in nodes.items() if pair[1] is not None]
                )
                self.writer.executemany("DELETE FROM node WHERE key = ?", [(k,) for k, v in nodes.items() if v is None])
                for table, values in rows.items():
                    if values:
                        marks = ", ".join("?" * len(values[0]))
                        self.writer.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608  (our names)
        except sqlite3.Error as error:
            raise ChainStorageFailed(path=self.path, reason=str(error)) from error

    def close(self) -> None:
        """Close every connection and give up the lock; no other thread may be reading."""
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
        self.writer.close()
        os.close(self._lock_file)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.writer.execute("COMMIT")
        except BaseException:
            if self.writer.in_transaction:
                self.writer.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        return connection

    def _create_schema(self) -> None:
        (version,) = self.writer.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        if version != 0:
            reason = f"has schema version {version}; this program knows {SCHEMA_VERSION}"
            raise ChainStorageFailed(path=self.path, reason=reason)
        with self._transaction():
            for statement in _SCHEMA.split(";\n"):
                self.writer.execute(statement)
            self.writer.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ChainLocked(path=path.parent) from error
    return descriptor


class StoredNodes(BaseAtomicDB):  # type: ignore[misc]  # py-evm is untyped to us
    """What is durable, read through the calling thread's own connection; nothing can be written."""

    def __init__(self, storage: ChainStorage) -> None:
        self._storage = storage

    def __getitem__(self, key: bytes) -> bytes:
        row = self._storage.reader().execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value: bytes = row[0]
        return value

    def _exists(self, key: bytes) -> bool:
        row = self._storage.reader().execute("SELECT 1 FROM node WHERE key = ?", (key,)).fetchone()
        return row is not None

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("the durable state is written with a block, and only so")

    __setitem__ = __delitem__ = atomic_batch = _refuse


class BlockNodes(BaseAtomicDB):  # type: ignore[misc]
    """What is durable, beneath what the block in the making has written; the storage takes that over at its commit."""

    def __init__(self, stored: StoredNodes) -> None:
        self._stored = stored
        self.written: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        if key not in self.written:
            return self._stored[key]
        value = self.written[key]
        if value is None:
            raise KeyError(key)
        return value

    def _exists(self, key: bytes) -> bool:
        return self.written[key] is not None if key in self.written else key in self._stored

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.written[key] = value

    def __delitem__(self, key: bytes) -> None:
        if key not in self:
            raise KeyError(key)
        self.written[key] = None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Group writes, as py-evm asks for; durability comes with the block."""
        with AtomicDBWriteBatch._commit_unless_raises(self) as batch:  # noqa: SLF001  (py-evm's own way to do it)
            yield batch

    def clear(self) -> None:
        """Forget the block in the making."""
        self.written.clear()
