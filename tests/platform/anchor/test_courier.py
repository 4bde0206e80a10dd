"""Fees, nonces and refusals, over a model chain whose blocks come when the test mines."""

from __future__ import annotations

import pytest

from tallystick_platform.anchor.policy import MAX_FEE_BUMPS, MAX_REVERTS, SLOW_RETRY_MS
from tallystick_platform.ledger_chain.errors import SignerUnavailable
from tallystick_platform.ledger_chain.signers import KeySigner, SignedTransaction, Unsigned
from tests.support.anchoring import WALLET, Rig, client_of, policy
from tests.support.fault_plan import Fault
from tests.support.model_chain import ModelChain, parse_transaction

GWEI = 10**9


@pytest.fixture
def rig() -> Rig:
    """An open epoch, and one record whose batch is due."""
    rig = Rig(ModelChain(WALLET.address, auto_mine=False), policy(max_fee_per_gas_wei=10 * GWEI))
    rig.open_epoch()
    rig.settle()
    rig.journal()
    rig.advance_ms(1_000)
    return rig


def waiting(rig: Rig):
    (transaction,) = rig.chain.pool.values()
    return transaction


def turns(rig: Rig, ms: int) -> None:
    end = rig.clock.now_us() + ms * 1_000
    while rig.clock.now_us() < end:
        rig.turn()


def test_a_fee_too_low_for_the_blocks_is_raised_under_the_same_nonce(rig):
    rig.turn()
    first = waiting(rig)
    rig.chain.base_fee = 5 * GWEI
    turns(rig, 6_000)
    second = waiting(rig)
    assert second.nonce == first.nonce
    assert second.max_fee > first.max_fee
    rig.settle()
    rig.audit()
    assert rig.service.status().fee_bumps >= 1


def test_whichever_copy_of_a_transaction_lands_is_the_one_that_is_noted(rig):
    rig.turn()
    first = waiting(rig)
    rig.chain.base_fee = 5 * GWEI
    turns(rig, 6_000)
    rig.chain.base_fee = GWEI
    rig.chain.pool = {(first.sender, first.nonce): first}  # another node's pool held the cheaper copy
    rig.settle()
    rig.audit()
    assert rig.rows.batches[0].mined.tx_hash == first.hash != rig.rows.batches[0].signed.tx_hash


def test_no_fee_passes_the_cap_and_the_wait_says_so(rig):
    rig.turn()
    rig.chain.base_fee = 50 * GWEI
    turns(rig, 120_000)
    assert waiting(rig).max_fee <= 10 * GWEI
    status = rig.service.status()
    assert status.error_type == "FeeCapReached"
    assert status.healthy


def test_a_batch_lands_once_the_fees_have_fallen_even_if_the_pool_forgot_it(rig):
    rig.turn()
    rig.chain.base_fee = 50 * GWEI
    turns(rig, 120_000)
    rig.chain.drop_pool()
    rig.chain.base_fee = GWEI
    rig.settle()
    rig.audit()
    assert rig.service.status().error is None


def test_a_transaction_is_replaced_a_bounded_number_of_times():
    rig = Rig(ModelChain(WALLET.address, auto_mine=False), policy(max_fee_per_gas_wei=10**6 * GWEI))
    rig.journal()
    turns(rig, 300_000)
    status = rig.service.status()
    assert status.error_type == "TransactionStuck"
    assert status.fee_bumps == MAX_FEE_BUMPS
    assert status.signatures == MAX_FEE_BUMPS + 1
    rig.settle()
    rig.audit()


def test_a_replacement_that_the_node_finds_too_cheap_is_made_dearer_at_once(rig):
    rig.turn()
    first = waiting(rig)
    rig.crash()  # the fees that were paid are forgotten with the process
    turns(rig, 7_000)
    assert waiting(rig).max_fee > first.max_fee
    rig.settle()
    rig.audit()


def test_an_account_without_funds_is_named_and_anchoring_goes_on_once_it_is_funded(rig):
    balances = rig.chain.state.balances
    balances[WALLET.address] = 5
    pause = rig.turn()
    status = rig.service.status()
    assert status.error_type == "InsufficientFunds"
    assert "holds 5 wei" in status.error
    assert pause.ms == SLOW_RETRY_MS
    balances[WALLET.address] = 10**20
    rig.settle()
    rig.audit()


