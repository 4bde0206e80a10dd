"""The chain takes back what it said."""

from __future__ import annotations

import pytest

from tallystick_platform.store.rows import AnchorState
from tests.support.anchoring import WALLET, Rig, policy
from tests.support.model_chain import ModelChain


@pytest.fixture
def rig() -> Rig:
    """Three batches, mined and not final."""
    rig = Rig(ModelChain(WALLET.address), policy(confirmations=50))
    rig.journal(12)
    for _ in range(60):
        rig.turn()
        if not rig.service.status().unanchored_records:
            break
    assert {batch.state for batch in rig.rows.batches} == {AnchorState.MINED}
    rig.chain.auto_mine = False
    return rig


def test_a_reorg_that_keeps_the_transactions_ends_with_the_same_log(rig):
    rig.chain.reorganise(2)
    assert rig.chain_size < 12
    rig.turn()
    assert rig.service.status().reorgs == 1
    rig.settle()
    rig.audit()
    assert rig.chain_size == 12


def test_a_reorg_that_loses_the_transactions_has_the_same_bytes_sent_again(rig):
    signed = [batch.signed for batch in rig.rows.batches]
    rig.chain.reorganise(3, keep_transactions=False)
    rig.settle()
    rig.audit()
    assert [batch.signed for batch in rig.rows.batches] == signed


def test_a_reorg_that_takes_the_epoch_too_opens_it_again_first(rig):
    rig.chain.reorganise(4, keep_transactions=False)
    rig.settle()
    rig.audit()
    assert rig.rows.epochs[0].state is AnchorState.FINAL


def test_a_chain_that_grew_shorter_is_followed(rig):
    rig.chain.reorganise(3, keep_transactions=False, regrow=0)
    rig.settle()
    rig.audit()


def test_a_batch_that_moved_to_another_block_is_noted_where_it_is_now(rig):
    before = [batch.mined for batch in rig.rows.batches]
    rig.chain.reorganise(3, regrow=0)
    rig.chain.mine(5)
    rig.turn()
    after = [batch.mined for batch in rig.rows.batches]
    assert [mined.tx_hash for mined in after] == [mined.tx_hash for mined in before]
    assert [mined.block_hash for mined in after] != [mined.block_hash for mined in before]
    assert rig.service.status().reorgs > 0
    rig.settle()
    rig.audit()


def test_records_that_a_reorg_took_back_count_as_waiting_again(rig):
    rig.chain.reorganise(1, keep_transactions=False)
    rig.turn()
    last = rig.rows.batches[-1]
    assert rig.service.status().unanchored_records == last.count


def test_a_reorg_deeper_than_the_confirmations_is_mended_all_the_same():
    rig = Rig(ModelChain(WALLET.address))
    rig.journal(12)
    rig.settle()
    assert {batch.state for batch in rig.rows.batches} == {AnchorState.FINAL}
    rig.chain.auto_mine = False
    rig.chain.reorganise(len(rig.chain.blocks) - rig.first_blocks, keep_transactions=False)
    assert rig.chain_size == 0
    rig.journal()
    rig.settle()
    rig.audit()
    assert rig.chain_size == 13


def test_a_finished_log_that_the_chain_lost_is_noticed_without_new_records():
    rig = Rig(ModelChain(WALLET.address))
    rig.journal(4)
    rig.settle()
    rig.chain.reorganise(len(rig.chain.blocks) - rig.first_blocks, keep_transactions=False)
    for _ in range(3):
        rig.turn()  # the pause of an idle anchorer is over
    rig.settle()
    rig.audit()
    assert rig.chain_size == 4
