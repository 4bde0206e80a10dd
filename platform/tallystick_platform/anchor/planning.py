"""Choosing the next batch: how many of the waiting records one transaction takes, and the root and head they will have."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.ids import Head
from tallystick.merkle import MAX_BATCH_RECORDS, next_head, tree_root
from tallystick_platform.anchor.errors import RecordTooLarge
from tallystick_platform.anchor.rows import Batch, PendingRecord

# A public node pool refuses a transaction of more than 131,072 bytes. What append's calldata, the signature and the fee
# fields take besides the records fits in the rest.
MAX_BATCH_BYTES = 131_072 - 1_024
MIN_RECORD_BYTES = 4 * 32  # two words of offsets and lengths, the fields root, at least one word of sealed text


def record_calldata_bytes(sealed_length: int) -> int:
    """Calldata that one record adds to `append`: its fields root, its offset, its length word and its padded bytes."""
    return 96 + (sealed_length + 31) // 32 * 32


def fill(records: Sequence[PendingRecord], max_bytes: int) -> int:
    """How many leading records make one batch: of one epoch, within `max_bytes`, at most MAX_BATCH_RECORDS.

    A record larger than `max_bytes` goes alone as long as a transaction carries it.

    Raises: RecordTooLarge
    """
    total = 0
    for position, record in enumerate(records[:MAX_BATCH_RECORDS]):
        size = record_calldata_bytes(len(record.sealed))
        if size > MAX_BATCH_BYTES:
            if position == 0:
                raise RecordTooLarge(index=record.index, size_bytes=size, limit_bytes=MAX_BATCH_BYTES)
            return position
        total += size
        if position > 0 and (total > max_bytes or record.epoch != records[0].epoch):
            return position
    return min(len(records), MAX_BATCH_RECORDS)


def plan(number: int, previous_head: Head, records: Sequence[PendingRecord]) -> Batch:
    """The batch that the contract will make of these records.

    Requires: records of one epoch with consecutive indices.
    Source: ledger/SPEC.md section 5
    """
    first_index = records[0].index
    root = tree_root([record.leaf for record in records])
    head = next_head(previous_head, root, first_index, len(records))
    return Batch(number=number, first_index=first_index, count=len(records), root=root, head=head)
