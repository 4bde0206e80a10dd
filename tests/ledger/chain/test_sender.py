import pytest

from tallystick.chain import (
    ContractReverted,
    Fees,
    LedgerSender,
    MalformedAnswer,
    RecordAppended,
    TransactionTooLarge,
    WriterProposed,
    WriterRotated,
    calldata,
    contract_address,
    load_artifact,
)
from tallystick.chain.reverts import explain
from tallystick.chain.sender import (
    DEFAULT_FEE_CAP_WEI,
    TRANSACTION_OVERHEAD_BYTES,
    NotBound,
    append_calldata_size,
    call_gas,
)
from tallystick.chain.transaction import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_GAS, Call, sign_call
from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.keys import Wallet
from tests.support.chains import deployed_ledger, direct_chain
from tests.support.nodes import ScriptedNode

ROOT = b"\x0a" * 32
FEES = Fees(max_fee_per_gas=10, max_priority_fee_per_gas=1)


def sender_on(node, **options):
    return LedgerSender(node, Wallet(b"\x11" * 32), b"\xc0" * 20, b"\x11" * 32, 1, **options)


def built(sender, nonce=0):
    return sender.build_append(nonce, 0, [ROOT], [b"sealed"], fees=FEES)


def test_the_hash_is_known_before_sending_and_the_receipt_has_it(ledger):
    signed = ledger.sender.build_append(ledger.sender.nonce(), 0, [ROOT], [b"sealed"])
    assert ledger.sender.receipt(signed.hash) is None
    ledger.sender.send(signed)
    receipt = ledger.sender.receipt(signed.hash)
    assert (receipt.tx_hash, receipt.succeeded, receipt.contract_address) == (signed.hash, True, None)
    assert isinstance(receipt.events[0], RecordAppended)
    assert receipt.events[0].position.block_hash == receipt.block_hash


def test_sending_again_is_never_wrong(ledger):
    ledger.transport.auto_mine = False
    signed = ledger.sender.build_append(ledger.sender.nonce(), 0, [ROOT], [b"sealed"])
    ledger.sender.send(signed)
    ledger.sender.send(signed)
    ledger.mine()
    ledger.sender.send(signed)
    assert ledger.reader.log_state().size == 1


def test_batches_that_wait_are_built_without_asking_whether_they_would_pass(ledger):
    ledger.transport.auto_mine = False
    nonce = ledger.sender.nonce()
    for step in range(3):
        ledger.sender.send(ledger.sender.build_append(nonce + step, step, [ROOT], [b"sealed"]))
    ledger.mine()
    assert ledger.reader.log_state().size == 3


def test_a_deployment_gives_the_contract_at_the_address_known_before():
    wallet = Wallet(b"\x22" * 32)
    with direct_chain(prefund=[wallet.address]) as transport:
        sender = LedgerSender(transport, wallet, None, None, transport.chain.chain_id)
        signed = sender.build_deploy(0)
        sender.send(signed)
        assert sender.receipt(signed.hash).contract_address == contract_address(wallet.address, 0)


def test_a_stale_batch_fails_on_chain_and_its_receipt_says_so(ledger):
    receipt = ledger.send(ledger.sender.build_append(ledger.sender.nonce(), 5, [ROOT], [b"sealed"]))
    assert (receipt.succeeded, receipt.events) == (False, ())


@pytest.mark.parametrize(("records", "size"), [(1, 1), (1, 100_000), (16, 1024), (64, 1024), (90, 1024), (600, 1)])
def test_the_gas_limit_suffices_without_asking_the_node(ledger, records, size):
    receipt = ledger.append([(ROOT, b"\xff" * size)] * records)
    assert receipt.succeeded


def test_the_gas_limit_suffices_for_many_records_of_one_zero_byte(ledger):
    assert ledger.append([(bytes(32), b"\x00")] * 1000).succeeded


