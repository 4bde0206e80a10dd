"""The key-value stores that py-evm reads state from and writes it to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eth.abc import AtomicWriteBatchAPI
from eth.db.atomic import AtomicDBWriteBatch
from eth.db.backends.base import BaseAtomicDB

from tallystick_platform.embedded_chain.storage import ChainStorage


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

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("the durable state is written with a block, and only so")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("the durable state is written with a block, and only so")

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        """Refuse: see `__setitem__`."""
        raise TypeError("the durable state is written with a block, and only so")
        yield  # pragma: no cover


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
