"""Reader and sender against a node that we did not write."""

import pytest

from tallystick.chain import (
    BatchAppended,
    ContractReverted,
    HttpTransport,
    LedgerReader,
    LedgerSender,
    LogMissing,
    RecordAppended,
    calldata,
    contract_address,
    derive_log_id,
    load_artifact,
)
from tallystick.chain.reverts import explain
from tallystick.errors import ChainRejected
from tallystick.keys import Wallet
from tests.support.chains import ANVIL_KEY, SALT, anvil, deployed_ledger

pytestmark = pytest.mark.node
CHAIN_ID = 31_337
WALLET = Wallet(ANVIL_KEY)
FIRST_BATCH_BLOCK = 4
RECORDS = [(bytes([n]) * 32, bytes([n]) * 200) for n in range(1, 9)]


def mined(sender, signed):
    """Send, and ask until the transaction is in a block: this node answers before it is."""
    sender.send(signed)
    for _ in range(5_000):
        if (receipt := sender.receipt(signed.hash)) is not None:
            return receipt
    raise TimeoutError


@pytest.fixture(scope="module", params=["prague", "osaka"])
def log(request):
    with anvil("--hardfork", request.param) as url:
        transport = HttpTransport(url)
        contract = contract_address(WALLET.address, 0)
        log_id = derive_log_id(CHAIN_ID, contract, WALLET.address, SALT)
        sender = LedgerSender(transport, WALLET, contract, log_id, CHAIN_ID)
        for signed in (
            sender.build_deploy(0),
            sender.build_create_log(1, WALLET.address, SALT),
            sender.build_open_epoch(2, 1, [b"wrap"]),
            sender.build_append(3, 0, [root for root, _ in RECORDS], [sealed for _, sealed in RECORDS]),
        ):
            assert mined(sender, signed).succeeded
        yield LedgerReader(transport, contract, log_id), sender
        transport.close()


def test_the_log_is_read_back(log):
    reader, _ = log
    assert reader.chain_id() == CHAIN_ID
    assert reader.code_hash() == load_artifact().code_hash
    events = list(reader.events(0, FIRST_BATCH_BLOCK))
    assert [(e.fields_root, e.sealed) for e in events if isinstance(e, RecordAppended)] == RECORDS
    (batch,) = [event for event in events if isinstance(event, BatchAppended)]
    assert batch.head == reader.log_state(batch.position.block_number).head
    assert batch.root == reader.batch(0).root
    assert reader.creation_block() == 2


def test_sending_a_mined_transaction_again_is_no_error(log):
    reader, sender = log
    signed = sender.build_append(sender.nonce(), reader.log_state().size, [SALT], [b"later"])
    for _ in range(3):
        assert mined(sender, signed).succeeded


def test_the_contracts_errors_are_named(log):
    reader, sender = log
    with pytest.raises(ContractReverted) as caught:
        reader.batch(9)
    assert caught.value.name == "UnknownBatch"
    with pytest.raises(LogMissing):
        LedgerReader(reader.transport, reader.contract, b"\xee" * 32).log_state()
    request = {"from": "0x" + WALLET.address.hex(), "to": "0x" + reader.contract.hex()}
    request["data"] = "0x" + calldata.append(reader.log_id, 5, [SALT], [b"x"]).hex()
    with pytest.raises(ChainRejected) as refused:
        reader.transport.call("eth_call", [request, "latest"])
    assert explain(refused.value).name == "StaleIndex"
    assert sender.balance() > 0


def test_the_embedded_chain_charges_the_same_gas(log):
    reader, sender = log
    (batch,) = [event for event in reader.events(0, FIRST_BATCH_BLOCK) if isinstance(event, BatchAppended)]
    theirs = sender.receipt(batch.position.tx_hash).gas_used
    with deployed_ledger(private_key=ANVIL_KEY, chain_id=CHAIN_ID) as ours:
        assert ours.log_id == reader.log_id
        assert ours.append(RECORDS).gas_used == theirs
