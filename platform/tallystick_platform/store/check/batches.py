"""Epochs and batches: consecutive, in the order that the chain needs; and the head chain over everything that the log says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import Any

from sqlalchemy import Connection, Table, func, select

from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, batch_body, epoch_body, next_head, void_body, writer_body
from tallystick.ids import Address, Head, Root, to_hex
from tallystick.merkle import MAX_BATCH_RECORDS, tree_root
from tallystick_platform.store.check.finding import Finding, Subject, rows_of
from tallystick_platform.store.rows import AnchorState, unpack_wraps
from tallystick_platform.store.tables import ADOPTED, BATCH, EPOCH, RECORD, ROTATION, VOID

_CONTENT = {
    "batch": ("epoch", "first_index", "count", "root"),
    "epoch": ("number", "wraps"),
    "void": ("first", "last"),
    "rotation": ("previous", "writer", "size", "last_admission"),
}
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
            yield Finding("epoch-sequence", "epoch", number, ("number",), f"epoch {position + 1}", f"epoch {number}")
        end = rows[position + 1]["first_index"] if position + 1 < len(rows) else None
        first, last = spans.pop(number, (None, None))
        if first is not None and (first < row["first_index"] or (end is not None and last >= end)):
            expected = f"records from {row['first_index']}" + ("" if end is None else f" to {end - 1}")
            columns = ("number", "first_index")
            yield Finding("epoch-span", "epoch", number, columns, expected, f"records from {first} to {last}")
        if end is not None and row["closed_at"] is None:
            yield Finding("epoch-closed", "epoch", number, ("closed_at",), "closed before the next", "open")
        yield from _progress("epoch", row)
    for number, (first, _) in spans.items():
        yield Finding("epoch", "record", first, ("epoch",), "an epoch with a row", f"epoch {number}")


def check_batches(subject: Subject) -> Iterator[Finding]:
    """Consecutive from record 0, each of one epoch; root from leaves."""
    number = end = 0
    for row in rows_of(subject.connection, select(BATCH).order_by(BATCH.c.number)):
        first, count = row["first_index"], row["count"]
        if row["number"] != number:
            yield Finding("batch-sequence", "batch", row["number"], ("number",), f"batch {number}", str(row["number"]))
        if first != end:
            columns: tuple[str, ...] = ("first_index", "count")
            yield Finding("batch-span", "batch", row["number"], columns, f"first index {end}", f"first index {first}")
        number, end = row["number"] + 1, first + count
        leaves, epochs = _contents(subject, first, count)
        if len(leaves) != count or not epochs <= {row["epoch"]}:
            expected = f"{count} records of epoch {row['epoch']}"
            found = f"{len(leaves)} of epochs {', '.join(map(str, sorted(epochs))) or 'none'}"
            yield Finding("batch-span", "batch", row["number"], ("first_index", "count", "epoch"), expected, found)
        if leaves and tree_root(leaves) != row["root"]:
            columns = ("first_index", "count", "root")
            yield Finding("root", "batch", row["number"], columns, to_hex(tree_root(leaves)), to_hex(row["root"]))
        yield from _progress("batch", row)


def check_entries(subject: Subject) -> Iterator[Finding]:
    """Every entry that has its place: numbered from 0 without gaps, each with the head that follows from the one before."""
    head, expected_entry = Head(subject.log_id), 0
    size = 0
    for table, row in _entries(subject):
        name, entry = table.name, row["entry"]
        key = row.get("number", entry)
        if entry != expected_entry:
            yield Finding("entry-sequence", name, key, ("entry",), f"entry {expected_entry}", f"entry {entry}")
        expected_entry = entry + 1
        kind, body = _body(table, row, size)
        expected = next_head(head, kind, entry, body)
        if expected != row["head"]:
            found = "none" if row["head"] is None else to_hex(row["head"])
            yield Finding("head", name, key, ("entry", "head", *_CONTENT[name]), to_hex(expected), found)
        head = Head(row["head"] or expected)
        if table is BATCH:
            size = row["first_index"] + row["count"]


def earlier_writers(connection: Connection) -> tuple[Address, ...]:
    """Who signed for the log before its keeper named another."""
    return tuple(Address(row["previous"]) for row in rows_of(connection, select(ROTATION).order_by(ROTATION.c.entry)))


def _entries(subject: Subject) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    """The rows of all tables in the order of their entries."""

    def of(table: Table) -> Iterator[tuple[Table, Mapping[str, Any]]]:
        for row in rows_of(subject.connection, select(table).where(table.c.entry.is_not(None)).order_by(table.c.entry)):
            yield table, row

    return merge(*(of(table) for table in (BATCH, EPOCH, VOID, ROTATION)), key=lambda found: found[1]["entry"])


def _body(table: Table, row: Mapping[str, Any], size: int) -> tuple[EntryKind, bytes]:
    if table is BATCH:
        return EntryKind.BATCH, batch_body(row["epoch"], row["first_index"], row["count"], Root(row["root"]))
    if table is EPOCH:
        return EntryKind.EPOCH, epoch_body(row["number"], size, b"".join(unpack_wraps(row["wraps"])))
    if table is VOID:
        return EntryKind.VOID, void_body(row["first"], row["last"])
    body = writer_body(Address(row["previous"]), Address(row["writer"]), row["size"], row["last_admission"])
    return EntryKind.WRITER, body


def _contents(subject: Subject, first: int, count: int) -> tuple[Sequence[bytes], set[int]]:
    """The leaves of a batch, of records here and of those that only the chain has; and the epochs of those here."""
    leaves: dict[int, bytes] = {}
    epochs: set[int] = set()
    for table in (RECORD, ADOPTED):
        query = select(table).where(table.c.log_index >= first, table.c.log_index < first + count)
        for row in rows_of(subject.connection, query.order_by(table.c.log_index).limit(MAX_BATCH_RECORDS)):
            leaves[row["log_index"]] = row["leaf"]
            if table is RECORD:
                epochs.add(row["epoch"])
    return [leaves[index] for index in sorted(leaves)], epochs


def _progress(table: str, row: Mapping[str, Any]) -> Iterator[Finding]:
    """The columns that the row's state requires, and no others; the transaction's hash is that of its bytes."""
    number, state = row["number"], row["state"]
    if state not in set(AnchorState):
        yield Finding("state", table, number, ("state",), f"one of {', '.join(AnchorState)}", str(state))
        return
    placed = [name for name in _PLACE if row[name] is not None]
    if state in {AnchorState.MINED, AnchorState.FINAL}:
        if len(placed) != len(_PLACE):
            yield Finding("state", table, number, ("state", *_PLACE), "a place on the chain", f"only {placed}")
    elif placed:
        yield Finding("state", table, number, ("state", *_PLACE), "no place on the chain", f"{placed}")
    signed = [name for name in _SIGNED if row[name] is not None]
    if len(signed) not in {0, len(_SIGNED)} or (state == AnchorState.SENT and not signed):
        yield Finding("state", table, number, ("state", *_SIGNED), "a whole transaction", f"only {signed}")
    if row["raw_tx"] is not None and row["tx_hash"] != keccak256(row["raw_tx"]):
        expected = to_hex(keccak256(row["raw_tx"]))
        found = "none" if row["tx_hash"] is None else to_hex(row["tx_hash"])
        yield Finding("transaction", table, number, ("tx_hash", "raw_tx"), expected, found)