def test_a_nonce_that_another_transaction_used_is_replaced_by_the_next(rig):
    rig.turn()
    taken = waiting(rig)
    rig.chain.drop_pool()
    other = client_of(rig.chain).build_deploy(taken.nonce)
    rig.chain.call("eth_sendRawTransaction", ["0x" + other.raw.hex()])
    rig.chain.mine()
    rig.settle()
    rig.audit()
    assert rig.rows.batches[0].signed.nonce == taken.nonce + 1


def test_a_transaction_that_failed_on_the_chain_is_signed_again(rig):
    rig.chain.out_of_gas = 1
    rig.settle()
    rig.audit()
    assert rig.service.status().reverts == 1


def test_work_that_keeps_failing_on_the_chain_halts_after_a_bound(rig):
    rig.chain.out_of_gas = 100
    for _ in range(40):
        rig.turn()
        rig.chain.mine()
    status = rig.service.status()
    assert (status.halted, status.error_type) == (True, "KeepsReverting")
    assert status.reverts == MAX_REVERTS
    assert status.sends == 1 + MAX_REVERTS  # the epoch's, then these


def test_one_failure_on_the_chain_counts_once_however_often_it_is_looked_at(rig):
    rig.chain.out_of_gas = 1
    rig.turn()
    rig.chain.mine()
    rig.node.arm("eth_maxPriorityFeePerGas", Fault.FAILED, times=5)
    for _ in range(6):
        rig.turn()
    assert rig.service.status().reverts == 1
    rig.settle()
    rig.audit()


def test_a_refusal_for_no_known_reason_is_shown_and_tried_again_slowly(rig):
    taken = rig.sender.nonce()
    original = rig.chain.call

    def refuse(method: str, params: list[object]) -> object:
        if method == "eth_sendRawTransaction":
            from tallystick.errors import ChainRejected

            raise ChainRejected(-32000, "txpool is full")
        return original(method, params)

    rig.chain.call = refuse
    pause = rig.turn()
    assert rig.service.status().error_type == "TransactionRefused"
    assert "txpool is full" in rig.service.status().error
    assert pause.ms == SLOW_RETRY_MS
    rig.chain.call = original
    rig.settle()
    rig.audit()
    assert rig.rows.batches[0].signed.nonce == taken


def test_followers_of_a_failed_transaction_are_mended_one_by_one():
    rig = Rig(ModelChain(WALLET.address, auto_mine=False), policy(max_in_flight=4))
    rig.open_epoch()
    rig.settle()
    rig.journal(24)
    rig.advance_ms(1_000)
    rig.turn()
    assert len(rig.chain.pool) == 4
    rig.chain.out_of_gas = 1
    rig.settle()
    rig.audit()
    assert rig.chain_size == 24


def test_the_saved_bytes_are_those_that_are_sent(rig):
    rig.turn()
    sent, saved = waiting(rig), rig.rows.batches[0].signed
    assert (sent.raw, sent.hash, sent.nonce) == (saved.raw, saved.tx_hash, saved.nonce)
    assert parse_transaction(saved.raw).sender == WALLET.address


class FlakySigner:
    """A remote signer that is away for a while."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.address = WALLET.address

    def sign(self, transaction: Unsigned) -> SignedTransaction:
        if self.failures:
            self.failures -= 1
            raise SignerUnavailable(signer="signer.example", reason="no answer")
        return KeySigner(WALLET).sign(transaction)


def test_a_signer_that_is_away_is_waited_for_and_nothing_is_lost(rig):
    rig.anchorer.courier._sender._signer = FlakySigner(3)
    pauses = [rig.turn().ms for _ in range(3)]
    assert pauses == sorted(pauses)
    status = rig.service.status()
    assert (status.error_type, status.healthy) == ("SignerUnavailable", True)
    assert "signer.example" in status.error
    assert rig.rows.batches[0].state.value == "planned"
    rig.settle()
    rig.audit()
    assert rig.service.status().error is None
