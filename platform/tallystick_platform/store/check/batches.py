"""Epochs and batches: consecutive, in the order that the chain needs, with the roots and heads that their records give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from tallystick.hashing import keccak256
from tallystick.ids import Head, to_hex
from tallystick.merkle import next_head, tree_root
from tallystick_platform.store.check.finding import Finding, Subject
from tallystick_platform.store.check.macs import rows_of
from tallystick_platform.store.rows import AnchorState
from tallystick_platform.store.tables import BatchRow, EpochRow, RecordRow, table_of

BATCH, EPOCH, RECORD = (table_of(model) for model in (BatchRow, EpochRow, RecordRow))
MAX_LEAVES_READ = 1_024  # the most that a batch may hold
_PLACE = ("mined_tx_hash", "block_number", "block_hash", "block_time", "gas_used", "mined_at")
_SIGNED = ("nonce", "tx_hash", "raw_tx", "sent_at")


def check_epochs(subject: Subject) -> Iterator[Finding]:
    """Numbers from 1 without gaps; the records of each lie between its first index and the next one's; all but the last are closed."""
    rows = list(rows_of(subject.connection, select(EPOCH).order_by(EPOCH.c.number)))
    spans = {
        row["epoch"]: (row["first"], row["last"])
        for row in rows_of(
            subject.connection,
            select(
                RECORD.c.epoch, func.min(RECORD.c.log_index).label("first"), func.max(RECORD.c.log_index).label("last")
            ).group_by(RECORD.c.epoch),
        )
    }
    for position, row in enumerate(rows):
        number = row["number"]
        if number != position + 1:
            yield _finding("epoch-sequence", "epoch", number, ("number",), f"epoch {position + 1}", f"epoch {number}")
        end = rows[position + 1]["first_index"] if position + 1 < len(rows) else None
        first, last = spans.pop(number, (None, None))
        if first is not None and (first < row["first_index"] or (end is not None and last >= end)):
            expected = f"records from {row['first_index']}" + ("" if end is None else f" to {end - 1}")
            columns = ("number", "first_index")
            yield _finding("epoch-span", "epoch", number, columns, expected, f"records from {first} to {last}")
        if end is not None and row["closed_at"] is None:
            yield _finding("epoch-closed", "epoch", number, ("closed_at",), "closed before the next", "open")
        yield from _progress("epoch", row)
    for number, (first, _) in spans.items():
        yield _finding("epoch", "record", first, ("epoch",), "an epoch with a row", f"epoch {number}")


def check_batches(subject: Subject) -> Iterator[Finding]:
    """Consecutive from record 0; root from leaves; head from root and the head before."""
    head = Head(subject.log_id)
    number = end = 0
    for row in rows_of(subject.connection, select(BATCH).order_by(BATCH.c.number)):
        first, count = row["first_index"], row["count"]
        if row["number"] != number:
            yield _finding("batch-sequence", "batch", row["number"], ("number",), f"batch {number}", str(row["number"]))
        if first != end:
            columns: tuple[str, ...] = ("first_index", "count")
            yield _finding("batch-span", "batch", row["number"], columns, f"first index {end}", f"first index {first}")
        number, end = row["number"] + 1, first + count
        leaves, epochs = _contents(subject, first, count)
        if len(leaves) != count or epochs > 1:
            expected, found = f"{count} records of one epoch", f"{len(leaves)} of {epochs} epochs"
            yield _finding("batch-span", "batch", row["number"], ("first_index", "count"), expected, found)
        if leaves and tree_root(leaves) != row["root"]:
            columns = ("first_index", "count", "root")
            yield _finding("root", "batch", row["number"], columns, to_hex(tree_root(leaves)), to_hex(row["root"]))
        expected_head = next_head(head, row["root"], first, count)
        if expected_head != row["head"]:
            columns = ("first_index", "count", "root", "head")
            yield _finding("head", "batch", row["number"], columns, to_hex(expected_head), to_hex(row["head"]))
        head = row["head"]
        yield from _progress("batch", row)


def _contents(subject: Subject, first: int, count: int) -> tuple[Sequence[bytes], int]:
    query = (
        select(RECORD.c.leaf, RECORD.c.epoch)
        .where(RECORD.c.log_index >= first, RECORD.c.log_index < first + count)
        .order_by(RECORD.c.log_index)
        .limit(MAX_LEAVES_READ)
    )
    rows = list(rows_of(subject.connection, query))
    return [row["leaf"] for row in rows], len({row["epoch"] for row in rows})


def _progress(table: str, row: Mapping[str, Any]) -> Iterator[Finding]:
    """The columns that the row's state requires, and no others; the transaction's hash is that of its bytes."""
    number, state = row["number"], row["state"]
    if state not in set(AnchorState):
        yield _finding("state", table, number, ("state",), f"one of {', '.join(AnchorState)}", str(state))
        return
    placed = [name for name in _PLACE if row[name] is not None]
    if state in {AnchorState.MINED, AnchorState.FINAL}:
        if len(placed) != len(_PLACE):
            yield _finding("state", table, number, ("state", *_PLACE), "a place on the chain", f"only {placed}")
    elif placed:
        yield _finding("state", table, number, ("state", *_PLACE), "no place on the chain", f"{placed}")
    signed = [name for name in _SIGNED if row[name] is not None]
    if len(signed) not in {0, len(_SIGNED)} or (state == AnchorState.SENT and not signed):
        yield _finding("state", table, number, ("state", *_SIGNED), "a whole transaction", f"only {signed}")
    if row["raw_tx"] is not None and row["tx_hash"] != keccak256(row["raw_tx"]):
        expected = to_hex(keccak256(row["raw_tx"]))
        found = "none" if row["tx_hash"] is None else to_hex(row["tx_hash"])
        yield _finding("transaction", table, number, ("tx_hash", "raw_tx"), expected, found)


def _finding(check: str, table: str, row: int, columns: tuple[str, ...], expected: str, found: str) -> Finding:
    return Finding(check=check, table=table, row=row, columns=columns, expected=expected, found=found)
