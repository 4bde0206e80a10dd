"""Choosing the next batch: how many of the waiting records one transaction takes, and the root and head they will have."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.chain.packing import append_size
from tallystick.merkle import MAX_BATCH_RECORDS, tree_root
from tallystick_platform.anchor.errors import RecordTooLarge
from tallystick_platform.ledger_chain import MAX_CALLDATA_BYTES
from tallystick_platform.store.rows import Batch, PendingRecord, Tip


def fill(records: Sequence[PendingRecord], max_bytes: int) -> int:
    """How many leading records make one batch: of one epoch, within `max_bytes` of calldata, at most MAX_BATCH_RECORDS.

    A record larger than `max_bytes` goes alone as long as a transaction carries it. The gas that so much calldata needs is below
    what one transaction may use.

    Raises: RecordTooLarge
    """
    sizes: list[int] = []
    for record in records[:MAX_BATCH_RECORDS]:
        sizes.append(len(record.sealed))
        size_bytes = append_size(sizes)
        if len(sizes) == 1 and size_bytes > MAX_CALLDATA_BYTES:
            raise RecordTooLarge(index=record.index, size_bytes=size_bytes, limit_bytes=MAX_CALLDATA_BYTES)
        if len(sizes) > 1 and (size_bytes > max_bytes or record.epoch != records[0].epoch):
            return len(sizes) - 1
    return len(sizes)


def plan(tip: Tip, records: Sequence[PendingRecord]) -> Batch:
    """The batch that the contract will make of these records.

    Requires: records of the open epoch with consecutive indices, from the log's size on.
    Source: ledger/SPEC.md sections 5 and 6
    """
    epoch, root = records[0].epoch, tree_root([record.leaf for record in records])
    return Batch(
        number=tip.batch_count,
        entry=tip.entries,
        epoch=epoch,
        first_index=records[0].index,
        count=len(records),
        root=root,
        head=tip.head_after_batch(epoch, len(records), root),
    )
