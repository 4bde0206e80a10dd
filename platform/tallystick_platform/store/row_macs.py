"""A mark on each row: a MAC, so that a changed row is found and named, and a weight, so that a missing one is found.

    mark = BLAKE2b(key, MessagePack([table, column, column, ...])), 64 bytes: mac(32) || weight(32)

The columns stand in the table's order without `mac` itself, each value as nil, integer, string or binary in its shortest form. The table's
name separates the domains. MessagePack is injective on such rows, so no two rows share an encoding. The MAC is stored in the row. The
weight never is: the sum of a table's weights stands, encrypted, in the inventory (inventory.py), and tells whether exactly the rows
are there that the service wrote, each in its newest version. The keys are derived from the operator's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Row, Table

from tallystick_platform.errors import RowTampered

MARK_INFO = b"tallystick/v2/journal-rows"
INVENTORY_INFO = b"tallystick/v2/journal-inventory"
ANSWERS_INFO = b"tallystick/v2/kept-answers"
AT_REST_INFO = b"tallystick/v2/at-rest"
MAC_BYTES = 32
MARK_BYTES = 64

Value = int | str | bytes | None

_pack = msgspec.msgpack.Encoder().encode


class RowMacs:
    """Makes and checks the marks of rows. `inventory_key` protects the inventory, `answers_key` has a part in the keys of kept answers, and
    `at_rest_key` in those of what jobs were asked and answered."""

    def __init__(self, operator_secret: bytes) -> None:
        self._keyed = hashlib.blake2b(key=_derive(operator_secret, MARK_INFO, 64), digest_size=MARK_BYTES)
        self.inventory_key = _derive(operator_secret, INVENTORY_INFO, 32)
        self.answers_key = _derive(operator_secret, ANSWERS_INFO, 32)
        self.at_rest_key = _derive(operator_secret, AT_REST_INFO, 32)

    def mark(self, table: str, values: Sequence[Value]) -> bytes:
        """MAC and weight of a row whose columns, in the table's order and without `mac`, are `values`."""
        keyed = self._keyed.copy()
        keyed.update(_pack((table, *values)))
        return keyed.digest()

    def mark_of_row(self, table: Table, row: Mapping[str, Value]) -> bytes:
        """The mark of a row given by column name."""
        return self.mark(str(table.name), [row[column] for column in covered(table)])

    def of_row(self, table: Table, row: Mapping[str, Value]) -> bytes:
        """The MAC that a row given by column name should have."""
        return self.mark_of_row(table, row)[:MAC_BYTES]

    def fits(self, table: Table, row: Mapping[str, Value]) -> bool:
        """Whether a row as read carries its own MAC. Compared in constant time."""
        found = row["mac"]
        return isinstance(found, bytes) and hmac.compare_digest(found, self.of_row(table, row))

    def check(self, table: Table, row: Row[tuple[object, ...]]) -> Mapping[str, Value]:
        """The row by column name.

        Raises: RowTampered
        """
        values: Mapping[str, Value] = row._mapping  # type: ignore[assignment]  # noqa: SLF001  SQLAlchemy's public name for it
        if not self.fits(table, values):
            raise RowTampered(table=table.name, row=row_name(table, values))
        return values


def weight_of(mark: bytes) -> int:
    """What a row with this mark adds to its table's sum."""
    return int.from_bytes(mark[MAC_BYTES:], "big")


def covered(table: Table) -> tuple[str, ...]:
    """The columns that a row's MAC covers, in order: all but `mac`."""
    return tuple(column.name for column in table.columns if column.name != "mac")


def row_name(table: Table, values: Mapping[str, Value]) -> int | str:
    """How a row is called in messages: its primary key."""
    key = values[next(iter(table.primary_key.columns)).name]
    return key if isinstance(key, int) else key.hex() if isinstance(key, bytes) else str(key)


def _derive(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(secret)
