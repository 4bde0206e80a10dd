"""Nodes that are wrong without being hostile, over HTTP: the log is read all the same, or it is said that it could not be."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from eth_account import Account
from eth_utils import to_checksum_address

from tallystick.chain.answers import MAX_ANSWER_BYTES
from tallystick.chain.authorship import signer_of
from tallystick.chain.faults import EventsWithheld
from tallystick.chain.reader import LedgerReader
from tallystick.chain.rpc import HttpTransport
from tallystick.chain.scan import FIRST_SPAN_BLOCKS
from tallystick.chain.wire import RateLimited
from tallystick.ids import to_hex
from tests.support import calldata
from tests.support.chains import TEST_KEY, WRAPS
from tests.support.nodes import AlteringNode, http_node
from tests.support.synthetic_server import served

ENTRIES = 31


@pytest.fixture(scope="module")
def log():
    from tests.support.chains import deployed_ledger

    with deployed_ledger() as ledger:
        for number in range(ENTRIES - 1):
            ledger.void(2 * number + 1, 2 * number + 2)
        yield ledger


@contextmanager
def reader_of(log, *, node=None, refuse=None):
    pauses = []
    with served(node or log.transport, refuse) as url:
        transport = HttpTransport(url, sleep=pauses.append)
        reader = LedgerReader(transport, log.contract, log.log_id)
        reader.pauses = pauses
        yield reader
        transport.close()


def entries_of(reader):
    found = reader.events(reader.creation_block(), reader.latest_block().number)
    return [event.entry for event in found if hasattr(event, "entry")]


def refusal(code, message):
    return 200, json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()


def test_answers_cut_to_their_first_ten_entries_are_asked_for_again(log):
    node = AlteringNode(log.transport, lambda method, _, answer: answer[:10] if method == "eth_getLogs" else answer)
    with reader_of(log, node=node) as reader:
        assert entries_of(reader) == list(range(ENTRIES))


def test_where_they_stay_short_the_node_is_named_and_nobody_else(log):
    def without_seven(method, _, answer):
        seven = "0x" + (7).to_bytes(32, "big").hex()
        return [event for event in answer if event["topics"][2] != seven] if method == "eth_getLogs" else answer

    with (
        reader_of(log, node=AlteringNode(log.transport, without_seven)) as reader,
        pytest.raises(EventsWithheld) as caught,
    ):
        entries_of(reader)
    assert str(caught.value).startswith("http://127.0.0.1:")
    assert (caught.value.what, caught.value.count) == ("entry 7", 1)


@pytest.mark.parametrize(
    "answer", [refusal(-32005, "rate limited"), refusal(-32005, "Limit exceeded"), (429, b"Too Many Requests")]
)
def test_a_rate_limit_at_every_third_call_is_waited_for(log, answer):
    calls = []

    def every_third(method, _):
        calls.append(method)
        return answer if len(calls) % 3 == 0 else None

    with reader_of(log, refuse=every_third) as reader:
        assert entries_of(reader) == list(range(ENTRIES))
        assert len(reader.pauses) == len(calls) // 3


def test_a_rate_limit_that_never_ends_is_told(log):
    with (
        reader_of(log, refuse=lambda *_: refusal(-32005, "rate limited")) as reader,
        pytest.raises(RateLimited, match="rate limited"),
    ):
        entries_of(reader)


@pytest.mark.parametrize(
    "answer",
    [
        (413, b"<html>Request Entity Too Large</html>"),
        (413, b'{"error":"too large"}'),
        refusal(-32005, "query returned more than 10000 results"),
        refusal(-32602, "block range is too wide"),
        refusal(-32000, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
    ],
)
@pytest.mark.parametrize("most_blocks", [1, FIRST_SPAN_BLOCKS // 2 + 1])
def test_a_range_that_is_too_large_for_the_node_is_halved(log, answer, most_blocks):
    def too_large(method, params):
        if method != "eth_getLogs":
            return None
        span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        return answer if span > most_blocks else None

    with reader_of(log, refuse=too_large) as reader:
        assert entries_of(reader) == list(range(ENTRIES))
        assert reader.pauses == []


MEASURED = """
import sys
from tallystick.chain.rpc import HttpTransport
from tallystick.errors import ChainUnavailable
transport = HttpTransport(sys.argv[1], max_answer_bytes=int(sys.argv[2]))
try:
    transport.call("eth_getLogs", [{}])
except ChainUnavailable as error:
    print(error)
with open("/proc/self/status") as status:
    print(*[line.split()[1] for line in status if line.startswith("VmHWM")])
"""


@pytest.mark.parametrize("most_bytes", [MAX_ANSWER_BYTES, 64 << 20], ids=["the bound on bytes", "the bound on values"])
def test_twenty_four_megabytes_of_empty_objects_stay_under_two_hundred(most_bytes):
    flood = b'{"jsonrpc":"2.0","id":1,"result":[' + b"{}," * 8_000_000 + b"{}]}"
    with http_node((200, flood)) as node:
        command = [sys.executable, "-c", MEASURED, node.url, str(most_bytes)]
        said, peak_kib = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split(
            "\n"
        )[:2]
    assert "the answer" in said
    assert int(peak_kib) < 200_000


@pytest.mark.parametrize("kind", [0, 2])
def test_the_embedded_chain_shows_all_that_a_signer_is_computed_from(ledger, kind):
    head, nonce = ledger.head, ledger.client.nonce()
    fees = {"gasPrice": 10**10} if kind == 0 else {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9, "type": 2}
    signed = Account.sign_transaction(
        {
            "nonce": nonce,
            "to": to_checksum_address(ledger.contract),
            "data": calldata.open_epoch(ledger.log_id, head, 2, WRAPS[0]),
            "gas": 1_000_000,
            "value": 0,
            "chainId": ledger.chain_id,
            **fees,
        },
        TEST_KEY,
    )
    ledger.transport.call("eth_sendRawTransaction", [to_hex(bytes(signed.raw_transaction))])
    event = ledger.reader.epoch_event(2, 0, ledger.reader.latest_block().number)
    author = signer_of(
        ledger.transport,
        chain_id=ledger.chain_id,
        contract=ledger.contract,
        log_id=ledger.log_id,
        previous_head=head,
        event=event,
    )
    assert (author.signer, author.tx_hash, author.nonce) == (ledger.wallet.address, bytes(signed.hash), nonce)
