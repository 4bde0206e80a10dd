"""The journal under another operator's key: every row marked anew, and the inventory with them, in one transaction.

Needed after the log's keeper named another writer: the marks are made with a key of the operator's, so a journal opens under its own alone.
"""

from __future__ import annotations

from sqlalchemy import select, update

from tallystick_platform.errors import InventoryUnreadable
from tallystick_platform.store.database import Database
from tallystick_platform.store.inventory import READ, WRITE, Holding, Inventory, InventoryBox
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs
from tallystick_platform.store.tables import MARKED


def rekey(database: Database, before: RowMacs, after: RowMacs) -> int:
    """Check every row under the key before and mark it under the key after; says how many there were.

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
                mark = after.mark_of_row(table, values)
                fresh.add(table.name, [mark])
                keys = [column == values[column.name] for column in table.primary_key.columns]
                connection.execute(update(table).where(*keys).values(mac=mark[:MAC_BYTES]))
            if counted.tables.get(table.name, Holding()) != inventory.tables.get(table.name, Holding()):
                raise InventoryUnreadable(reason=f"the rows of {table.name} are not those that the service wrote")
        inventory.tables = fresh.tables
        connection.exec_driver_sql(WRITE, (InventoryBox(after).close(inventory),))
    return sum(held.count for held in fresh.tables.values())
