"""What jobs were asked and what they answered, encrypted at rest: it outlives the keys of epochs, so its keys come from the operator's.

    box = nonce(12) || AES-256-GCM(HKDF-Expand(key, info || table/row), nonce, content, column)

Each row has a key of its own, so a box opens in its own row and column alone, and random nonces never meet under one key.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Table

from tallystick.keys import hkdf_expand
from tallystick_platform.errors import RowTampered
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.tables import KEPT_CONTENT, KEPT_FILE, WORK, WORK_LINE

NONCE_BYTES: Final = 12
BOXED: Final[Mapping[str, tuple[str, ...]]] = {
    WORK.name: ("asked",),
    WORK_LINE.name: ("asked", "answer"),
    KEPT_FILE.name: ("name",),
    KEPT_CONTENT.name: ("content",),
}
"""The encrypted columns of each table; its key column is `id`."""

_INFO: Final = b"tallystick/v2/at-rest-row/"


class AtRest:
    """Closes and opens boxes."""

    __slots__ = ("_key",)

    def __init__(self, macs: RowMacs) -> None:
        self._key = macs.at_rest_key

    def close(self, table: Table, row: str, column: str, content: bytes) -> bytes:
        """The box of a column's content."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher(table, row).encrypt(nonce, content, column.encode())

    def open(self, table: Table, row: str, column: str, box: bytes) -> bytes:
        """What a box holds.

        Raises: RowTampered
        """
        try:
            return self._cipher(table, row).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], column.encode())
        except (InvalidTag, ValueError) as error:
            raise RowTampered(table=table.name, row=row) from error

    def _cipher(self, table: Table, row: str) -> AESGCM:
        return AESGCM(hkdf_expand(self._key, _INFO + f"{table.name}/{row}".encode()))


def boxed_anew(table: Table, values: Mapping[str, Value], before: AtRest, after: AtRest) -> dict[str, bytes]:
    """A row's boxes under another key. Raises: RowTampered"""
    found = {}
    for column in BOXED.get(table.name, ()):
        row, box = str(values["id"]), values[column]
        if isinstance(box, bytes):
            found[column] = after.close(table, row, column, before.open(table, row, column, box))
    return found
