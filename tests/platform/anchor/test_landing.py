"""Finding a row on a chain that answers oddly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick_platform.anchor.errors import LandingNotFound
from tallystick_platform.anchor.landing import find_landing
from tallystick_platform.store.rows import AnchorState
from tests.support.anchoring import WALLET, Rig, policy
from tests.support.model_chain import ModelChain


@pytest.fixture
def rig() -> Rig:
    rig = Rig(ModelChain(WALLET.address), policy(confirmations=50))
    rig.journal(6)
    for _ in range(20):
        rig.turn()
    assert rig.chain_size == 6
    return rig


def hide(rig: Rig, method: str, answer: object) -> None:
    """The node answers this method so, for every parameter."""
    original = rig.chain.call
    rig.chain.call = lambda asked, params: answer if asked == method else original(asked, params)


def test_a_row_whose_transaction_the_node_does_not_show_is_waited_for(rig):
    hide(rig, "eth_getTransactionReceipt", None)
    with pytest.raises(LandingNotFound) as caught:
        find_landing(rig.reader, rig.sender, rig.rows.batches[0], lambda: 0)
    assert "batch 0 (records 0 to" in str(caught.value)


def test_a_receipt_of_a_block_that_is_not_the_block_at_its_height_is_not_believed(rig):
    batch = rig.rows.batches[-1]
    moved = rig.chain.call("eth_getTransactionReceipt", ["0x" + batch.mined.tx_hash.hex()]) | {
        "blockHash": "0x" + "ee" * 32
    }
    hide(rig, "eth_getTransactionReceipt", moved | {"logs": []})
    with pytest.raises(LandingNotFound):
        find_landing(rig.reader, rig.sender, batch, lambda: 0)


def test_an_epoch_and_a_batch_are_found_by_their_events_alone(rig):
    for row in (rig.rows.epochs[0], *rig.rows.batches):
        unsigned = replace(row, signed=None, mined=None)
        assert find_landing(rig.reader, rig.sender, unsigned, lambda: 0) == row.mined


def test_a_landing_that_cannot_be_found_is_shown_and_found_later():
    rig = Rig()
    rig.journal(3)
    original = rig.chain.call
    hide(rig, "eth_getTransactionReceipt", None)
    for _ in range(4):
        rig.turn()
    assert rig.service.status().error_type == "LandingNotFound"
    rig.chain.call = original
    rig.settle()
    rig.audit()


def test_a_node_that_shows_an_older_log_than_nonce_makes_nothing_be_signed_again():
    """One of a pool of nodes lags: the nonce says that something landed, the log does not show it yet, the receipt does."""
    rig = Rig()
    rig.open_epoch()
    rig.settle()
    rig.journal()
    rig.advance_ms(1_000)
    before = len(rig.chain.blocks) - 1
    rig.turn()
    original = rig.chain.call
    rig.chain.call = lambda method, params: original(
        method, [params[0], hex(before)] if method == "eth_call" else params
    )
    signed = rig.rows.batches[0].signed
    rig.turn()
    assert rig.rows.batches[0].signed == signed
    assert rig.rows.batches[0].state is AnchorState.SENT
    rig.chain.call = original
    rig.settle()
    rig.audit()
    assert rig.service.status().reverts == 0


def test_a_block_that_is_gone_is_a_block_that_was_replaced(rig):
    original = rig.chain.call
    height = hex(rig.rows.batches[-1].mined.block_number)
    gone = [True]

    def call(method: str, params: list[object]) -> object:
        if method == "eth_getBlockByNumber" and params[0] == height and gone:
            gone.clear()
            return None
        return original(method, params)

    rig.chain.call = call
    rig.turn()
    assert rig.service.status().reorgs == 1
    rig.settle()
    rig.audit()
