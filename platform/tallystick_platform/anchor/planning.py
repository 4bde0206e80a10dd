"""Choosing the next batch: how many of the waiting records one transaction takes, and the root and head they will have."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.chain import MAX_TRANSACTION_BYTES, append_calldata_size
from tallystick.chain.sender import TRANSACTION_OVERHEAD_BYTES
from tallystick.ids import Head
from tallystick.merkle import MAX_BATCH_RECORDS, next_head, tree_root
from tallystick_platform.anchor.errors import RecordTooLarge
from tallystick_platform.store.rows import Batch, PendingRecord

MAX_BATCH_BYTES = MAX_TRANSACTION_BYTES - TRANSACTION_OVERHEAD_BYTES
"""What a transaction carries, in calldata. The gas that so much calldata needs is below MAX_TRANSACTION_GAS."""


def fill(records: Sequence[PendingRecord], max_bytes: int) -> int:
    """How many leading records make one batch: of one epoch, within `max_bytes`, at most MAX_BATCH_RECORDS.

    A record larger than `max_bytes` goes alone as long as a transaction carries it.

    Raises: RecordTooLarge
    """
    sizes: list[int] = []
    for record in records[:MAX_BATCH_RECORDS]:
        sizes.append(len(record.sealed))
        size_bytes = append_calldata_size(sizes)
        if len(sizes) == 1 and size_bytes > MAX_BATCH_BYTES:
            raise RecordTooLarge(index=record.index, size_bytes=size_bytes, limit_bytes=MAX_BATCH_BYTES)
        if len(sizes) > 1 and (size_bytes > max_bytes or record.epoch != records[0].epoch):
            return len(sizes) - 1
    return len(sizes)


def plan(number: int, previous_head: Head, records: Sequence[PendingRecord]) -> Batch:
    """The batch that the contract will make of these records.

    Requires: records of one epoch with consecutive indices.
    Source: ledger/SPEC.md section 5
    """
    first_index = records[0].index
    root = tree_root([record.leaf for record in records])
    head = next_head(previous_head, root, first_index, len(records))
    return Batch(number=number, first_index=first_index, count=len(records), root=root, head=head)
