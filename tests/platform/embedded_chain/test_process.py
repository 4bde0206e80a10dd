import json
import socket
import subprocess
import sys

import httpx
import pytest
from eth.vm.forks.prague.blocks import PragueBlockHeader
from web3 import Web3
from web3.exceptions import ContractCustomError

from tallystick.chain.artifact import load_artifact
from tallystick.chain.packing import pack_records
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.keys import Wallet
from tallystick_platform.embedded_chain.chain import EmbeddedChain
from tests.support.anchoring import sealed_bytes
from tests.support.chains import WRAPS, foundry_tool
from tests.support.embedded_chain import running_chain, start_chain

WALLET = Wallet(b"\x11" * 32)
KEY = "0x" + "11" * 32


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain"), prefund=[WALLET.address]) as running:
        yield running


def run_cli(*arguments, **options):
    command = [sys.executable, "-m", "tallystick_platform.embedded_chain", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False, **options
    )


def test_the_ready_line_is_one_json_object(chain):
    assert chain.ready == {"ready": True, "rpc_url": chain.url, "chain_id": 73571}
    assert chain.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 300_000])
def test_a_body_of_nothing_but_brackets_is_refused_and_the_chain_goes_on(chain, body):
    answer = httpx.post(chain.url, content=body)
    assert answer.json()["error"]["code"] == -32700
    asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    assert httpx.post(chain.url, json=asked).json()["result"] == hex(73571)


def test_closing_the_input_stops_it(tmp_path):
    chain = start_chain(tmp_path)
    output, errors = chain.process.communicate(timeout=20)
    assert (chain.process.returncode, output, errors) == (0, "", "")


def test_a_termination_signal_stops_it(tmp_path):
    chain = start_chain(tmp_path)
    chain.process.terminate()
    assert chain.process.wait(timeout=20) == 0
    chain.process.communicate()


def test_an_input_that_is_closed_from_the_start_stops_it_after_it_was_ready(tmp_path):
    done = run_cli("--path", tmp_path, "--port", 0)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ready"] is True


def test_reopening_with_another_chain_id_ends_with_a_sentence(tmp_path):
    EmbeddedChain(tmp_path, chain_id=73571).close()
    done = run_cli("--path", tmp_path, "--port", 0, "--chain-id", 5)
    assert (done.returncode, done.stdout) == (2, "")
    assert "chain id is 73571, not 5" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_with_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_cli("--path", tmp_path, "--port", taken.getsockname()[1])
    assert done.returncode == 2
    assert "ddress already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_chain_in_use_ends_with_a_sentence(tmp_path):
    running = EmbeddedChain(tmp_path, chain_id=73571)
    done = run_cli("--path", tmp_path, "--port", 0)
    running.close()
    assert done.returncode == 2
    assert "another process owns this chain" in done.stderr


def test_an_address_that_is_none_is_refused(tmp_path):
    done = run_cli("--path", tmp_path, "--prefund", "0x05")
    assert done.returncode == 2
    assert "has 1 bytes, not 20" in done.stderr


