import pytest
import structlog

from tallystick.keys import Wallet
from tallystick_platform.embedded_chain import chain as chain_module
from tallystick_platform.embedded_chain import producer
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tallystick_platform.embedded_chain.errors import ChainStorageFailed, TransactionRefused
from tallystick_platform.embedded_chain.rules import EmbeddedVM
from tallystick_platform.embedded_chain.storage import ChainStorage
from tallystick_platform.ledger_chain.gas import calldata_floor
from tallystick_platform.ledger_chain.signers import Fees
from tests.support.accounts import INVALID, REVERT_WITH_CALLDATA, Account

SINK = b"\x05" * 19 + b"\xff"


def balance(chain, address=SINK):
    with chain.state() as state:
        return state.get_balance(address)


def block_times(transport):
    head = transport.chain.head().number
    blocks = [transport.call("eth_getBlockByNumber", [hex(number), False]) for number in range(head + 1)]
    return [int(block["timestamp"], 16) for block in blocks]


def test_a_transaction_is_in_a_block_and_its_value_arrives(account):
    signed = account.send(SINK, value=7)
    assert account.receipt(signed)["status"] == "0x1"
    assert balance(account.transport.chain) == 7


def test_nothing_is_made_of_nothing(account):
    assert account.transport.chain.block_due_in_s() is None
    assert account.transport.chain.make_block() is None


def test_two_blocks_may_follow_at_once_and_the_third_waits(patient_account):
    transport, chain = patient_account.transport, patient_account.transport.chain
    transport.clock.now_s = chain.head().timestamp + 10.0
    made = []
    for _ in range(3):
        patient_account.send(SINK)
        made.append(chain.make_block() is not None)
    assert made == [True, True, False]
    assert chain.block_due_in_s() == pytest.approx(1.0)
    transport.clock.now_s += 1.0
    assert chain.make_block() is not None


def test_no_block_is_more_than_a_second_ahead_of_the_clock_and_times_increase(patient_account):
    transport = patient_account.transport
    for step in range(12):
        patient_account.send(SINK)
        transport.clock.now_s += 0.3 * (step % 4)
        transport.chain.make_block()
        assert transport.chain.head().timestamp <= transport.clock.now_s + 1
    times = block_times(transport)
    assert times == sorted(set(times))


def test_a_clock_that_was_set_back_stops_blocks_until_it_has_caught_up(patient_account):
    transport = patient_account.transport
    transport.clock.now_s -= 100
    patient_account.send(SINK)
    assert transport.chain.make_block() is None
    assert transport.chain.block_due_in_s() == pytest.approx(100.0)


def test_opening_a_chain_ahead_of_the_clock_is_logged(tmp_path):
    EmbeddedChain(tmp_path, chain_id=1, now_s=lambda: 1000.0, durable=False).close()
    with structlog.testing.capture_logs() as logs:
        EmbeddedChain(tmp_path, chain_id=1, now_s=lambda: 900.0, durable=False).close()
    assert [(entry["event"], entry["lead_s"]) for entry in logs] == [("chain.clock_behind", 100)]


def test_what_does_not_fit_under_the_gas_limit_waits_for_the_next_block(account):
    burner = account.deploy(INVALID)
    account.transport.auto_mine = False
    sent = [account.send(burner, gas=16_000_000) for _ in range(3)]
    assert account.transport.mine() == 2
    blocks = [account.receipt(signed)["blockNumber"] for signed in sent]
    assert blocks[0] == blocks[1] != blocks[2]


def test_gas_that_is_not_used_is_free_for_others(patient_account):
    for _ in range(5):
        patient_account.send(SINK, gas=16_000_000)
    assert patient_account.transport.mine() == 1


def test_the_nonces_of_one_sender_go_in_order_whatever_order_they_came_in(patient_account):
    later = patient_account.sign(SINK, nonce=1, fees=Fees(max_fee_per_gas=10**11, max_priority_fee_per_gas=10**10))
    patient_account.transport.call("eth_sendRawTransaction", ["0x" + later.raw.hex()])
    assert patient_account.transport.mine() == 0
    first = patient_account.send(SINK)
    assert patient_account.transport.mine() == 1
    assert patient_account.receipt(first)["transactionIndex"] == "0x0"
    assert patient_account.receipt(later)["transactionIndex"] == "0x1"


def test_calldata_costs_at_least_its_floor(account):
    data = b"\x01" * 1000
    receipt = account.receipt(account.send(SINK, data))
    assert int(receipt["gasUsed"], 16) == calldata_floor(data) == 61_000


def test_a_reverted_transaction_is_in_the_block_with_its_status(account):
    reverting = account.deploy(REVERT_WITH_CALLDATA)
    receipt = account.receipt(account.send(reverting, b"\x01"))
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])


