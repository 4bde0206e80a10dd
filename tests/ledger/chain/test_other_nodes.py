"""The reader against a node that we did not write."""

import pytest

from tallystick.chain.artifact import load_artifact
from tallystick.chain.authorship import signer_of
from tallystick.chain.events import BatchAppended
from tallystick.chain.faults import LogMissing
from tallystick.chain.packing import pack_records, unpack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.reverts import ContractReverted, explain
from tallystick.chain.rpc import HttpTransport
from tallystick.chain.transaction import contract_address
from tallystick.errors import ChainRejected
from tallystick.heads import derive_log_id
from tallystick.keys import Wallet
from tallystick_platform.ledger_chain.client import LedgerClient, LogOnChain
from tallystick_platform.ledger_chain.signers import KeySigner
from tests.support import calldata
from tests.support.chains import ANVIL_KEY, WRAPS, anvil, deployed_ledger, terms_of

pytestmark = pytest.mark.node
CHAIN_ID = 31_337
WALLET = Wallet(ANVIL_KEY)
RECORDS = [(bytes([n]) * 32, b"\x20" + n.to_bytes(8, "big") + bytes(16) + bytes([n]) * 200) for n in range(1, 9)]


def mined(client, signed):
    """Send, and ask until the transaction is in a block: this node answers before it is."""
    client.send(signed)
    for _ in range(5_000):
        if (receipt := client.receipt(signed.hash)) is not None:
            return receipt
    raise TimeoutError


@pytest.fixture(scope="module", params=["prague", "osaka"])
def log(request):
    with anvil("--hardfork", request.param) as url:
        transport = HttpTransport(url)
        contract, terms = contract_address(WALLET.address, 0), terms_of(WALLET.address)
        log_id = derive_log_id(CHAIN_ID, contract, terms)
        client, reader = LedgerClient(transport, KeySigner(WALLET), CHAIN_ID), LedgerReader(transport, contract, log_id)
        here = LogOnChain(contract=contract, log_id=log_id)
        assert mined(client, client.build_deploy(0)).succeeded
        assert mined(client, client.build_create_log(1, contract, terms)).succeeded
        assert mined(client, client.build_open_epoch(2, here, log_id, 1, WRAPS[0])).succeeded
        head = reader.log_state().head
        assert mined(client, client.build_append(3, here, head, pack_records(RECORDS), len(RECORDS))).succeeded
        yield reader, client
        transport.close()


def test_the_log_is_read_back(log):
    reader, _ = log
    assert reader.chain_id() == CHAIN_ID
    assert reader.require_contract() == load_artifact().code_hash
    _, _, batch = list(reader.events(reader.creation_block(), reader.latest_block().number))
    assert [(record.fields_root, record.sealed) for record in unpack_records(batch.records)] == RECORDS
    assert batch.head == reader.log_state(batch.position.block_number).head
    assert batch == reader.batch_event(0)
    assert batch.root == reader.batch_at(0).root
    assert reader.creation().terms == terms_of(WALLET.address)


def test_the_signer_of_every_entry_is_the_writer(log):
    reader, _ = log
    head = reader.log_id
    for event in list(reader.events(0, reader.latest_block().number))[1:]:
        author = signer_of(
            reader.transport,
            chain_id=CHAIN_ID,
            contract=reader.contract,
            log_id=reader.log_id,
            previous_head=head,
            event=event,
        )
        assert author.signer == WALLET.address
        head = event.head
    assert head == reader.log_state().head


def test_the_contracts_errors_are_named(log):
    reader, _ = log
    with pytest.raises(ContractReverted) as caught:
        reader.batch_at(9)
    assert caught.value.name == "UnknownBatch"
    with pytest.raises(LogMissing):
        LedgerReader(reader.transport, reader.contract, b"\xee" * 32).log_state()
    request = {"from": "0x" + WALLET.address.hex(), "to": "0x" + reader.contract.hex()}
    request["data"] = "0x" + calldata.append(reader.log_id, bytes(32), pack_records(RECORDS)).hex()
    with pytest.raises(ChainRejected) as refused:
        reader.transport.call("eth_call", [request, "latest"])
    assert explain(refused.value).name == "StaleHead"


def test_the_embedded_chain_charges_the_same_gas(log):
    reader, client = log
    batch = reader.batch_event(0)
    assert isinstance(batch, BatchAppended)
    theirs = client.receipt(batch.position.tx_hash).gas_used
    with deployed_ledger(private_key=ANVIL_KEY, chain_id=CHAIN_ID) as ours:
        assert ours.log_id == reader.log_id
        assert ours.append(RECORDS).gas_used == theirs
