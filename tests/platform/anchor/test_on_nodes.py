"""The same anchorer in front of real nodes: the embedded chain with the compiled contract, and anvil for reorgs and fee spikes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick.chain.rpc import HttpTransport
from tallystick_platform.store.rows import AnchorState
from tests.support.anchoring import WALLET, Rig, policy
from tests.support.chains import anvil, direct_chain
from tests.support.model_chain import CHAIN_ID

GWEI = 10**9


class MinedOnDemand:
    """A node whose blocks a test asks for, in the words of a Rig."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def call(self, method: str, params: list[object]) -> object:
        return self.transport.call(method, params)

    @property
    def blocks(self) -> range:
        return range(int(str(self.call("eth_blockNumber", [])), 16) + 1)


class Embedded(MinedOnDemand):
    def mine(self) -> None:
        self.transport.mine()


class Anvil(MinedOnDemand):
    def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.call("evm_mine", [])


@contextmanager
def anvil_rig(**changes: int) -> Iterator[Rig]:
    options = ("--no-mining", "--chain-id", str(CHAIN_ID), "--order", "fifo")
    with anvil(*options) as url:
        transport = HttpTransport(url)
        node = Anvil(transport)
        node.call("anvil_setBalance", ["0x" + WALLET.address.hex(), hex(10**21)])
        yield Rig(node, policy(**changes))
        transport.close()


def test_records_land_on_the_embedded_chain_through_the_compiled_contract():
    with direct_chain(prefund=[WALLET.address], auto_mine=False) as transport:
        rig = Rig(Embedded(transport), policy(max_in_flight=3))
        rig.journal(30)
        rig.open_epoch()
        rig.journal(10)
        rig.settle()
        rig.audit()
        assert rig.chain_size == 40
        assert rig.service.status().reverts == 0


def test_gas_noted_for_a_batch_is_what_its_receipt_says():
    with direct_chain(prefund=[WALLET.address]) as transport:
        rig = Rig(Embedded(transport))
        rig.journal(4)
        rig.settle()
        mined = rig.rows.batches[0].mined
        receipt = transport.call("eth_getTransactionReceipt", ["0x" + mined.tx_hash.hex()])
        assert mined.gas_used == int(receipt["gasUsed"], 16)


@pytest.mark.node
def test_records_land_on_anvil():
    with anvil_rig(max_in_flight=3) as rig:
        rig.journal(30)
        rig.settle()
        rig.audit()
        assert rig.service.status().reverts == 0


@pytest.mark.node
def test_a_base_fee_spike_on_anvil_is_followed_by_a_dearer_transaction_under_the_same_nonce():
    with anvil_rig(confirmations=1) as rig:
        rig.open_epoch()
        rig.settle()
        rig.journal()
        rig.advance_ms(1_000)
        rig.turn()
        first = rig.rows.batches[0].signed
        rig.chain.call("anvil_setNextBlockBaseFeePerGas", [hex(100 * GWEI)])
        rig.chain.mine()
        for _ in range(30):
            rig.turn()
        assert rig.rows.batches[0].signed.nonce == first.nonce
        assert rig.service.status().fee_bumps >= 1
        rig.settle()
        rig.audit()


@pytest.mark.node
def test_a_transaction_that_anvil_dropped_is_sent_again():
    with anvil_rig() as rig:
        rig.open_epoch()
        rig.settle()
        rig.journal()
        rig.advance_ms(1_000)
        rig.turn()
        sent = rig.rows.batches[0].signed
        rig.chain.call("anvil_dropTransaction", ["0x" + sent.tx_hash.hex()])
        rig.settle()
        rig.audit()
        assert rig.rows.batches[0].mined.tx_hash == sent.tx_hash


@pytest.mark.node
def test_a_reorg_on_anvil_that_takes_everything_back_ends_with_the_same_log():
    with anvil_rig(confirmations=50) as rig:
        before = rig.chain.call("evm_snapshot", [])
        rig.journal(12)
        for _ in range(40):
            rig.turn()
            rig.chain.mine()
        assert {batch.state for batch in rig.rows.batches} == {AnchorState.MINED}
        heads = [batch.head for batch in rig.rows.batches]
        rig.chain.call("evm_revert", [before])
        rig.chain.mine(3)
        assert rig.chain_size == 0
        rig.settle()
        rig.audit()
        assert [batch.head for batch in rig.rows.batches] == heads
        assert rig.service.status().reorgs >= 1


@pytest.mark.node
def test_a_reorg_of_a_few_blocks_on_anvil_is_followed():
    with anvil_rig(confirmations=50) as rig:
        rig.journal(12)
        for _ in range(40):
            rig.turn()
            rig.chain.mine()
        depth = len(rig.chain.blocks) - rig.rows.batches[-1].mined.block_number
        rig.chain.call("anvil_reorg", [depth, []])
        rig.settle()
        rig.audit()
        assert rig.chain_size == 12
