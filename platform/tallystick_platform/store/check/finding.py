"""What a check of the journal says; and the first check, of each row against its own MAC, which counts all rows for the inventory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Select, select

from tallystick.errors import SignatureError
from tallystick.ids import Address, Epoch, LogId, to_hex
from tallystick.receipts.messages import Domain
from tallystick.receipts.signed import SignedAdmission, SignedReceipt, signer
from tallystick_platform.store.inventory import Inventory
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, row_name
from tallystick_platform.store.tables import MARKED

Reveal = Callable[[Epoch, int, bytes], bytes]
"""Opens a draft. Raises: EpochKeyMissing, DraftUnreadable"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit: in which row, and among which columns the fault lies."""

    check: str
    table: str
    row: int | str
    columns: tuple[str, ...]
    expected: str
    found: str

    def __str__(self) -> str:
        where = f"{self.table} {self.row} ({', '.join(self.columns)})"
        return f"{self.check}: {where}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStanding:
    """What the chain holds of the log: records, and entries of its head chain."""

    size: int
    entries: int


@dataclass(slots=True, kw_only=True)
class Checked:
    """How many rows of each table were looked at."""

    rows: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The journal under check, and what it is held against. `writers` signed for the log, today's first.

    `counted` is filled with what the tables hold, as the rows are read for the first time.
    """

    connection: Connection
    macs: RowMacs
    log_id: LogId
    domain: Domain
    writers: tuple[Address, ...]
    reveal: Reveal
    checked: Checked
    chain: ChainStanding | None
    counted: Inventory = field(default_factory=Inventory)


ROWS_AT_ONCE = 256


def check_macs(subject: Subject) -> Iterator[Finding]:
    """Any change of any column by anyone who does not hold the operator's key."""
    for table in MARKED:
        for row in rows_of(subject.connection, select(table)):
            subject.checked.rows[table.name] += 1
            mark = subject.macs.mark_of_row(table, row)
            subject.counted.add(table.name, [mark])
            if row["mac"] != mark[:MAC_BYTES]:
                columns = tuple(column.name for column in table.columns)
                row_id = row_name(table, row)
                yield Finding("row-mac", table.name, row_id, columns, "the MAC of these columns", "another")


def rows_of(connection: Connection, query: Select[Any]) -> Iterator[Mapping[str, Any]]:
    """The rows of a query by column name, a few at a time."""
    result = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
    yield from cast(Iterator[Mapping[str, Any]], iter(result.mappings()))


def signature_fault(
    subject: Subject,
    signed_of: Callable[[Any, Domain, LogId], SignedReceipt | SignedAdmission],
    row: Mapping[str, Any],
) -> tuple[str, str] | None:
    """What is expected and found of a row's signature, where it is not one of the log's writers'."""
    try:
        found = signer(signed_of(row, subject.domain, subject.log_id))
    except (SignatureError, OverflowError) as error:
        return f"signed by {to_hex(subject.writers[0])}", str(error)
    if found in subject.writers:
        return None
    return f"signed by {to_hex(subject.writers[0])}", f"signed by {to_hex(found)}"
