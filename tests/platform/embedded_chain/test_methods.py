import pytest
from eth_account import Account as EthAccount
from eth_utils import to_checksum_address

from tallystick.chain.transaction import read_transaction
from tallystick.errors import ChainRejected
from tallystick.keys import Wallet, recover
from tallystick_platform.embedded_chain.rules import PREFUND_WEI, TIP_WEI
from tallystick_platform.ledger_chain.signers import Fees
from tests.support.accounts import RETURN_42, Account

SINK = "0x" + "05" * 19 + "ff"
UNKNOWN_HASH = "0x" + "00" * 32


@pytest.fixture
def ask(account):
    return lambda method, *params: account.transport.call(method, list(params))


def refused(ask, code, method, *params):
    with pytest.raises(ChainRejected) as caught:
        ask(method, *params)
    assert caught.value.code == code
    return caught.value.message


def test_the_node_names_itself_and_its_chain(ask):
    assert ask("eth_chainId") == "0x11f63"
    assert ask("net_version") == "73571"
    assert ask("web3_clientVersion").startswith("tallystick-embedded/")
    assert (ask("net_listening"), ask("eth_syncing"), ask("eth_accounts")) == (True, False, [])


def test_keccak_is_ethereums(ask):
    assert ask("web3_sha3", "0x").startswith("0xc5d246")


@pytest.mark.parametrize("block", [2**38, 2**63, 2**64 - 1])
def test_a_block_that_no_chain_reaches_is_a_parameter_that_is_refused(ask, block):
    for method, parameters in (
        ("eth_getCode", [SINK]),
        ("eth_getBalance", [SINK]),
        ("eth_getTransactionCount", [SINK]),
        ("eth_getStorageAt", [SINK, "0x0"]),
        ("eth_call", [{"to": SINK}]),
        ("eth_estimateGas", [{"to": SINK}]),
        ("eth_getBlockByNumber", []),
        ("eth_getBlockReceipts", []),
        ("eth_feeHistory", ["0x1"]),
    ):
        assert "beyond" in refused(ask, -32602, method, *parameters, hex(block))
    for range_ in ({"fromBlock": hex(block)}, {"toBlock": hex(block)}, {"fromBlock": "0x0", "toBlock": hex(block)}):
        assert "beyond" in refused(ask, -32602, "eth_getLogs", range_)


def test_the_highest_block_that_can_be_asked_for_is_one_that_is_not_there(ask):
    highest = hex(2**38 - 1)
    assert ask("eth_getBlockByNumber", highest, False) is None
    assert refused(ask, -32000, "eth_getCode", SINK, highest) == "header not found"
    assert ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": highest}) == []


def test_the_state_is_read_at_a_block(account, ask):
    account.send(bytes.fromhex(SINK[2:]), value=5)
    account.send(bytes.fromhex(SINK[2:]), value=5)
    assert [ask("eth_getBalance", SINK, tag) for tag in ("0x0", "0x1", "latest", "earliest")] == [
        "0x0",
        "0x5",
        "0xa",
        "0x0",
    ]
    assert ask("eth_getBalance", SINK) == "0xa"
    sender = "0x" + account.address.hex()
    assert int(ask("eth_getBalance", sender, "earliest"), 16) == PREFUND_WEI
    assert [ask("eth_getTransactionCount", sender, tag) for tag in ("0x0", "0x1", "latest")] == ["0x0", "0x1", "0x2"]


@pytest.mark.parametrize("tag", ["latest", "pending", "safe", "finalized"])
def test_every_newest_tag_is_the_head(account, ask, tag):
    account.send()
    assert ask("eth_getBlockByNumber", tag, False)["number"] == "0x1"


def test_a_block_may_be_named_as_an_object(account, ask):
    account.send(bytes.fromhex(SINK[2:]), value=5)
    block = ask("eth_getBlockByNumber", "0x1", False)
    assert ask("eth_getBalance", SINK, {"blockHash": block["hash"]}) == "0x5"
    assert ask("eth_getBalance", SINK, {"blockNumber": "0x0"}) == "0x0"


