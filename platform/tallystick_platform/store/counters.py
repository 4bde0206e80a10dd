"""The next admission number, log index and number of each sender, as the database has them."""

from __future__ import annotations

from tallystick.ids import Address, Index
from tallystick_platform.errors import StateConflict
from tallystick_platform.store.database import WriterConnection

MAX_KNOWN_SENDERS = 65_536  # senders whose last number is kept in memory

_LAST_SEQ = "SELECT max(seq) FROM admission"
_LAST_INDEX = "SELECT max(log_index) FROM record"
_LAST_OF_SENDER = "SELECT max(sender_seq) FROM admission WHERE sender = ?"


Standing = tuple[int, Index]
"""The next admission number and the next log index."""


class Counters:
    """Counts that are advanced within a group and thrown away with it if it fails."""

    __slots__ = ("_senders", "next_index", "next_seq")

    def __init__(self, connection: WriterConnection) -> None:
        self.next_seq, self.next_index = _read(connection)
        self._senders: dict[Address, int] = {}

    @property
    def standing(self) -> Standing:
        """What a group starts from."""
        return self.next_seq, self.next_index

    def confirm(self, connection: WriterConnection, began: Standing) -> None:
        """Compare what a group started from with the database, inside its transaction: nothing else may have written.

        Raises: StateConflict
        """
        found = _read(connection)
        if found != began:
            expected = f"next admission {began[0]}, next index {began[1]}"
            raise StateConflict(table="admission", row=found[0], expected=expected, found=f"{found[0]} and {found[1]}")

    def next_of(self, sender: Address, connection: WriterConnection) -> int:
        """The number that the sender's next admission gets. Numbers start at 1 and have no gaps."""
        last = self._senders.get(sender)
        if last is None:
            last = int(connection.fetch(_LAST_OF_SENDER, (sender,))[0][0] or 0)
        return last + 1

    def admitted(self, sender: Address, sender_seq: int) -> None:
        """One admission was taken into the group."""
        if len(self._senders) >= MAX_KNOWN_SENDERS:
            self._senders.clear()
        self._senders[sender] = sender_seq
        self.next_seq += 1


def _read(connection: WriterConnection) -> Standing:
    last_seq = connection.fetch(_LAST_SEQ)[0][0]
    last_index = connection.fetch(_LAST_INDEX)[0][0]
    return int(last_seq or 0) + 1, Index(0 if last_index is None else int(last_index) + 1)
