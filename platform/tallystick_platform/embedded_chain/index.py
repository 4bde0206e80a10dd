"""What the chain keeps of its blocks, in rows: how they are written, and how questions about them are answered.

A log's id is its block's number and its own index in one integer, so a range of blocks is a range of the primary key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import rlp
from eth.abc import BlockHeaderAPI
from eth.vm.header import HeaderSedes

LOG_INDEX_BITS: Final = 24
ENTRY_TOPIC: Final = 2
TX_POSITION_BITS: Final = 16
MAX_BLOCK_NUMBER: Final = (1 << (62 - LOG_INDEX_BITS)) - 1
"""A log's id, which begins with the block's number, fits SQLite's integers, which have a sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """A block without its transactions."""

    hash: bytes
    header: BlockHeaderAPI
    size: int

    @property
    def number(self) -> int:
        """Its place in the chain."""
        return int(self.header.block_number)

    @property
    def timestamp(self) -> int:
        """Its time in Unix seconds."""
        return int(self.header.timestamp)

    def values(self) -> tuple[object, ...]:
        """Its row."""
        return self.number, self.hash, rlp.encode(self.header), self.size


class LogRow(NamedTuple):
    """An event. A plain tuple, as one answer holds thousands."""

    id: int
    tx_position: int
    tx_hash: bytes
    address: bytes
    topic0: bytes | None
    topic1: bytes | None
    topic2: bytes | None
    topic3: bytes | None
    data: bytes

    @property
    def block_number(self) -> int:
        """The block that it stands in."""
        return self.id >> LOG_INDEX_BITS

    @property
    def log_index(self) -> int:
        """Its index in the block."""
        return self.id & ((1 << LOG_INDEX_BITS) - 1)

    @property
    def topics(self) -> list[bytes]:
        """Those of its four topics that it has."""
        return [topic for topic in self[4:8] if topic is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRow:
    """A transaction in a block, and what became of it. Units: `gas_price` is the effective one, in wei."""

    block_number: int
    position: int
    hash: bytes
    sender: bytes
    contract: bytes | None
    succeeded: bool
    gas_used: int
    cumulative_gas: int
    gas_price: int
    first_log: int
    log_count: int
    raw: bytes

    def values(self) -> tuple[object, ...]:
        """Its row."""
        number = self.block_number << TX_POSITION_BITS | self.position
        outcome = (int(self.succeeded), self.gas_used, self.cumulative_gas, str(self.gas_price))
        return number, self.hash, self.sender, self.contract, *outcome, self.first_log, self.log_count, self.raw


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs are asked for: an empty tuple means any."""

    from_block: int
    to_block: int
    addresses: tuple[bytes, ...] = ()
    topics: tuple[tuple[bytes, ...], ...] = ()


def log_id(block_number: int, log_index: int) -> int:
    """Give the id of a log."""
    return block_number << LOG_INDEX_BITS | log_index


def head(connection: sqlite3.Connection) -> BlockRow | None:
    """Give the newest block; None before the genesis is written."""
    return _block(connection.execute("SELECT hash, header, size FROM block ORDER BY number DESC LIMIT 1"))


def block_by_number(connection: sqlite3.Connection, number: int) -> BlockRow | None:
    """Find a block by its number."""
    return _block(connection.execute("SELECT hash, header, size FROM block WHERE number = ?", (number,)))


def block_by_hash(connection: sqlite3.Connection, block_hash: bytes) -> BlockRow | None:
    """Find a block by its hash."""
    return _block(connection.execute("SELECT hash, header, size FROM block WHERE hash = ?", (block_hash,)))


def block_hashes(connection: sqlite3.Connection, first: int, last: int) -> dict[int, bytes]:
    """Give the hashes of a range of blocks by number."""
    return dict(connection.execute("SELECT number, hash FROM block WHERE number BETWEEN ? AND ?", (first, last)))


def transaction_by_hash(connection: sqlite3.Connection, tx_hash: bytes) -> TransactionRow | None:
    """Find a transaction that stands in a block."""
    row = connection.execute("SELECT * FROM tx WHERE hash = ?", (tx_hash,)).fetchone()
    return None if row is None else _transaction(row)


def transactions_of_block(connection: sqlite3.Connection, number: int) -> list[TransactionRow]:
    """Give a block's transactions in order."""
    found = connection.execute("SELECT * FROM tx WHERE id BETWEEN ? AND ? ORDER BY id", _positions(number))
    return [_transaction(row) for row in found]


def transaction_hashes(connection: sqlite3.Connection, number: int) -> list[bytes]:
    """Give the hashes of a block's transactions in order."""
    found = connection.execute("SELECT hash FROM tx WHERE id BETWEEN ? AND ? ORDER BY id", _positions(number))
    return [row[0] for row in found]


def _positions(number: int) -> tuple[int, int]:
    first = number << TX_POSITION_BITS
    return first, first | ((1 << TX_POSITION_BITS) - 1)


def logs_of_transaction(connection: sqlite3.Connection, row: TransactionRow) -> list[LogRow]:
    """Give a transaction's logs in order."""
    first = log_id(row.block_number, row.first_log)
    found = connection.execute(
        "SELECT * FROM log WHERE id BETWEEN ? AND ? ORDER BY id", (first, first + row.log_count - 1)
    )
    return [LogRow(*values) for values in found]


def logs(connection: sqlite3.Connection, wanted: LogFilter) -> Iterator[LogRow]:
    """Yield the logs that a filter lets through, in chain order."""
    clauses = ["id BETWEEN ? AND ?"]
    values: list[object] = [log_id(wanted.from_block, 0), log_id(wanted.to_block + 1, 0) - 1]
    columns = ("address", "topic0", "topic1", "topic2", "topic3")
    for column, choices in zip(columns, (wanted.addresses, *wanted.topics), strict=False):
        if choices:
            clauses.append(f"{column} IN ({', '.join('?' * len(choices))})")
            values.extend(choices)
        else:  # a topic that may be anything must exist all the same
            clauses.append(f"{column} IS NOT NULL")
    # Entries of a log, the third topic, are found one by one; so is one kind of event. Several kinds go along the range of blocks.
    if len(wanted.topics) > ENTRY_TOPIC and wanted.topics[ENTRY_TOPIC]:
        table = "log INDEXED BY log_topic2"
    else:
        table = "log" if wanted.topics and len(wanted.topics[0]) == 1 else "log NOT INDEXED"
    query = f"SELECT * FROM {table} WHERE {' AND '.join(clauses)} ORDER BY id"  # noqa: S608  (placeholders and our names)
    return (LogRow(*row) for row in connection.execute(query, values))


def _block(found: sqlite3.Cursor) -> BlockRow | None:
    row = found.fetchone()
    return None if row is None else BlockRow(hash=row[0], header=_header(row[1]), size=row[2])


@lru_cache(maxsize=256)
def _header(encoded: bytes) -> BlockHeaderAPI:
    return rlp.decode(encoded, sedes=HeaderSedes)


def _transaction(row: tuple[int, bytes, bytes, bytes | None, int, int, int, str, int, int, bytes]) -> TransactionRow:
    number, tx_hash, sender, contract, succeeded, gas_used, cumulative_gas, gas_price, first_log, log_count, raw = row
    return TransactionRow(
        block_number=number >> TX_POSITION_BITS,
        position=number & ((1 << TX_POSITION_BITS) - 1),
        hash=tx_hash,
        sender=sender,
        contract=contract,
        succeeded=bool(succeeded),
        gas_used=gas_used,
        cumulative_gas=cumulative_gas,
        gas_price=int(gas_price),
        first_log=first_log,
        log_count=log_count,
        raw=raw,
    )
