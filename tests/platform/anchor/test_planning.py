from __future__ import annotations

import pytest

from tallystick.chain.packing import MAX_CIPHERTEXT_BYTES, append_size, pack_records
from tallystick.heads import EntryKind, batch_body, next_head
from tallystick.ids import Epoch, FieldsRoot, Head, Index, Leaf
from tallystick.merkle import MAX_BATCH_RECORDS, tree_root
from tallystick_platform.anchor.anchorer import fill, plan
from tallystick_platform.anchor.errors import RecordTooLarge
from tallystick_platform.ledger_chain.gas import MAX_CALLDATA_BYTES, MAX_TRANSACTION_BYTES
from tallystick_platform.ledger_chain.signers import Fees
from tallystick_platform.store.rows import PendingRecord, Tip
from tests.support.anchoring import LOG, client_of

HEADER = b"\x20" + (2**53 - 1).to_bytes(8, "big") + b"\xff" * 16


def pending(count: int, size: int = 100, epoch: int = 1, first: int = 0) -> list[PendingRecord]:
    return [
        PendingRecord(
            index=Index(first + i), epoch=Epoch(epoch), fields_root=FieldsRoot(b"\xff" * 32), sealed=HEADER + b"\xff" * (size - 25),
            leaf=Leaf(bytes([i % 256]) * 32), created_at_us=0,
        )
        for i in range(count)
    ]  # fmt: skip


def test_all_records_that_fit_make_one_batch():
    assert fill(pending(5), 10_000) == 5


def test_a_batch_ends_before_the_record_that_would_pass_the_byte_limit():
    limit = append_size([100, 100, 100])
    assert fill(pending(5), limit) == 3
    assert fill(pending(5), limit - 1) == 2


def test_a_batch_holds_no_more_records_than_the_contract_takes():
    assert fill(pending(MAX_BATCH_RECORDS + 1, size=42), 10**9) == MAX_BATCH_RECORDS


def test_a_batch_holds_records_of_one_epoch():
    assert fill([*pending(2), *pending(3, epoch=2, first=2)], 10_000) == 2


def test_a_record_beyond_the_byte_limit_goes_alone():
    assert fill([*pending(1, size=5_000), *pending(1, first=1)], 2_000) == 1


def test_a_record_that_no_transaction_carries_is_refused_by_its_index():
    with pytest.raises(RecordTooLarge, match=f"record 7 .* carries {MAX_CALLDATA_BYTES}$"):
        fill(pending(1, size=MAX_CALLDATA_BYTES, first=7), 2_000)


def test_no_records_make_no_batch():
    assert fill([], 2_000) == 0


def test_the_largest_record_of_the_format_goes_alone_in_one_transaction():
    records = pending(2, size=len(HEADER) + MAX_CIPHERTEXT_BYTES)
    assert fill(records, 2_000) == 1


def test_the_fullest_batches_stay_within_a_transaction_s_bytes_and_gas():
    client = client_of(None)
    fees = Fees(max_fee_per_gas=2**63, max_priority_fee_per_gas=2**63)
    for size in (42, 200, 1_000, 30_000, len(HEADER) + MAX_CIPHERTEXT_BYTES):
        records = pending(MAX_BATCH_RECORDS, size=size)
        chosen = records[: fill(records, MAX_CALLDATA_BYTES)]
        packed = pack_records([(r.fields_root, r.sealed) for r in chosen])
        signed = client.build_append(2**32, LOG, Head(b"\xff" * 32), packed, len(chosen), fees=fees)
        assert len(signed.raw) <= MAX_TRANSACTION_BYTES


def test_a_plan_has_the_root_and_head_of_the_specification():
    records, before = pending(3, first=5), Head(b"h" * 32)
    tip = Tip(entries=7, head=before, size=Index(5), batch_count=2, epoch=Epoch(1), epoch_open=True)
    batch = plan(tip, records)
    root = tree_root([record.leaf for record in records])
    assert (batch.number, batch.entry, batch.epoch, batch.first_index, batch.count, batch.end) == (2, 7, 1, 5, 3, 8)
    assert (batch.root, batch.head) == (root, next_head(before, EntryKind.BATCH, 7, batch_body(1, 5, 3, root)))
