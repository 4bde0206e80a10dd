"""Writing rows that carry a MAC, one at a time: the row and the inventory change in the caller's transaction.

Whatever writes such a row comes through here, the journal's own group commit apart: it counts a whole group at once (transaction.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from tallystick.ids import Index
from tallystick_platform.store.inventory import READ, WRITE, Inventory, InventoryBox
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, Value, covered


def insert_row(connection: Connection, macs: RowMacs, table: Table, values: Mapping[str, Value]) -> None:
    """Insert a row, all columns given but `mac`."""
    mark = macs.mark_of_row(table, values)
    connection.execute(insert(table).values(**{**values, "mac": mark[:MAC_BYTES]}))
    change_inventory(connection, macs, lambda inventory: inventory.add(table.name, [mark]))


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
