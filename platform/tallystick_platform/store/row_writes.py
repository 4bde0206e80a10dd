"""Writing rows that carry a MAC, one at a time: the row and the inventory change in the caller's transaction.

Whatever writes such a row comes through here, the journal's own group commit apart: it counts a whole group at once (transaction.py).

`rekey` marks all rows anew, under another operator's key. Needed after the log's keeper named another writer: the marks are made with a key
of the operator's, so a journal opens under its own alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from tallystick.ids import Index
from tallystick_platform.errors import InventoryUnreadable
from tallystick_platform.store.at_rest import AtRest, boxed_anew
from tallystick_platform.store.database import Database
from tallystick_platform.store.inventory import READ, WRITE, Holding, Inventory, InventoryBox
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, Value, covered
from tallystick_platform.store.tables import MARKED


def insert_row(connection: Connection, macs: RowMacs, table: Table, values: Mapping[str, Value]) -> None:
    """Insert a row; a column that is not given is NULL."""
    insert_rows(connection, macs, table, [values])


def insert_rows(connection: Connection, macs: RowMacs, table: Table, rows: Sequence[Mapping[str, Value]]) -> None:
    """Insert rows; a column that is not given is NULL."""
    whole = [{name: values.get(name) for name in covered(table)} for values in rows]
    marks = [macs.mark_of_row(table, row) for row in whole]
    if marks:
        connection.execute(
            insert(table), [{**row, "mac": mark[:MAC_BYTES]} for row, mark in zip(whole, marks, strict=True)]
        )
        change_inventory(connection, macs, lambda inventory: inventory.add(table.name, marks))


def replace_row(
    connection: Connection, macs: RowMacs, table: Table, before: Mapping[str, Value], changes: Mapping[str, Value]
) -> dict[str, Value]:
    """Change columns of a row that was read and checked in this transaction; the row as it stands now."""
    values = {name: changes.get(name, before[name]) for name in covered(table)}
    old, new = macs.mark_of_row(table, before), macs.mark_of_row(table, values)
    keys = [column == before[column.name] for column in table.primary_key.columns]
    values["mac"] = new[:MAC_BYTES]
    connection.execute(update(table).where(*keys).values(**values))
    change_inventory(connection, macs, lambda inventory: inventory.replace(table.name, old, new))
    return values


def delete_rows(connection: Connection, macs: RowMacs, table: Table, *where: Any) -> int:
    """Delete rows; says how many there were.

    Raises: RowTampered
    """
    rows = [macs.check(table, row) for row in connection.execute(select(table).where(*where))]
    marks = [macs.mark_of_row(table, row) for row in rows]
    if marks:
        connection.execute(delete(table).where(*where))
        change_inventory(connection, macs, lambda inventory: inventory.remove(table.name, marks))
    return len(marks)


def adopt(connection: Connection, macs: RowMacs, *, size: Index, highest: int, void: int) -> None:
    """Go on behind a chain that knows more than this journal (a backup was restored); see Inventory.adopt.

    Raises: ValueError if that is below what was given out here.
    """
    change_inventory(connection, macs, lambda inventory: inventory.adopt(size=size, highest=highest, void=void))


def read_inventory(connection: Connection, macs: RowMacs) -> Inventory | None:
    """The inventory as it stands, None where there is no row of it.

    Raises: InventoryUnreadable
    """
    box = connection.exec_driver_sql(READ).scalar()
    return None if box is None else InventoryBox(macs).open(box)


def change_inventory(connection: Connection, macs: RowMacs, change: Callable[[Inventory], None]) -> None:
    """Read, change and write the inventory. Requires: a transaction that excludes other writers."""
    boxes = InventoryBox(macs)
    inventory = boxes.open(connection.exec_driver_sql(READ).scalar())
    change(inventory)
    connection.exec_driver_sql(WRITE, (boxes.close(inventory),))


def rekey(database: Database, before: RowMacs, after: RowMacs) -> int:
    """Check every row under the key before and mark it under the key after, and encrypt anew what is at rest; says how many there were.

    Requires: the journal's lock.
    Raises: RowTampered, InventoryUnreadable; then nothing was changed.
    """
    counted, fresh = Inventory(), Inventory()
    with database.writing() as connection:
        inventory = InventoryBox(before).open(connection.exec_driver_sql(READ).scalar())
        for table in MARKED:
            for row in connection.execute(select(table)).all():
                values = before.check(table, row)
                counted.add(table.name, [before.mark_of_row(table, values)])
                changed = boxed_anew(table, values, AtRest(before), AtRest(after))
                mark = after.mark_of_row(table, {**values, **changed})
                fresh.add(table.name, [mark])
                keys = [column == values[column.name] for column in table.primary_key.columns]
                connection.execute(update(table).where(*keys).values(mac=mark[:MAC_BYTES], **changed))
            if counted.tables.get(table.name, Holding()) != inventory.tables.get(table.name, Holding()):
                raise InventoryUnreadable(reason=f"the rows of {table.name} are not those that the service wrote")
        inventory.tables = fresh.tables
        connection.exec_driver_sql(WRITE, (InventoryBox(after).close(inventory),))
    return sum(held.count for held in fresh.tables.values())