def test_the_gas_limit_suffices_for_many_wraps():
    with deployed_ledger(wraps=[b"w" * 1176] * 64) as ledger:
        assert ledger.reader.log_state().epoch == 1


def test_a_transaction_at_the_size_limit_is_built_and_one_beyond_refused():
    sender = sender_on(ScriptedNode())
    room = MAX_TRANSACTION_BYTES - TRANSACTION_OVERHEAD_BYTES - append_calldata_size([0])
    signed = sender.build_append(0, 0, [ROOT], [bytes(room - room % 32)], fees=FEES)
    assert len(signed.raw) <= MAX_TRANSACTION_BYTES
    with pytest.raises(TransactionTooLarge, match="bytes"):
        sender.build_append(0, 0, [ROOT], [bytes(room + 256)], fees=FEES)


def test_a_transaction_beyond_the_gas_limit_is_refused():
    assert call_gas(b"\xff" * 110_000, 1800) > MAX_TRANSACTION_GAS
    with pytest.raises(TransactionTooLarge, match="gas"):
        sender_on(ScriptedNode()).build_append(0, 0, [b"\xff" * 32] * 1900, [b""] * 1900, fees=FEES)


def test_the_overhead_covers_every_field_at_its_longest():
    sender = LedgerSender(ScriptedNode(), Wallet(b"\x11" * 32), b"\xc0" * 20, b"\x11" * 32, 2**64 - 1)
    fees = Fees(max_fee_per_gas=2**80, max_priority_fee_per_gas=2**80)
    signed = sender.build_append(2**64 - 2, 0, [ROOT], [b"\xff" * 1000], fees=fees)
    assert len(signed.raw) <= append_calldata_size([1000]) + TRANSACTION_OVERHEAD_BYTES


def test_the_offer_is_twice_the_base_fee_and_the_tip():
    node = ScriptedNode(
        {"eth_getBlockByNumber": lambda _: {"baseFeePerGas": "0x64"}, "eth_maxPriorityFeePerGas": lambda _: "0x5"}
    )
    assert sender_on(node).fees() == Fees(max_fee_per_gas=205, max_priority_fee_per_gas=5)


def test_a_node_that_lies_about_fees_cannot_make_the_writer_pay_beyond_the_cap():
    node = ScriptedNode(
        {
            "eth_getBlockByNumber": lambda _: {"baseFeePerGas": hex(2**200)},
            "eth_maxPriorityFeePerGas": lambda _: hex(2**200),
        }
    )
    assert sender_on(node).fees() == Fees(
        max_fee_per_gas=DEFAULT_FEE_CAP_WEI, max_priority_fee_per_gas=DEFAULT_FEE_CAP_WEI
    )


@pytest.mark.parametrize("message", ["already known", "ALREADY_EXISTS: already known", "known transaction: 0xabc"])
def test_a_node_that_has_the_transaction_is_no_error(message):
    def known(_):
        raise ChainRejected(-32000, message)

    sender = sender_on(ScriptedNode({"eth_sendRawTransaction": known}))
    sender.send(built(sender))


def test_a_used_nonce_is_no_error_where_this_transaction_used_it_and_one_where_another_did(ledger):
    ours = ledger.sender.build_append(ledger.sender.nonce(), 0, [ROOT], [b"sealed"])
    other = ledger.sender.build_append(ours.nonce, 0, [ROOT], [b"other"])
    ledger.sender.send(ours)

    def only_says_nonce(method, _):
        if method == "eth_sendRawTransaction":
            raise ChainRejected(-32000, "nonce too low")

    ledger.transport.before = only_says_nonce
    ledger.sender.send(ours)
    with pytest.raises(ChainRejected, match="nonce too low"):
        ledger.sender.send(other)


def test_a_refusal_with_revert_data_is_explained():
    def revert(_):
        raise ChainRejected(3, "execution reverted", bytes.fromhex("0d4a3d95"))

    sender = sender_on(ScriptedNode({"eth_sendRawTransaction": revert}))
    with pytest.raises(ChainRejected):
        sender.send(built(sender))