def test_web3_deploys_the_contract_writes_a_log_and_reads_its_events(chain):
    web3 = Web3(Web3.HTTPProvider(chain.url))
    account = web3.eth.account.from_key(KEY)
    web3.eth.default_account = account.address
    artifact = load_artifact()

    def send(call):
        nonce = web3.eth.get_transaction_count(account.address)
        transaction = call.build_transaction({"from": account.address, "nonce": nonce})
        sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        return web3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02)

    factory = web3.eth.contract(abi=list(artifact.abi), bytecode=artifact.bytecode)
    contract = web3.eth.contract(send(factory.constructor())["contractAddress"], abi=list(artifact.abi))
    log_id = contract.events.LogCreated().process_receipt(
        send(contract.functions.createLog(account.address, account.address, 1, 3_600, 60, bytes(32)))
    )[0]["args"]["logId"]
    send(contract.functions.openEpoch(log_id, log_id, 1, WRAPS[0]))
    packed = pack_records([(b"\x0a" * 32, sealed_bytes(1, 60)), (b"\x0b" * 32, sealed_bytes(2, 60))])
    head = contract.functions.logState(log_id).call()[3]
    receipt = send(contract.functions.append(log_id, head, packed))
    assert receipt["status"] == 1
    (event,) = contract.events.BatchAppended().get_logs(from_block=0)
    assert (event["args"]["entry"], event["args"]["count"], event["args"]["records"]) == (1, 2, packed)
    assert contract.functions.logState(log_id).call()[1] == 2
    with pytest.raises(ContractCustomError):
        contract.functions.append(log_id, head, packed).call()
    assert web3.eth.fee_history(2, "latest", [50])["oldestBlock"] >= 0
    assert web3.eth.get_block("latest", full_transactions=True)["transactions"][0]["from"] == account.address
    reader = LedgerReader(HttpTransport(chain.url), bytes.fromhex(contract.address[2:]), log_id)
    assert reader.code_hash() == artifact.code_hash
    assert reader.log_state().size == 2
    reader.transport.close()


def test_a_batch_is_answered_over_web3(chain):
    web3 = Web3(Web3.HTTPProvider(chain.url))
    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_block(0))
        batch.add(web3.eth.get_block(0))
        assert len(batch.execute()) == 2


def test_a_block_hash_is_the_hash_of_what_the_node_shows_of_it(chain):
    transport = HttpTransport(chain.url)
    shown = transport.call("eth_getBlockByNumber", ["latest", False])
    transport.close()

    def number(name):
        return int(shown[name], 16)

    def data(name):
        return bytes.fromhex(shown[name][2:])

    header = PragueBlockHeader(
        parent_hash=data("parentHash"),
        uncles_hash=data("sha3Uncles"),
        coinbase=data("miner"),
        state_root=data("stateRoot"),
        transaction_root=data("transactionsRoot"),
        receipt_root=data("receiptsRoot"),
        bloom=number("logsBloom"),
        difficulty=number("difficulty"),
        block_number=number("number"),
        gas_limit=number("gasLimit"),
        gas_used=number("gasUsed"),
        timestamp=number("timestamp"),
        extra_data=data("extraData"),
        mix_hash=data("mixHash"),
        nonce=data("nonce"),
        base_fee_per_gas=number("baseFeePerGas"),
        withdrawals_root=data("withdrawalsRoot"),
        blob_gas_used=number("blobGasUsed"),
        excess_blob_gas=number("excessBlobGas"),
        parent_beacon_block_root=data("parentBeaconBlockRoot"),
        requests_hash=data("requestsHash"),
    )
    assert header.hash == data("hash")


@pytest.mark.node
def test_cast_sends_pays_reads_and_decodes(chain):
    def cast(*arguments):
        command = [str(foundry_tool("cast")), *arguments, "--rpc-url", chain.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    sink = "0x" + "05" * 19 + "fe"
    assert cast("chain-id").strip() == "73571"
    receipt = json.loads(cast("send", sink, "--value", "7", "--private-key", KEY, "--json"))
    assert receipt["status"] == "0x1"
    assert cast("balance", sink).strip() == "7"
    assert json.loads(cast("receipt", receipt["transactionHash"], "--json"))["blockHash"] == receipt["blockHash"]
    assert json.loads(cast("tx", receipt["transactionHash"], "--json"))["value"] == "0x7"
    assert json.loads(cast("block", "latest", "--json"))["number"] == receipt["blockNumber"]
    assert int(cast("gas-price")) > 0
    assert cast("code", sink).strip() == "0x"
    assert cast("estimate", sink, "--value", "1", "--from", "0x" + WALLET.address.hex()).strip() == "21000"
    assert json.loads(cast("logs", "--from-block", "0", "--to-block", "latest", "--json")) is not None
