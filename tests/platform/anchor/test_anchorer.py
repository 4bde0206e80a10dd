"""The numbered order, over a model chain: what lands, in which order, and when."""

from __future__ import annotations

import pytest

from tallystick.chain.reader import LedgerReader
from tallystick_platform.anchor.policy import IDLE_MS
from tallystick_platform.store.rows import AnchorState
from tests.support.anchoring import WALLET, Rig, policy
from tests.support.fault_plan import Fault
from tests.support.model_chain import ModelChain


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def slow() -> Rig:
    """Blocks come only when the test mines."""
    rig = Rig(ModelChain(WALLET.address, auto_mine=False))
    rig.journal()
    rig.turn()
    rig.chain.mine()
    rig.turn()  # the epoch is open
    return rig


def states(rig: Rig) -> list[AnchorState]:
    return [batch.state for batch in rig.rows.batches]


def test_every_journaled_record_lands_once_and_in_order(rig):
    rig.journal(20)
    rig.settle()
    rig.audit()
    assert rig.chain_size == 20
    assert set(states(rig)) == {AnchorState.FINAL}


def test_an_epoch_is_opened_before_its_first_record_and_without_waiting_for_one(rig):
    rig.open_epoch()
    rig.settle()
    assert rig.rows.epochs[0].state is AnchorState.FINAL
    rig.audit()


def test_a_batch_ends_where_an_epoch_ends(rig):
    rig.journal(3)
    rig.open_epoch()
    rig.journal(2)
    rig.settle()
    rig.audit()
    assert [(batch.first_index, batch.count) for batch in rig.rows.batches] == [(0, 3), (3, 2)]


def test_an_epoch_is_not_opened_before_the_records_of_the_one_before(rig):
    rig.journal(12)
    rig.open_epoch()
    rig.settle()
    rig.audit()
    opened = rig.rows.epochs[1].mined.block_number
    assert all(batch.mined.block_number < opened for batch in rig.rows.batches)


def test_a_few_records_wait_until_the_oldest_is_as_old_as_a_batch_may_get(rig):
    rig.open_epoch()
    rig.settle()
    rig.journal(2)
    pause = rig.anchorer.step()
    assert (pause.ms, pause.wakeable) == (1_000, True)
    assert rig.rows.batches == []
    rig.advance_ms(999)
    assert rig.anchorer.step().ms == 1
    rig.advance_ms(1)
    rig.anchorer.step()
    assert rig.rows.batches[0].count == 2


def test_a_full_batch_does_not_wait(rig):
    rig.open_epoch()
    rig.settle()
    rig.journal(12)
    rig.anchorer.step()
    assert rig.rows.batches[0].count < 12


def test_nothing_to_do_asks_the_chain_once_a_while_and_no_more(rig):
    rig.open_epoch()
    rig.settle()
    rig.anchorer.step()
    asked = rig.node.calls.total()
    pause = rig.anchorer.step()
    assert (pause.ms, pause.wakeable) == (IDLE_MS, True)
    assert rig.node.calls.total() == asked
    rig.advance_ms(IDLE_MS)
    rig.anchorer.step()
    assert rig.node.calls.total() > asked


def test_the_row_and_its_signed_bytes_are_durable_before_anything_is_sent(slow):
    slow.journal()
    slow.advance_ms(1_000)
    slow.node.arm("eth_sendRawTransaction", Fault.FAILED)
    slow.turn()
    (batch,) = slow.rows.batches
    assert batch.state is AnchorState.SENT
    assert batch.signed is not None
    assert slow.chain.pool == {}


def test_a_send_whose_outcome_is_unknown_is_looked_up_and_not_repeated(slow):
    slow.journal()
    slow.advance_ms(1_000)
    slow.node.arm("eth_sendRawTransaction", Fault.DONE_ANYWAY)
    slow.turn()
    slow.chain.mine()
    slow.settle()
    assert slow.node.calls["eth_sendRawTransaction"] == 2  # the epoch's, and this one
    slow.audit()


def test_a_transaction_that_waits_is_not_sent_again_before_its_time(slow):
    slow.journal()
    slow.advance_ms(1_000)
    slow.turn()
    before = slow.node.calls["eth_sendRawTransaction"]
    for _ in range(7):  # 250 ms each, below resend_after_ms
        slow.turn()
    assert slow.node.calls["eth_sendRawTransaction"] == before


