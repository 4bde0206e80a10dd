from __future__ import annotations

import pytest

from tallystick.chain import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_GAS, Fees, LedgerSender, append_calldata_size
from tallystick.chain.sender import call_gas
from tallystick.ids import Address, Epoch, FieldsRoot, Head, Index, Leaf, LogId
from tallystick.merkle import MAX_BATCH_RECORDS, next_head, tree_root
from tallystick_platform.anchor.errors import RecordTooLarge
from tallystick_platform.anchor.planning import MAX_BATCH_BYTES, fill, plan
from tallystick_platform.store.rows import PendingRecord
from tests.support.anchoring import WALLET
from tests.support.model_chain import CHAIN_ID


def pending(count: int, size: int = 100, epoch: int = 1, first: int = 0) -> list[PendingRecord]:
    return [
        PendingRecord(
            index=Index(first + i), epoch=Epoch(epoch), fields_root=FieldsRoot(b"\xff" * 32), sealed=b"\xff" * size,
            leaf=Leaf(bytes([i % 256]) * 32), created_at_us=0,
        )
        for i in range(count)
    ]  # fmt: skip


def test_all_records_that_fit_make_one_batch():
    assert fill(pending(5), 10_000) == 5


def test_a_batch_ends_before_the_record_that_would_pass_the_byte_limit():
    limit = append_calldata_size([100, 100, 100])
    assert fill(pending(5), limit) == 3
    assert fill(pending(5), limit - 1) == 2


def test_a_batch_holds_no_more_records_than_the_contract_takes():
    assert fill(pending(MAX_BATCH_RECORDS + 1, size=1), 10**9) == MAX_BATCH_RECORDS


def test_a_batch_holds_records_of_one_epoch():
    assert fill([*pending(2), *pending(3, epoch=2, first=2)], 10_000) == 2


def test_a_record_beyond_the_byte_limit_goes_alone():
    assert fill([*pending(1, size=5_000), *pending(1, first=1)], 2_000) == 1


def test_a_record_that_no_transaction_carries_is_refused_by_its_index():
    with pytest.raises(RecordTooLarge) as caught:
        fill(pending(1, size=MAX_BATCH_BYTES, first=7), 2_000)
    assert caught.value.index == 7
    assert caught.value.limit_bytes == MAX_BATCH_BYTES


def test_no_records_make_no_batch():
    assert fill([], 2_000) == 0


def test_the_fullest_batches_stay_within_a_transaction_s_bytes_and_gas():
    sender = LedgerSender(None, WALLET, Address(b"\xcc" * 20), LogId(b"\xdd" * 32), CHAIN_ID)  # type: ignore[arg-type]
    fees = Fees(max_fee_per_gas=2**63, max_priority_fee_per_gas=2**63)
    for size in (1, 33, 200, 1_000, 30_000, MAX_BATCH_BYTES - 400):
        records = pending(MAX_BATCH_RECORDS, size=size)
        chosen = records[: fill(records, MAX_BATCH_BYTES)]
        roots, sealed = [r.fields_root for r in chosen], [r.sealed for r in chosen]
        assert len(sender.build_append(2**32, Index(2**40), roots, sealed, fees=fees).raw) <= MAX_TRANSACTION_BYTES
        assert call_gas(b"\xff" * append_calldata_size([size] * len(chosen)), len(chosen)) <= MAX_TRANSACTION_GAS


def test_a_plan_has_the_root_and_head_of_the_specification():
    records, before = pending(3, first=5), Head(b"h" * 32)
    batch = plan(2, before, records)
    root = tree_root([record.leaf for record in records])
    assert (batch.number, batch.first_index, batch.count, batch.end) == (2, 5, 3, 8)
    assert (batch.root, batch.head) == (root, next_head(before, root, 5, 3))
