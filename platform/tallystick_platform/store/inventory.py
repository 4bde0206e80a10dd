"""The inventory: what the journal holds, in one row that only the service can write.

It says which numbers come next and, for every table with MACs, how many rows there are and the sum of their weights (row_macs.py). It is
written in the transaction that changes the rows, so it always tells of exactly the rows that stand. Deleted rows, a dropped tail, an
emptied table, a newer row replaced by an older version of itself: each gives another count or another sum. Since all tables stand in one
row, an older inventory fits only an older copy of the whole journal; that is for the chain to tell.

    box = salt(16) || nonce(12) || AES-256-GCM(HKDF-Expand(key, info || salt), nonce, MessagePack of the inventory)

It is encrypted so that nobody learns the weights from two states of it: who knew many of them could look for other rows with the same sum.
Each process draws a salt and counts its nonces from 1.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tallystick.ids import Index
from tallystick_platform.errors import InventoryUnreadable
from tallystick_platform.store.row_macs import RowMacs, weight_of

SALT_BYTES = 16
NONCE_BYTES = 12
WEIGHT_BYTES = 32
BOX_INFO = b"tallystick/v2/inventory-box"
READ = "SELECT box FROM inventory WHERE id = 1"
WRITE = "INSERT INTO inventory (id, box) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET box = excluded.box"

_FIRST = Index(0)
_MODULUS = 1 << (8 * WEIGHT_BYTES)


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    next_seq: int
    next_index: int
    floor: int
    base_seq: int
    base_index: int
    tables: dict[str, tuple[int, bytes]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


@dataclass(slots=True)
class Holding:
    """One table: how many rows, and the sum of their weights."""

    count: int = 0
    total: int = 0


@dataclass(slots=True, kw_only=True)
class Inventory:
    """What the journal holds. Change it only in the transaction that changes the rows.

    What a restored backup has lost was given out before: every admission number from now on is above `base_seq` and every index at least
    `base_index`. `floor` is the highest number that was declared void: every sender's numbers go on above it.
    """

    next_seq: int = 1
    next_index: Index = _FIRST
    floor: int = 0
    base_seq: int = 0
    base_index: Index = _FIRST
    tables: dict[str, Holding] = field(default_factory=dict)

    def add(self, table: str, marks: Iterable[bytes]) -> None:
        """Rows with these marks were inserted."""
        self._count(table, marks, 1)

    def remove(self, table: str, marks: Iterable[bytes]) -> None:
        """Rows with these marks were deleted."""
        self._count(table, marks, -1)

    def replace(self, table: str, old: bytes, new: bytes) -> None:
        """A row's mark changed."""
        holding = self.tables.setdefault(table, Holding())
        holding.total = (holding.total + weight_of(new) - weight_of(old)) % _MODULUS

    def adopt(self, *, size: Index, highest: int, void: int) -> None:
        """Go on behind a chain that knows more than this journal: indices from `size` on, admission numbers above `highest`.

        Every sender's numbers go on above `void`, the highest number that was declared void; 0 where none was.

        Raises: ValueError if that is below what was given out here.
        """
        if size < self.next_index or highest < self.next_seq - 1:
            raise ValueError("an inventory goes on above what it has given out, never below")
        self.next_index, self.base_index = size, size
        self.next_seq, self.base_seq = highest + 1, highest
        self.floor = max(self.floor, void)

    def _count(self, table: str, marks: Iterable[bytes], sign: int) -> None:
        holding = self.tables.setdefault(table, Holding())
        for mark in marks:
            holding.count += sign
            holding.total += sign * weight_of(mark)
        holding.total %= _MODULUS


class InventoryBox:
    """Encrypts and opens inventories. `random(n)` gives n unpredictable bytes."""

    def __init__(self, macs: RowMacs, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._key = macs.inventory_key
        self._salt = random(SALT_BYTES)
        self._count = 0
        self._own = self._cipher(self._salt)
        self._other = (self._salt, self._own)  # the process that wrote last

    def close(self, inventory: Inventory) -> bytes:
        """The box of an inventory."""
        self._count += 1
        nonce = self._count.to_bytes(NONCE_BYTES, "big")
        stored = _Stored(
            inventory.next_seq,
            inventory.next_index,
            inventory.floor,
            inventory.base_seq,
            inventory.base_index,
            {name: (held.count, held.total.to_bytes(WEIGHT_BYTES, "big")) for name, held in inventory.tables.items()},
        )
        return self._salt + nonce + self._own.encrypt(nonce, _encode(stored), None)

    def open(self, box: bytes | None) -> Inventory:
        """The inventory in a box; that of a new journal for None. Whether the journal is new is the caller's to know.

        Raises: InventoryUnreadable
        """
        if box is None:
            return Inventory()
        salt, nonce, ciphertext = box[:SALT_BYTES], box[SALT_BYTES:][:NONCE_BYTES], box[SALT_BYTES + NONCE_BYTES :]
        if salt != self._other[0]:
            self._other = (salt, self._cipher(salt))
        try:
            stored = _decode(self._other[1].decrypt(nonce, ciphertext, None))
        except (InvalidTag, ValueError) as error:
            raise InventoryUnreadable(reason="it does not open under the operator's key") from error
        return Inventory(
            next_seq=stored.next_seq,
            next_index=Index(stored.next_index),
            floor=stored.floor,
            base_seq=stored.base_seq,
            base_index=Index(stored.base_index),
            tables={
                name: Holding(count, int.from_bytes(total, "big")) for name, (count, total) in stored.tables.items()
            },
        )

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDFExpand(algorithm=hashes.SHA256(), length=32, info=BOX_INFO + salt).derive(self._key))
