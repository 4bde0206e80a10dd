"""A MAC over each row, so that a change by anything but the service is found, and named by table and row.

`mac = HMAC-SHA256(key, MessagePack([table, column, column, ...]))`, the columns in the table's order without `mac` itself, each
value as nil, integer, string or binary in its shortest form. The table's name separates the domains. MessagePack is injective on
such rows, so no two rows share an encoding. The key is derived from the operator's; a row that was deleted, or replaced by
an older version of itself, is not found here but by gap-freeness and by the chain.
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

MAC_INFO = b"tallystick/v1/journal-mac"
MAC_BYTES = 32

Value = int | str | bytes | None

_pack = msgspec.msgpack.Encoder().encode


class RowMacs:
    """Makes and checks row MACs."""

    __slots__ = ("_keyed",)

    def __init__(self, operator_secret: bytes) -> None:
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=MAC_INFO).derive(operator_secret)
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)

    def of(self, table: str, values: Sequence[Value]) -> bytes:
        """The MAC of a row whose columns, in the table's order and without `mac`, are `values`."""
        keyed = self._keyed.copy()
        keyed.update(_pack((table, *values)))
        return keyed.digest()

    def of_row(self, table: Table, row: Mapping[str, Value]) -> bytes:
        """The MAC that a row given by column name should have."""
        return self.of(str(table.name), [row[column] for column in covered(table)])

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


def covered(table: Table) -> tuple[str, ...]:
    """The columns that a row's MAC covers, in order: all but `mac`."""
    return tuple(column.name for column in table.columns if column.name != "mac")


def row_name(table: Table, values: Mapping[str, Value]) -> int | str:
    """How a row is called in messages: its primary key."""
    key = values[next(iter(table.primary_key.columns)).name]
    return key if isinstance(key, int) else key.hex() if isinstance(key, bytes) else str(key)