def test_full_blocks_raise_the_base_fee_and_empty_ones_lower_it_until_what_offers_less_is_taken(account):
    chain = account.transport.chain
    burner = account.deploy(INVALID)
    account.transport.auto_mine = False
    fee = chain.next_base_fee()
    for _ in range(3):
        account.send(burner, gas=16_000_000)
    cheap = account.send(SINK, fees=Fees(max_fee_per_gas=fee, max_priority_fee_per_gas=0))
    before = chain.head().number
    account.transport.mine()
    counts, fees = [], []
    for number in range(before + 1, chain.head().number + 1):
        block = account.transport.call("eth_getBlockByNumber", [hex(number), False])
        counts.append(len(block["transactions"]))
        fees.append(int(block["baseFeePerGas"], 16))
    assert counts == [2, 1, 0, 1]
    assert fees[1] > fee >= fees[3]
    assert account.receipt(cheap)["status"] == "0x1"


def test_a_transaction_that_lost_its_funds_is_dropped_and_the_block_made_without_it(patient_account):
    poor = Account(transport=patient_account.transport, wallet=Wallet(b"\x77" * 32))
    patient_account.send(poor.address, value=10**16)
    patient_account.transport.mine()
    first = poor.send(
        SINK, gas=21_000, value=9 * 10**15, fees=Fees(max_fee_per_gas=2 * 10**9, max_priority_fee_per_gas=0)
    )
    second = poor.send(
        SINK, gas=21_000, value=9 * 10**15, fees=Fees(max_fee_per_gas=2 * 10**9, max_priority_fee_per_gas=0)
    )
    assert patient_account.transport.mine() == 1
    assert poor.receipt(first)["status"] == "0x1"
    assert poor.receipt(second) is None
    assert len(patient_account.transport.chain.pool) == 0


def test_a_transaction_on_which_the_vm_breaks_is_dropped_and_the_others_pass(patient_account, monkeypatch):
    real = EmbeddedVM.apply_transaction
    broken = patient_account.send(SINK, value=13)
    other = Account(transport=patient_account.transport, wallet=Wallet(b"\x77" * 32))

    def apply(self, header, transaction):
        if transaction.value == 13:
            raise ArithmeticError("the VM broke")
        return real(self, header, transaction)

    monkeypatch.setattr(EmbeddedVM, "apply_transaction", apply)
    patient_account.transport.mine()
    assert patient_account.receipt(broken) is None
    patient_account.nonce -= 1
    fine = patient_account.send(SINK, value=14)
    patient_account.transport.mine()
    assert patient_account.receipt(fine)["status"] == "0x1"
    assert other.nonce == 0


def test_a_block_that_takes_too_long_leaves_the_rest_for_the_next(patient_account, monkeypatch):
    ticks = iter(range(0, 1000, 1))
    monkeypatch.setattr(chain_module.time, "monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(producer, "MAX_BUILD_S", 1.5)
    for _ in range(3):
        patient_account.send(SINK)
    assert patient_account.transport.mine() == 3


def test_a_full_disk_loses_no_block_and_no_transaction(patient_account, monkeypatch):
    transport = patient_account.transport
    signed = patient_account.send(SINK, value=3)
    transport.clock.now_s += 1

    def full(self, nodes, rows):
        raise ChainStorageFailed(path=self.path, reason="database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ChainStorage, "commit", full)
        with pytest.raises(ChainStorageFailed):
            transport.chain.make_block()
    assert (transport.chain.head().number, len(transport.chain.pool)) == (0, 1)
    assert transport.mine() == 1
    assert patient_account.receipt(signed)["status"] == "0x1"


def test_a_mined_transaction_sent_again_is_already_known(account):
    signed = account.send(SINK)
    with pytest.raises(TransactionRefused, match="already known"):
        account.transport.chain.submit(signed.raw)


def test_a_sender_without_funds_is_refused(account):
    stranger = Account(transport=account.transport, wallet=Wallet(b"\x55" * 32))
    with pytest.raises(TransactionRefused, match="insufficient funds"):
        account.transport.chain.submit(stranger.sign(SINK).raw)


def test_the_state_of_a_question_goes_nowhere(account):
    chain = account.transport.chain
    with chain.state() as state:
        state.set_balance(SINK, 99)
    assert balance(chain) == 0


def test_the_chain_goes_on_after_reopening(tmp_path):
    wallet = Wallet(b"\x11" * 32)
    clock = [1000.0]
    for run in range(3):
        chain = EmbeddedChain(tmp_path, chain_id=73571, prefund=[wallet.address], now_s=lambda: clock[0])
        account = Account(transport=None, wallet=wallet, nonce=run)
        chain.submit(account.sign(SINK, value=1).raw)
        clock[0] += 5
        assert chain.make_block().number == run + 1
        assert balance(chain) == run + 1
        chain.close()


def test_what_waits_in_the_pool_goes_with_the_process(tmp_path):
    wallet = Wallet(b"\x11" * 32)
    chain = EmbeddedChain(tmp_path, chain_id=73571, prefund=[wallet.address], now_s=lambda: 1000.0, durable=False)
    raw = Account(transport=None, wallet=wallet).sign(SINK).raw
    chain.submit(raw)
    chain.close()
    chain = EmbeddedChain(tmp_path, chain_id=73571, prefund=[wallet.address], now_s=lambda: 1005.0, durable=False)
    assert chain.make_block() is None
    chain.submit(raw)
    assert chain.make_block() is not None
    chain.close()