def test_an_unreachable_node_leaves_the_outcome_unknown():
    def unreachable(_):
        raise ChainUnavailable("node", "refused")

    sender = sender_on(ScriptedNode({"eth_sendRawTransaction": unreachable}))
    with pytest.raises(ChainUnavailable):
        sender.send(built(sender))


@pytest.mark.parametrize("answer", [None, "0x", "0x" + "00" * 32])
def test_another_hash_than_the_transactions_own_is_malformed(answer):
    sender = sender_on(ScriptedNode({"eth_sendRawTransaction": lambda _: answer}))
    with pytest.raises(MalformedAnswer):
        sender.send(built(sender))


@pytest.mark.parametrize(
    "change",
    [
        {"transactionHash": "0x" + "00" * 32},
        {"status": "0x2"},
        {"status": None},
        {"blockNumber": None},
        {"gasUsed": "0x-1"},
        {"contractAddress": "0x00"},
        {"logs": None},
    ],
)
def test_a_receipt_with_one_fault_is_malformed(ledger, change):
    signed = ledger.sender.build_append(ledger.sender.nonce(), 0, [ROOT], [b"sealed"])
    ledger.sender.send(signed)
    real = ledger.transport.call("eth_getTransactionReceipt", ["0x" + signed.hash.hex()])
    node = ScriptedNode({"eth_getTransactionReceipt": lambda _: real | change})
    with pytest.raises(MalformedAnswer):
        LedgerSender(node, ledger.wallet, ledger.contract, ledger.log_id, 1).receipt(signed.hash)


def test_a_sender_without_contract_or_log_says_so():
    sender = LedgerSender(ScriptedNode(), Wallet(b"\x11" * 32), None, None, 1)
    with pytest.raises(NotBound, match="log"):
        sender.build_append(0, 0, [ROOT], [b"s"])
    with pytest.raises(NotBound, match="contract"):
        sender.build_create_log(0, sender.wallet.address, ROOT)


def test_the_balance_is_read(ledger):
    assert 0 < ledger.sender.balance() < 10**27


def test_the_writer_events_of_a_rotation_are_read(ledger):
    heir = Wallet(b"\x33" * 32)

    def call(wallet, nonce, data, value=0, to=ledger.contract):
        fees = ledger.sender.fees()
        ledger.sender.send(
            sign_call(
                wallet,
                Call(chain_id=ledger.chain_id, nonce=nonce, to=to, data=data, gas=200_000, fees=fees, value=value),
            )
        )

    call(ledger.wallet, 3, b"", 10**18, heir.address)
    call(ledger.wallet, 4, calldata.propose_writer(ledger.log_id, heir.address))
    assert ledger.reader.log_state().pending_writer == heir.address
    call(heir, 0, calldata.accept_writer(ledger.log_id))
    events = list(ledger.reader.events(0, ledger.reader.latest_block().number))
    assert [type(event) for event in events[-2:]] == [WriterProposed, WriterRotated]
    assert ledger.reader.log_state().writer == heir.address


def test_a_call_that_the_contract_refuses_names_its_error(ledger):
    request = {
        "to": "0x" + ledger.contract.hex(),
        "data": "0x" + calldata.append(ledger.log_id, 9, [ROOT], [b"s"]).hex(),
    }
    request["from"] = "0x" + ledger.wallet.address.hex()
    with pytest.raises(ChainRejected) as caught:
        ledger.transport.call("eth_call", [request, "latest"])
    error = explain(caught.value)
    assert isinstance(error, ContractReverted)
    assert (error.name, error.arguments["expected"], error.arguments["given"]) == ("StaleIndex", 0, 9)


def test_the_artifact_fits_a_transaction():
    assert len(load_artifact().bytecode) + TRANSACTION_OVERHEAD_BYTES < MAX_TRANSACTION_BYTES