def test_the_pending_count_includes_what_waits(patient_account, ask):
    sender = "0x" + patient_account.address.hex()
    patient_account.send()
    patient_account.send()
    assert ask("eth_getTransactionCount", sender, "pending") == "0x2"
    assert ask("eth_getTransactionCount", sender, "latest") == "0x0"


def test_code_and_storage_are_read(account, ask):
    contract = "0x" + account.deploy(RETURN_42).hex()
    assert ask("eth_getCode", contract, "latest") == "0x" + RETURN_42.hex()
    assert ask("eth_getCode", contract, "earliest") == "0x"
    counter = account.deploy(bytes.fromhex("5f54600101805f555f5260205ff3"))
    account.send(counter)
    assert ask("eth_getStorageAt", "0x" + counter.hex(), "0x0", "latest") == "0x" + "00" * 31 + "01"
    assert ask("eth_getStorageAt", "0x" + counter.hex(), UNKNOWN_HASH) == "0x" + "00" * 31 + "01"


def test_a_call_sees_the_block_that_it_is_asked_at(account, ask):
    number = "0x" + account.deploy(bytes.fromhex("435f5260205ff3")).hex()
    account.send()
    for tag, expected in (("latest", 2), ("0x1", 1)):
        assert int(ask("eth_call", {"to": number}, tag), 16) == expected


def test_an_estimate_of_a_payment_is_exact(account, ask):
    assert (
        ask("eth_estimateGas", {"from": "0x" + account.address.hex(), "to": to_checksum_address(SINK), "value": "0x1"})
        == "0x5208"
    )


def test_overrides_of_the_state_are_refused(ask):
    assert "at most 2" in refused(ask, -32602, "eth_call", {"to": SINK}, "latest", {})


def test_a_block_shows_its_transactions_as_hashes_or_in_full(account, ask):
    signed = account.send(bytes.fromhex(SINK[2:]), value=5)
    by_number = ask("eth_getBlockByNumber", "0x1", False)
    assert by_number["transactions"] == ["0x" + signed.hash.hex()]
    assert ask("eth_getBlockByHash", by_number["hash"], False) == by_number
    (full,) = ask("eth_getBlockByHash", by_number["hash"], True)["transactions"]
    assert full == ask("eth_getTransactionByHash", "0x" + signed.hash.hex())
    assert (full["from"], full["to"], full["value"], full["blockNumber"], full["type"]) == (
        "0x" + account.address.hex(),
        SINK,
        "0x5",
        "0x1",
        "0x2",
    )
    assert by_number["parentHash"] == ask("eth_getBlockByNumber", "0x0", False)["hash"]


def test_what_is_unknown_is_null(ask):
    assert ask("eth_getBlockByNumber", "0x63", False) is None
    assert ask("eth_getBlockByHash", UNKNOWN_HASH, False) is None
    assert ask("eth_getTransactionByHash", UNKNOWN_HASH) is None
    assert ask("eth_getTransactionReceipt", UNKNOWN_HASH) is None
    assert ask("eth_getBlockReceipts", "0x63") is None


def test_a_state_of_an_unknown_block_is_refused(ask):
    assert refused(ask, -32000, "eth_getBalance", SINK, "0x63") == "header not found"
    assert refused(ask, -32000, "eth_call", {"to": SINK}, {"blockHash": UNKNOWN_HASH}) == "header not found"


def test_a_waiting_transaction_is_shown_without_a_block(patient_account, ask):
    signed = patient_account.send(fees=Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=1))
    shown = ask("eth_getTransactionByHash", "0x" + signed.hash.hex())
    assert (shown["blockHash"], shown["blockNumber"], shown["transactionIndex"]) == (None, None, None)
    assert ask("eth_getTransactionReceipt", "0x" + signed.hash.hex()) is None


