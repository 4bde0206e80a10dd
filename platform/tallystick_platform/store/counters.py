"""The next admission number, log index and number of each sender, and the inventory that they are kept in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tallystick.ids import Address, Index
from tallystick_platform.errors import InventoryUnreadable, StateConflict
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.inventory import READ, WRITE, Inventory, InventoryBox
from tallystick_platform.store.row_macs import RowMacs

MAX_KNOWN_SENDERS = 65_536  # senders whose last number is kept in memory

_LAST = "SELECT (SELECT max(seq) FROM admission), (SELECT max(log_index) FROM record)"
_LAST_OF_SENDER = "SELECT max(sender_seq) FROM admission WHERE sender = ?"

Standing = tuple[int, Index]
"""The next admission number and the next log index."""


class Counters:
    """Counts that are advanced within a group and thrown away with it if it fails."""

    def __init__(self, connection: WriterConnection, macs: RowMacs) -> None:
        """Read them.

        Raises: InventoryUnreadable, StateConflict if the last rows are not those that were written last.
        """
        self._boxes = InventoryBox(macs)
        self._senders: dict[Address, int] = {}
        self._take(_read(connection))
        self.next_seq, self.next_index = self._inventory.next_seq, self._inventory.next_index
        _check_tail(connection, self._inventory)

    @property
    def standing(self) -> Standing:
        """What a group starts from."""
        return self.next_seq, self.next_index

    def confirm(self, connection: WriterConnection, began: Standing) -> None:
        """Compare what a group started from with the database, inside its transaction: nothing else may have advanced or removed anything.

        Raises: StateConflict, InventoryUnreadable
        """
        box = _read(connection)
        if box != self._box:  # a token was made, a batch was sent: other tables
            self._take(box)
        found = (self._inventory.next_seq, self._inventory.next_index)
        if found != began:
            expected = f"next admission {began[0]}, next index {began[1]}"
            raise StateConflict(table="inventory", row=1, expected=expected, found=f"{found[0]} and {found[1]}")
        _check_tail(connection, self._inventory)

    def save(self, connection: WriterConnection, marks: Mapping[str, Sequence[bytes]]) -> None:
        """Write the advanced counters and count the inserted rows, inside the group's transaction after `confirm`."""
        inventory = self._inventory
        for table, added in marks.items():
            inventory.add(table, added)
        inventory.next_seq, inventory.next_index = self.next_seq, self.next_index
        self._write(connection)

    def change(self, connection: WriterConnection, change: Callable[[Inventory], None]) -> None:
        """Change the inventory inside a transaction of its own that changes other rows than a group's."""
        self._take(_read(connection))
        change(self._inventory)
        self._write(connection)

    def next_of(self, sender: Address, connection: WriterConnection) -> int:
        """The number that the sender's next admission gets. Numbers start at 1 and have no gaps, but where numbers were declared void."""
        last = self._senders.get(sender)
        if last is None:
            last = max(int(connection.fetch(_LAST_OF_SENDER, (sender,))[0][0] or 0), self._inventory.floor)
        return last + 1

    def admitted(self, sender: Address, sender_seq: int) -> None:
        """One admission was taken into the group."""
        if len(self._senders) >= MAX_KNOWN_SENDERS:
            self._senders.clear()
        self._senders[sender] = sender_seq
        self.next_seq += 1

    def _take(self, box: bytes | None) -> None:
        self._box, self._inventory = box, self._boxes.open(box)

    def _write(self, connection: WriterConnection) -> None:
        self._box = self._boxes.close(self._inventory)
        connection.execute_many(WRITE, [(self._box,)])


def _read(connection: WriterConnection) -> bytes | None:
    rows = connection.fetch(READ)
    return rows[0][0] if rows else None


def _check_tail(connection: WriterConnection, inventory: Inventory) -> None:
    """The newest rows are the newest that were written. What else is missing, `journal check` finds."""
    last_seq, last_index = connection.fetch(_LAST)[0]
    expected = (inventory.next_seq - 1, inventory.next_index - 1)
    found = (
        max(last_seq or 0, inventory.base_seq),
        max(-1 if last_index is None else last_index, inventory.base_index - 1),
    )
    if found == expected:
        return
    if expected == (0, -1):
        raise InventoryUnreadable(reason="it is missing, and the journal is not empty")
    raise StateConflict(
        table="journal",
        row="-",
        expected=f"admission {expected[0]} and index {expected[1]} as the last",
        found=f"{found[0]} and {found[1]}: rows were removed, or written by something other than this service",
    )
