"""The writer's client through web3.py: before the real contract on the embedded chain, and before nodes that answer oddly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tallystick.chain.packing import pack_records
from tallystick.chain.reverts import ContractReverted
from tallystick.chain.transaction import contract_address
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainRejected, ChainUnavailable
from tallystick.hashing import keccak256
from tallystick.heads import LogTerms, derive_log_id
from tallystick.ids import Epoch, FieldsRoot, Hash32, Head
from tallystick.keys import WRAP_BYTES, Wallet
from tallystick_platform.ledger_chain.client import DEFAULT_FEE_CAP_WEI, LedgerClient
from tallystick_platform.ledger_chain.errors import TransactionTooLarge
from tallystick_platform.ledger_chain.gas import MAX_CALLDATA_BYTES, MAX_TRANSACTION_BYTES, OVERHEAD_BYTES
from tallystick_platform.ledger_chain.signers import Fees, KeySigner, SignedTransaction, Unsigned
from tests.support import calldata
from tests.support.anchoring import LOG, TERMS, sealed_bytes
from tests.support.chains import DeployedLedger, deployed_ledger, direct_chain
from tests.support.nodes import ScriptedNode

FEES = Fees(max_fee_per_gas=10, max_priority_fee_per_gas=1)
WALLET = Wallet(b"\x22" * 32)
PACKED = pack_records([(FieldsRoot(b"\x0a" * 32), sealed_bytes(1, 60))])
HEAD = Head(b"h" * 32)


@pytest.fixture
def ledger() -> Iterator[DeployedLedger]:
    with deployed_ledger() as deployed:
        yield deployed


def client_on(node: object) -> LedgerClient:
    return LedgerClient(node, KeySigner(WALLET), 1)  # type: ignore[arg-type]


def built(client: LedgerClient, nonce: int = 0) -> SignedTransaction:
    return client.build_append(nonce, LOG, HEAD, PACKED, 1, fees=FEES)


def next_append(ledger: DeployedLedger, number: int = 1) -> SignedTransaction:
    packed = pack_records([(FieldsRoot(b"\x0a" * 32), sealed_bytes(number, 60))])
    return ledger.client.build_append(ledger.client.nonce(), ledger.log, ledger.head, packed, 1)


class Recorder:
    """A signer that keeps what it is asked to sign."""

    def __init__(self) -> None:
        self.asked: list[Unsigned] = []
        self.address = WALLET.address

    def sign(self, transaction: Unsigned) -> SignedTransaction:
        self.asked.append(transaction)
        return KeySigner(WALLET).sign(transaction)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda c: c.build_create_log(0, LOG.contract, TERMS, fees=FEES),
            calldata.create_log(TERMS.writer, TERMS.keeper, TERMS.mode, TERMS.promise, TERMS.skew, TERMS.salt),
        ),
        (
            lambda c: c.build_open_epoch(0, LOG, HEAD, Epoch(3), b"w" * WRAP_BYTES, fees=FEES),
            calldata.open_epoch(LOG.log_id, HEAD, Epoch(3), b"w" * WRAP_BYTES),
        ),
        (lambda c: c.build_append(0, LOG, HEAD, PACKED, 1, fees=FEES), calldata.append(LOG.log_id, HEAD, PACKED)),
        (lambda c: c.build_void(0, LOG, HEAD, 5, 9, fees=FEES), calldata.void_numbers(LOG.log_id, HEAD, 5, 9)),
        (
            lambda c: c.build_rotate(0, LOG, HEAD, WALLET.address, 9, fees=FEES),
            calldata.rotate_writer(LOG.log_id, HEAD, WALLET.address, 9),
        ),
    ],
    ids=["createLog", "openEpoch", "append", "voidNumbers", "rotateWriter"],
)
def test_web3_encodes_each_call_as_the_auditor_reads_it(build: Callable[[LedgerClient], object], expected: bytes):
    signer = Recorder()
    build(LedgerClient(ScriptedNode(), signer, 1))  # type: ignore[arg-type]
    (asked,) = signer.asked
    assert (asked.data, asked.to) == (expected, LOG.contract)


def test_the_hash_is_known_before_sending_and_the_receipt_has_it(ledger):
    signed = next_append(ledger)
    assert ledger.client.receipt(signed.hash) is None
    ledger.client.send(signed)
    receipt = ledger.client.receipt(signed.hash)
    assert (receipt.tx_hash, receipt.succeeded) == (signed.hash, True)
    assert receipt.block_hash == ledger.reader.latest_block().hash


def test_sending_again_is_never_wrong(ledger):
    ledger.transport.auto_mine = False
    signed = next_append(ledger)
    ledger.client.send(signed)
    ledger.client.send(signed)
    ledger.mine()
    ledger.client.send(signed)
    assert ledger.reader.log_state().size == 1


def test_a_deployment_gives_the_contract_at_the_address_known_before():
    with direct_chain(prefund=[WALLET.address]) as transport:
        client = LedgerClient(transport, KeySigner(WALLET), transport.chain.chain_id)
        signed = client.build_deploy(0)
        client.send(signed)
        shown = transport.call("eth_getTransactionReceipt", ["0x" + signed.hash.hex()])
        assert bytes.fromhex(shown["contractAddress"][2:]) == contract_address(WALLET.address, 0)


def test_the_log_that_is_created_has_the_identifier_known_before(ledger):
    terms = LogTerms(
        creator=ledger.wallet.address, salt=b"s" * 32, writer=WALLET.address, keeper=LOG.contract, format=2, mode=2,
        promise=60, skew=0,
    )  # fmt: skip
    ledger.send(ledger.client.build_create_log(ledger.client.nonce(), ledger.contract, terms))
    ledger.reader.log_id = derive_log_id(ledger.chain_id, ledger.contract, terms)
    assert ledger.reader.log_state().writer == WALLET.address
    assert ledger.reader.creation().terms == terms


def test_a_call_that_names_another_head_fails_on_chain_and_its_receipt_says_so(ledger):
    receipt = ledger.send(ledger.client.build_append(ledger.client.nonce(), ledger.log, HEAD, PACKED, 1))
    assert not receipt.succeeded
    assert ledger.reader.log_state().size == 0


def test_a_transaction_at_the_size_limit_is_built_and_one_beyond_refused():
    client = client_on(ScriptedNode())
    room = MAX_CALLDATA_BYTES - 4 - 4 * 32
    signed = client.build_append(0, LOG, HEAD, b"\xff" * (room - room % 32), 1, fees=FEES)
    assert len(signed.raw) <= MAX_TRANSACTION_BYTES
    with pytest.raises(TransactionTooLarge, match="bytes"):
        client.build_append(0, LOG, HEAD, b"\xff" * (room + 256), 1, fees=FEES)


def test_a_transaction_beyond_the_gas_limit_is_refused():
    with pytest.raises(TransactionTooLarge, match="gas"):
        client_on(ScriptedNode()).build_append(0, LOG, HEAD, b"\xff" * 100_000, 1_800, fees=FEES)


def test_the_overhead_covers_every_field_at_its_longest():
    client = LedgerClient(ScriptedNode(), KeySigner(WALLET), 2**64 - 1)  # type: ignore[arg-type]
    fees = Fees(max_fee_per_gas=2**80, max_priority_fee_per_gas=2**80)
    signed = client.build_append(2**64 - 2, LOG, HEAD, b"\xff" * 1_000, 1, fees=fees)
    assert len(signed.raw) <= len(calldata.append(LOG.log_id, HEAD, b"\xff" * 1_000)) + OVERHEAD_BYTES


def test_the_offer_is_twice_the_base_fee_and_the_tip():
    node = ScriptedNode(
        {"eth_getBlockByNumber": lambda _: {"baseFeePerGas": "0x64"}, "eth_maxPriorityFeePerGas": lambda _: "0x5"}
    )
    assert client_on(node).fees() == Fees(max_fee_per_gas=205, max_priority_fee_per_gas=5)


def test_a_node_without_a_priority_fee_method_is_asked_for_its_fee_history():
    def unknown(_: object) -> object:
        raise ChainRejected(-32601, "the method eth_maxPriorityFeePerGas does not exist")

    history = {
        "oldestBlock": "0x1",
        "baseFeePerGas": ["0x64"] * 11,
        "gasUsedRatio": [0.5] * 10,
        "reward": [["0x7"]] * 10,
    }
    node = ScriptedNode(
        {
            "eth_getBlockByNumber": lambda _: {"baseFeePerGas": "0x64"},
            "eth_maxPriorityFeePerGas": unknown,
            "eth_feeHistory": lambda _: history,
        }
    )
    with pytest.warns(UserWarning, match="eth_maxPriorityFeePerGas"):
        assert client_on(node).fees().max_fee_per_gas > 200


def test_a_node_that_lies_about_fees_cannot_make_the_writer_pay_beyond_the_cap():
    node = ScriptedNode(
        {
            "eth_getBlockByNumber": lambda _: {"baseFeePerGas": hex(2**200)},
            "eth_maxPriorityFeePerGas": lambda _: hex(2**200),
        }
    )
    cap = DEFAULT_FEE_CAP_WEI
    assert client_on(node).fees() == Fees(max_fee_per_gas=cap, max_priority_fee_per_gas=cap)


@pytest.mark.parametrize("message", ["already known", "ALREADY_EXISTS: already known", "known transaction: 0xabc"])
def test_a_node_that_has_the_transaction_is_no_error(message):
    def known(_: object) -> object:
        raise ChainRejected(-32000, message)

    client = client_on(ScriptedNode({"eth_sendRawTransaction": known}))
    client.send(built(client))


def test_a_used_nonce_is_no_error_where_this_transaction_used_it_and_one_where_another_did(ledger):
    ours = next_append(ledger)
    other = ledger.client.build_append(ours.nonce, ledger.log, HEAD, PACKED, 1)
    ledger.client.send(ours)

    def only_says_nonce(method: str, _: object) -> None:
        if method == "eth_sendRawTransaction":
            raise ChainRejected(-32000, "nonce too low")

    ledger.transport.before = only_says_nonce
    ledger.client.send(ours)
    with pytest.raises(ChainRejected, match="nonce too low"):
        ledger.client.send(other)


def test_a_refusal_with_revert_data_names_the_contract_s_error():
    data = keccak256(b"StaleHead(bytes32,bytes32,bytes32)")[:4] + LOG.log_id + HEAD + bytes(32)

    def revert(_: object) -> object:
        raise ChainRejected(3, "execution reverted", data)

    client = client_on(ScriptedNode({"eth_sendRawTransaction": revert}))
    with pytest.raises(ContractReverted) as caught:
        client.send(built(client))
    assert (caught.value.name, caught.value.arguments["expected"]) == ("StaleHead", HEAD)


def test_an_unreachable_node_leaves_the_outcome_unknown():
    def unreachable(_: object) -> object:
        raise ChainUnavailable("node", "refused")

    client = client_on(ScriptedNode({"eth_sendRawTransaction": unreachable}))
    with pytest.raises(ChainUnavailable):
        client.send(built(client))


@pytest.mark.parametrize("answer", [None, "0x", "0x" + "00" * 32, 7, {}])
def test_another_hash_than_the_transactions_own_is_malformed(answer):
    client = client_on(ScriptedNode({"eth_sendRawTransaction": lambda _: answer}))
    with pytest.raises(MalformedAnswer):
        client.send(built(client))


@pytest.mark.parametrize(
    "change",
    [
        {"transactionHash": "0x" + "00" * 32},
        {"status": None},
        {"blockNumber": None},
        {"blockHash": "0x00"},
        {"gasUsed": "many"},
    ],
)
def test_a_receipt_with_one_fault_is_malformed(ledger, change):
    signed = next_append(ledger)
    ledger.client.send(signed)
    real = ledger.transport.call("eth_getTransactionReceipt", ["0x" + signed.hash.hex()])
    node = ScriptedNode({"eth_getTransactionReceipt": lambda _: real | change})
    with pytest.raises(MalformedAnswer):
        client_on(node).receipt(signed.hash)


@pytest.mark.parametrize("answer", [None, "many", {}, [], -1])
def test_what_is_no_count_is_malformed(answer):
    node = ScriptedNode({"eth_getTransactionCount": lambda _: answer, "eth_getBalance": lambda _: answer})
    for ask in (client_on(node).nonce, client_on(node).balance):
        with pytest.raises(MalformedAnswer):
            ask()


def test_a_receipt_that_is_not_there_is_none():
    node = ScriptedNode({"eth_getTransactionReceipt": lambda _: None})
    assert client_on(node).receipt(Hash32(b"x" * 32)) is None


def test_balances_are_read_and_paid(ledger):
    before = ledger.client.balance()
    assert before > 0
    ledger.send(ledger.client.build_transfer(ledger.client.nonce(), WALLET.address, 5))
    assert ledger.client.balance(WALLET.address) == 5
    assert ledger.client.balance() < before - 5


def test_the_writer_changes_and_the_new_one_goes_on(ledger):
    ledger.send(ledger.client.build_transfer(ledger.client.nonce(), WALLET.address, 10**18))
    ledger.append([(b"\x0a" * 32, sealed_bytes(1, 60))])
    assert ledger.rotate(WALLET, 1).succeeded
    assert ledger.open_epoch(2).succeeded
    assert ledger.append([(b"\x0a" * 32, sealed_bytes(2, 60))]).succeeded
    assert ledger.void(3, 9).succeeded
    state = ledger.reader.log_state()
    assert (state.writer, state.size, state.entries) == (WALLET.address, 2, 6)