def test_a_receipt_tells_what_was_paid(account, ask):
    signed = account.send(
        bytes.fromhex(SINK[2:]), value=5, fees=Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=7)
    )
    receipt = ask("eth_getTransactionReceipt", "0x" + signed.hash.hex())
    base_fee = int(ask("eth_getBlockByNumber", "0x1", False)["baseFeePerGas"], 16)
    assert (receipt["status"], receipt["gasUsed"], receipt["contractAddress"]) == ("0x1", "0x5208", None)
    assert int(receipt["effectiveGasPrice"], 16) == base_fee + 7
    spent = PREFUND_WEI - int(ask("eth_getBalance", "0x" + account.address.hex()), 16)
    assert spent == 21_000 * (base_fee + 7) + 5


def test_the_receipts_of_a_block_add_up(patient_account, ask):
    for _ in range(3):
        patient_account.send()
    patient_account.transport.mine()
    receipts = ask("eth_getBlockReceipts", "latest")
    gas = [int(receipt["gasUsed"], 16) for receipt in receipts]
    assert [int(receipt["cumulativeGasUsed"], 16) for receipt in receipts] == [gas[0], sum(gas[:2]), sum(gas)]
    assert ask("eth_getBlockByNumber", "latest", False)["gasUsed"] == hex(sum(gas))


def test_sending_gives_the_hash_and_sending_again_is_already_known(patient_account, ask):
    signed = patient_account.sign()
    assert ask("eth_sendRawTransaction", "0x" + signed.raw.hex()) == "0x" + signed.hash.hex()
    assert refused(ask, -32000, "eth_sendRawTransaction", "0x" + signed.raw.hex()) == "already known"
    patient_account.transport.mine()
    assert refused(ask, -32000, "eth_sendRawTransaction", "0x" + signed.raw.hex()) == "already known"


def test_the_suggested_price_is_taken(account, ask):
    price = int(ask("eth_gasPrice"), 16)
    assert int(ask("eth_maxPriorityFeePerGas"), 16) == TIP_WEI
    fees = Fees(max_fee_per_gas=price, max_priority_fee_per_gas=TIP_WEI)
    assert account.receipt(account.send(fees=fees))["status"] == "0x1"


def test_the_fee_history_matches_the_blocks(patient_account, ask):
    other = Account(transport=patient_account.transport, wallet=Wallet(b"\x66" * 32))
    patient_account.send(other.address, value=10**18)
    patient_account.transport.mine()
    for tip in (1, 2, 3):
        patient_account.send(fees=Fees(max_fee_per_gas=10**10, max_priority_fee_per_gas=tip))
    patient_account.transport.mine()
    history = ask("eth_feeHistory", "0x2", "latest", [0, 50, 100])
    blocks = [ask("eth_getBlockByNumber", hex(number), False) for number in (1, 2)]
    assert history["oldestBlock"] == "0x1"
    assert history["baseFeePerGas"][:2] == [block["baseFeePerGas"] for block in blocks]
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"][1] == ["0x1", "0x2", "0x3"]
    assert history["gasUsedRatio"] == [int(block["gasUsed"], 16) / int(block["gasLimit"], 16) for block in blocks]


def test_the_fee_history_of_an_empty_block_has_no_tips(ask):
    assert ask("eth_feeHistory", 5, "latest", [50])["reward"] == [["0x0"]]
    assert "reward" not in ask("eth_feeHistory", "0x5", "latest", [])
    assert "reward" not in ask("eth_feeHistory", "0x5", "latest")


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["0x0", "latest"],
        [True, "latest"],
        [None],
        ["0x1", "latest", "x"],
        ["0x1", "latest", [101]],
        ["0x1", "latest", [-1]],
        ["0x1", "latest", [50, 10]],
        ["0x1", "latest", [True]],
        ["0x1", "latest", [1] * 101],
    ],
)
def test_a_fee_history_with_one_fault_is_refused(ask, params):
    refused(ask, -32602, "eth_feeHistory", *params)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", []),
        ("eth_getBalance", [SINK, "newest"]),
        ("eth_getBalance", [SINK, "0x1", 3]),
        ("eth_getBalance", [SINK, 5]),
        ("eth_getCode", ["0x05"]),
        ("eth_getStorageAt", [SINK]),
        ("eth_getBlockByNumber", []),
        ("eth_getBlockByNumber", ["latest", "yes"]),
        ("eth_getBlockByHash", ["0x1", False]),
        ("eth_getTransactionReceipt", ["0x1"]),
        ("eth_sendRawTransaction", ["0x1"]),
        ("eth_sendRawTransaction", [None]),
        ("eth_call", []),
        ("eth_call", ["latest"]),
        ("eth_getLogs", []),
        ("eth_getLogs", ["x"]),
        ("web3_sha3", ["0xz"]),
    ],
)
def test_parameters_with_one_fault_are_refused(ask, method, params):
    refused(ask, -32602, method, *params)


