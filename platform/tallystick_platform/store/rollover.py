"""Epoch rows: closing the old one and inserting the new one in one transaction."""

from __future__ import annotations

from typing import Any

from tallystick.ids import Epoch, Index
from tallystick_platform.errors import RowTampered
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, Value
from tallystick_platform.store.rows import pack_wraps, unpack_wraps
from tallystick_platform.store.sealer import EpochPlan, Sealer
from tallystick_platform.store.tables import EPOCH

_COLUMNS = tuple(column.name for column in EPOCH.columns)
_LAST = f"SELECT {', '.join(_COLUMNS)} FROM epoch ORDER BY number DESC LIMIT 1"  # noqa: S608  names from the schema
_CLOSE = "UPDATE epoch SET closed_at = ?, mac = ? WHERE number = ?"


def resume_epoch(connection: WriterConnection, sealer: Sealer, macs: RowMacs) -> None:
    """Tell the sealer which epoch the journal stands in.

    Raises: RowTampered
    """
    row = _last(connection, macs)
    sealer.resume(None if row is None else _as_epoch(row))


def roll_epoch(connection: WriterConnection, sealer: Sealer, macs: RowMacs, counters: Counters, now_us: int) -> None:
    """Open the next epoch: key first, then its row, then its use."""
    epoch = sealer.plan_epoch(counters.next_index, now_us)
    connection.begin()
    _close_last(connection, macs, counters, now_us)
    values: dict[str, Value] = dict.fromkeys(_COLUMNS)
    values |= {"number": epoch.number, "first_index": epoch.first_index, "wraps": pack_wraps(epoch.wraps)}
    values |= {"state": "planned", "opened_at": epoch.opened_at, "adopted": 0}
    mark = macs.mark_of_row(EPOCH, values)
    values["mac"] = mark[:MAC_BYTES]
    connection.insert(EPOCH, [tuple(values.values())])
    counters.change(connection, lambda inventory: inventory.add("epoch", [mark]))
    connection.commit()
    sealer.adopt_epoch(epoch)


def close_epoch(connection: WriterConnection, macs: RowMacs, counters: Counters, now_us: int) -> None:
    """Close the open epoch without opening another: nothing was sealed for so long that its time is over."""
    connection.begin()
    _close_last(connection, macs, counters, now_us)
    connection.commit()


def _close_last(connection: WriterConnection, macs: RowMacs, counters: Counters, now_us: int) -> None:
    row = _last(connection, macs)
    if row is None or row["closed_at"] is not None:
        return
    old = macs.mark_of_row(EPOCH, row)
    row["closed_at"] = max(now_us, row["opened_at"])
    new = macs.mark_of_row(EPOCH, row)
    connection.execute_many(_CLOSE, [(row["closed_at"], new[:MAC_BYTES], row["number"])])
    counters.change(connection, lambda inventory: inventory.replace("epoch", old, new))


def _last(connection: WriterConnection, macs: RowMacs) -> dict[str, Any] | None:
    rows = connection.fetch(_LAST)
    if not rows:
        return None
    row = dict(zip(_COLUMNS, rows[0], strict=True))
    if not macs.fits(EPOCH, row):
        raise RowTampered(table="epoch", row=row["number"])
    return row


def _as_epoch(row: dict[str, Any]) -> EpochPlan:
    return EpochPlan(
        number=Epoch(row["number"]),
        first_index=Index(row["first_index"]),
        wraps=unpack_wraps(row["wraps"]),
        opened_at=row["opened_at"],
        closed=row["closed_at"] is not None,
    )
