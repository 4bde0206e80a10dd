"""What a check of the journal says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from tallystick.ids import Address, Epoch, LogId
from tallystick.receipts import Domain
from tallystick_platform.store.inventory import Inventory
from tallystick_platform.store.row_macs import RowMacs

Reveal = Callable[[Epoch, int, bytes], bytes]
"""Opens a draft. Raises: EpochKeyMissing, DraftUnreadable"""


@dataclass(frozen=True, slots=True, kw_only=True)
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