def test_a_transaction_that_the_pool_dropped_goes_out_again_with_the_same_bytes(slow):
    slow.journal()
    slow.advance_ms(1_000)
    slow.turn()
    (first,) = [tx.hash for tx in slow.chain.pool.values()]
    slow.chain.drop_pool()
    for _ in range(10):
        slow.turn()
    assert [tx.hash for tx in slow.chain.pool.values()] == [first]
    slow.settle()
    slow.audit()
    assert slow.rows.batches[0].mined.tx_hash == first


def test_a_restart_after_the_send_looks_before_it_sends(slow):
    slow.journal()
    slow.advance_ms(1_000)
    slow.turn()
    slow.chain.mine()
    slow.crash()
    sends = slow.node.calls["eth_sendRawTransaction"]
    slow.settle()
    assert slow.node.calls["eth_sendRawTransaction"] == sends
    slow.audit()


def test_a_mined_batch_knows_its_block_its_gas_and_its_time(rig):
    rig.journal(3)
    rig.settle()
    mined = rig.rows.batches[0].mined
    block = LedgerReader(rig.chain, rig.contract, rig.log_id).block(mined.block_number)
    assert (mined.block_hash, mined.block_time) == (block.hash, block.timestamp)
    assert mined.gas_used > 21_000


def test_a_batch_is_final_only_under_as_many_blocks_as_asked():
    rig = Rig(ModelChain(WALLET.address), policy(confirmations=3))
    rig.journal()
    for _ in range(4):
        rig.turn()  # each transaction makes its own block here
    rig.advance_ms(1_000)
    for _ in range(3):
        rig.turn()
    assert states(rig) == [AnchorState.MINED]
    rig.chain.mine(2)
    rig.turn()
    assert states(rig) == [AnchorState.MINED]
    rig.chain.mine()
    rig.turn()
    assert states(rig) == [AnchorState.FINAL]


def test_one_transaction_is_in_flight_by_default(slow):
    slow.journal(30)
    slow.advance_ms(1_000)
    for _ in range(5):
        slow.turn()
        assert len(slow.chain.pool) <= 1


def test_several_transactions_may_be_in_flight_and_land_in_order():
    rig = Rig(ModelChain(WALLET.address, auto_mine=False), policy(max_in_flight=4))
    rig.open_epoch()
    rig.settle()
    rig.journal(60)
    rig.advance_ms(1_000)
    rig.turn()
    assert len(rig.chain.pool) == 4
    rig.settle()
    rig.audit()
    assert len({batch.mined.block_number for batch in rig.rows.batches}) < len(rig.rows.batches)


def test_an_epoch_may_fly_between_batches_since_each_names_the_head_before_it():
    rig = Rig(ModelChain(WALLET.address, auto_mine=False), policy(max_in_flight=4))
    rig.journal(6)
    rig.open_epoch()
    rig.journal(6)
    rig.turn()
    rig.advance_ms(1_000)
    rig.turn()
    kinds = [type(row).__name__ for row in rig.rows.unfinished()]
    assert kinds == ["Epoch", "Batch", "Batch", "Epoch"]
    assert len(rig.chain.pool) == 4
    rig.settle()
    rig.audit()
    assert rig.service.status().reverts == 0


def test_void_numbers_go_before_anything_else_and_once(rig):
    rig.journal(3)
    rig.settle()
    rig.journal(2)
    rig.rows.void(7, 9)
    rig.rows.void(11, 40)
    rig.settle()
    rig.audit()
    assert [void.entry for void in rig.rows.voids] == [2, 3]
    assert rig.rows.batches[-1].entry == 4


def test_a_crash_after_a_place_was_given_keeps_the_place(rig):
    rig.open_epoch()
    rig.store.arm("save_signed", Fault.FAILED)
    rig.turn()
    placed = rig.rows.epochs[0]
    assert (placed.entry, placed.state) == (0, AnchorState.PLANNED)
    rig.crash()
    rig.settle()
    assert (rig.rows.epochs[0].entry, rig.rows.epochs[0].head) == (0, placed.head)
    rig.audit()
