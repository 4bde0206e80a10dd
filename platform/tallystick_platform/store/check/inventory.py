"""What the journal should hold, by its inventory and by the chain."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from tallystick_platform.errors import InventoryUnreadable
from tallystick_platform.store.check.finding import Finding, Subject
from tallystick_platform.store.inventory import Holding, Inventory
from tallystick_platform.store.row_writes import read_inventory
from tallystick_platform.store.tables import ADMISSION, ADOPTED, BATCH, EPOCH, INVENTORY, MARKED, RECORD, ROTATION, VOID

ENTRIES = (BATCH, EPOCH, VOID, ROTATION)
"""The tables whose rows are entries of the log's head chain."""


def check_inventory(subject: Subject) -> Iterator[Finding]:
    """As many rows in every table as the service wrote and did not delete, each in its newest version; and the last numbers."""
    try:
        inventory = read_inventory(subject.connection, subject.macs)
    except InventoryUnreadable as error:
        yield Finding("inventory", INVENTORY.name, "-", ("box",), "an inventory that opens", error.reason)
        return
    found = subject.counted.tables
    if inventory is None:
        if any(held.count for held in found.values()):
            rows = sum(held.count for held in found.values())
            yield Finding(
                "inventory", INVENTORY.name, "-", ("box",), "an inventory", f"none, and {rows} rows in other tables"
            )
        return
    for table in MARKED:
        expected, held = inventory.tables.get(table.name, Holding()), found.get(table.name, Holding())
        if expected.count != held.count:
            yield Finding("rows", table.name, "-", ("all rows",), f"{expected.count} rows", f"{held.count}")
        elif expected.total != held.total:
            wanted, other = (
                "each row as it was written last",
                "an older version of a row, or another row, or a changed one",
            )
            yield Finding("rows", table.name, "-", ("all rows",), wanted, other)
    yield from _tails(subject, inventory)


def check_chain(subject: Subject) -> Iterator[Finding]:
    """The journal holds at least what the chain holds of its log."""
    chain = subject.chain
    if chain is None:
        return
    last = subject.connection.execute(
        select(func.max(RECORD.c.log_index), select(func.max(ADOPTED.c.log_index)).scalar_subquery())
    ).one()
    size = max(-1 if index is None else index for index in last) + 1
    if size < chain.size:
        yield Finding("chain", RECORD.name, "-", ("log_index",), f"{chain.size} records, as on the chain", f"{size}")
    known = 0
    for table in ENTRIES:
        query = select(func.count()).select_from(table).where(table.c.entry < chain.entries)
        known += subject.connection.execute(query).scalar_one()
    if known != chain.entries:
        yield Finding(
            "chain", BATCH.name, "-", ("entry",), f"{chain.entries} entries, as on the chain", f"{known} of them"
        )


def _tails(subject: Subject, inventory: Inventory) -> Iterator[Finding]:
    last_seq = subject.connection.execute(select(func.max(ADMISSION.c.seq))).scalar() or 0
    last_index = subject.connection.execute(select(func.max(RECORD.c.log_index))).scalar()
    next_index = 0 if last_index is None else last_index + 1
    if max(last_seq, inventory.base_seq) != inventory.next_seq - 1:
        expected = f"admission {inventory.next_seq - 1} as the last"
        yield Finding("tail", ADMISSION.name, "-", ("seq",), expected, f"admission {last_seq}")
    if max(next_index, inventory.base_index) != inventory.next_index:
        yield Finding("tail", RECORD.name, "-", ("log_index",), f"{inventory.next_index} records", f"{next_index}")
