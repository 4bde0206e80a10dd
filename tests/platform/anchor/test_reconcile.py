from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.chain import LogState
from tallystick.ids import Epoch, Head, Index, LogId, Root
from tallystick.keys import Wallet
from tallystick_platform.anchor.errors import BatchMismatch, ChainAhead, HeadMismatch, WriterChanged
from tallystick_platform.anchor.reconcile import reconcile
from tallystick_platform.store.rows import Batch
from tallystick_platform.store.rows import Epoch as EpochRow
from tests.support.anchor_rows import MemoryRows
from tests.support.anchoring import WALLET

LOG = LogId(b"L" * 32)
EMPTY = LogState(writer=WALLET.address, pending_writer=None, size=0, head=Head(LOG), batch_count=0, epoch=Epoch(0))
FIRST = Batch(number=0, first_index=Index(0), count=3, root=Root(b"a" * 32), head=Head(b"A" * 32))
SECOND = Batch(number=1, first_index=Index(3), count=2, root=Root(b"b" * 32), head=Head(b"B" * 32))
EPOCH = EpochRow(number=Epoch(1), first_index=Index(0), wraps=(b"w",))


@pytest.fixture
def journal() -> MemoryRows:
    rows = MemoryRows()
    rows.epochs, rows.batches = [EPOCH], [FIRST, SECOND]
    return rows


def at(batch: Batch, **changes: object) -> LogState:
    state = replace(EMPTY, size=batch.end, head=batch.head, batch_count=batch.number + 1, epoch=Epoch(1))
    return replace(state, **changes)  # type: ignore[arg-type]


def test_an_empty_log_holds_nothing(journal):
    standing = reconcile(EMPTY, LOG, WALLET.address, journal)
    assert not any(map(standing.holds, (EPOCH, FIRST, SECOND)))


def test_a_log_at_a_batch_s_end_holds_everything_up_to_it(journal):
    standing = reconcile(at(FIRST), LOG, WALLET.address, journal)
    assert [standing.holds(row) for row in (EPOCH, FIRST, SECOND)] == [True, True, False]


def test_a_log_at_the_last_end_holds_all(journal):
    standing = reconcile(at(SECOND), LOG, WALLET.address, journal)
    assert all(map(standing.holds, (EPOCH, FIRST, SECOND)))


def test_more_records_on_the_chain_than_were_sent_are_the_chain_ahead(journal):
    with pytest.raises(ChainAhead) as caught:
        reconcile(at(SECOND, size=6), LOG, WALLET.address, journal)
    assert (caught.value.what, caught.value.journal, caught.value.chain) == ("records", 5, 6)


def test_a_later_epoch_on_the_chain_is_the_chain_ahead(journal):
    with pytest.raises(ChainAhead) as caught:
        reconcile(at(FIRST, epoch=2), LOG, WALLET.address, journal)
    assert (caught.value.what, caught.value.journal, caught.value.chain) == ("epochs", 1, 2)


def test_another_head_at_a_batch_s_end_is_a_mismatch_that_shows_both(journal):
    with pytest.raises(HeadMismatch) as caught:
        reconcile(at(FIRST, head=b"x" * 32), LOG, WALLET.address, journal)
    assert (caught.value.size, caught.value.expected, caught.value.found) == (3, FIRST.head, b"x" * 32)


def test_a_size_between_two_ends_is_a_mismatch(journal):
    with pytest.raises(HeadMismatch) as caught:
        reconcile(at(FIRST, size=4), LOG, WALLET.address, journal)
    assert caught.value.expected is None


def test_an_empty_log_with_another_head_is_a_mismatch(journal):
    with pytest.raises(HeadMismatch):
        reconcile(replace(EMPTY, head=Head(b"x" * 32)), LOG, WALLET.address, journal)


def test_another_number_of_batches_is_a_mismatch(journal):
    with pytest.raises(BatchMismatch):
        reconcile(at(SECOND, batch_count=3), LOG, WALLET.address, journal)


def test_another_writer_is_named_beside_ours(journal):
    other = Wallet(bytes.fromhex("22" * 32)).address
    with pytest.raises(WriterChanged) as caught:
        reconcile(replace(EMPTY, writer=other), LOG, WALLET.address, journal)
    assert caught.value.expected != caught.value.found