def test_a_method_beyond_the_protocol_is_refused(ask):
    refused(ask, -32601, "evm_mine")
    refused(ask, -32601, "eth_sendTransaction", {})


@pytest.mark.parametrize("where", ["waiting", "in a block"])
@pytest.mark.parametrize("kind", ["legacy", "fee market", "fee market with an access list", "deployment"])
def test_hash_and_signer_of_a_transaction_follow_from_the_fields_that_are_shown(patient_account, ask, kind, where):
    fields = {
        "nonce": 0,
        "gas": 100_000,
        "to": to_checksum_address(SINK),
        "value": 5,
        "data": b"\x00\x01",
        "chainId": 73_571,
    }
    if kind == "legacy":
        fields |= {"gasPrice": 10**10}
    else:
        fields |= {"type": 2, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    if kind == "deployment":
        fields |= {"to": b"", "value": 0, "data": b"\x00"}
    if kind == "fee market with an access list":
        fields |= {"accessList": [{"address": SINK, "storageKeys": ["0x" + "07" * 32]}]}
    signed = EthAccount.sign_transaction(fields, patient_account.wallet.secret)
    ask("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())
    if where == "in a block":
        patient_account.transport.mine()
    shown = read_transaction(ask("eth_getTransactionByHash", signed.hash.to_0x_hex()))
    assert shown.hash == bytes(signed.hash)
    assert recover(shown.signing_hash, shown.signature) == patient_account.address


@pytest.mark.parametrize("type_id", [0, 1])
def test_older_transactions_are_shown_in_their_shape(account, ask, type_id):
    fields = {
        "nonce": 0,
        "gas": 50_000,
        "gasPrice": 10**10,
        "to": to_checksum_address(SINK),
        "value": 5,
        "data": b"",
        "chainId": account.chain_id,
    }
    if type_id:
        fields |= {"type": 1, "accessList": [{"address": SINK, "storageKeys": ["0x" + "00" * 32]}]}
    signed = EthAccount.sign_transaction(fields, account.wallet.secret)
    ask("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())
    shown = ask("eth_getTransactionByHash", signed.hash.to_0x_hex())
    assert (shown["type"], int(shown["gasPrice"], 16), int(shown["v"], 16)) == (hex(type_id), 10**10, signed.v)
    assert ("accessList" in shown) == bool(type_id)
    assert "maxFeePerGas" not in shown


def test_a_delegation_is_shown_with_its_authorisation(account, ask):
    heir = EthAccount.from_key(b"\x44" * 32)
    authorisation = heir.sign_authorization({"chainId": account.chain_id, "address": SINK, "nonce": 0})
    signed = EthAccount.sign_transaction(
        {
            "type": 4,
            "chainId": account.chain_id,
            "nonce": 0,
            "gas": 100_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 1,
            "to": heir.address,
            "value": 0,
            "data": b"",
            "authorizationList": [authorisation],
        },
        account.wallet.secret,
    )
    ask("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())
    shown = ask("eth_getTransactionByHash", signed.hash.to_0x_hex())
    assert shown["authorizationList"][0]["address"] == SINK
    assert ask("eth_getCode", heir.address) == "0xef0100" + SINK[2:]
