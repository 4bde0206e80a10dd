"""Drafts in the database that nobody in this process will finish, turned into the records that they owe."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from tallystick.errors import KeyFileError
from tallystick.ids import Epoch
from tallystick.record import Record
from tallystick_platform.errors import DraftUnreadable, EpochKeyMissing
from tallystick_platform.store import settlement
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.drafts import decode_draft
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import ADMISSION

_COLUMNS = tuple(column.name for column in ADMISSION.columns)
_DRAFTS = "SELECT admission_seq, epoch FROM draft ORDER BY admission_seq"
_CIPHERTEXT = "SELECT ciphertext FROM draft WHERE admission_seq = ?"
_ADMISSION = f"SELECT {', '.join(_COLUMNS)} FROM admission WHERE seq = ?"  # noqa: S608  names from the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """The drafts that the database holds, by admission, and the would-be records of those without an owner."""

    epochs: dict[int, Epoch]
    orphans: dict[int, Record]
    unreadable: dict[int, Record]


def read_leftovers(connection: WriterConnection, sealer: Sealer, owned: Container[int], now_us: int) -> Leftovers:
    """Read every draft; open those whose admission is not in `owned`.

    A draft that does not open still ends in a record: the little that its admission row tells.
    """
    epochs = {seq: Epoch(epoch) for seq, epoch in connection.fetch(_DRAFTS)}
    orphans: dict[int, Record] = {}
    unreadable: dict[int, Record] = {}
    for seq, epoch in epochs.items():
        if seq in owned:
            continue
        ciphertext = connection.fetch(_CIPHERTEXT, (seq,))[0][0]
        try:
            orphans[seq] = decode_draft(sealer.reveal_draft(epoch, seq, ciphertext))
        except (DraftUnreadable, EpochKeyMissing, KeyFileError, ValueError):
            unreadable[seq] = settlement.from_admission_row(_admission(connection, seq), now_us)
    return Leftovers(epochs=epochs, orphans=orphans, unreadable=unreadable)


def has_record(connection: WriterConnection, seq: int) -> bool:
    """Whether an admission has its record."""
    return bool(connection.fetch("SELECT 1 FROM record WHERE admission_seq = ?", (seq,)))


def _admission(connection: WriterConnection, seq: int) -> dict[str, Any]:
    return dict(zip(_COLUMNS, connection.fetch(_ADMISSION, (seq,))[0], strict=True))
