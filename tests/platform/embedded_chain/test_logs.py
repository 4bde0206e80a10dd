import pytest

from tallystick.chain.events import LOG_CREATED
from tallystick.errors import ChainRejected
from tallystick_platform.embedded_chain import methods
from tests.support.accounts import logger
from tests.support.anchoring import sealed_bytes


def word(value):
    return "0x" + value.to_bytes(32, "big").hex()


@pytest.fixture
def chain(account):
    """Blocks 1 to 5 deploy contracts with 0 to 4 topics; in blocks 6 to 10 each logs its number of topics as data."""
    contracts = [account.deploy(logger(topics)) for topics in range(5)]
    for topics, contract in enumerate(contracts):
        account.send(contract, topics.to_bytes(32, "big"))
    account.contracts = ["0x" + contract.hex() for contract in contracts]
    return account


def logs(account, **wanted):
    query = {"fromBlock": "0x0", "toBlock": "latest"} | wanted
    return [int(entry["data"], 16) for entry in account.transport.call("eth_getLogs", [query])]


def refused(account, code, **wanted):
    with pytest.raises(ChainRejected) as caught:
        account.transport.call("eth_getLogs", [wanted])
    assert caught.value.code == code
    return caught.value.message


def test_all_logs_come_in_chain_order(chain):
    assert logs(chain) == [0, 1, 2, 3, 4]


def test_a_log_has_every_member(chain):
    (entry,) = chain.transport.call("eth_getLogs", [{"fromBlock": "0x8", "toBlock": "0x8"}])
    block = chain.transport.call("eth_getBlockByNumber", ["0x8", False])
    assert entry == {
        "address": chain.contracts[2],
        "topics": [word(1), word(2)],
        "data": word(2),
        "blockNumber": "0x8",
        "blockHash": block["hash"],
        "transactionHash": block["transactions"][0],
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }


def test_a_receipt_shows_the_same_logs(chain):
    (entry,) = chain.transport.call("eth_getLogs", [{"fromBlock": "0x8", "toBlock": "0x8"}])
    receipt = chain.transport.call("eth_getTransactionReceipt", [entry["transactionHash"]])
    assert receipt["logs"] == [entry]
    block = chain.transport.call("eth_getBlockByNumber", ["0x8", False])
    assert receipt["logsBloom"] == block["logsBloom"] != "0x" + "00" * 256


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"fromBlock": "0x7", "toBlock": "0x8"}, [1, 2]),
        ({"fromBlock": "0x9"}, [3, 4]),
        ({"fromBlock": "earliest", "toBlock": "0x6"}, [0]),
        ({"toBlock": "0x63"}, [0, 1, 2, 3, 4]),
        ({"topics": []}, [0, 1, 2, 3, 4]),
        ({"topics": [word(1)]}, [1, 2, 3, 4]),
        ({"topics": [None]}, [1, 2, 3, 4]),
        ({"topics": [None, word(2)]}, [2, 3, 4]),
        ({"topics": [None, None, None]}, [3, 4]),
        ({"topics": [[word(1), word(9)], None, None, word(4)]}, [4]),
        ({"topics": [word(9)]}, []),
        ({"topics": [word(2)]}, []),
    ],
)
def test_a_filter_lets_through_what_it_names(chain, wanted, expected):
    assert logs(chain, **wanted) == expected


def test_a_filter_by_address_takes_one_or_several(chain):
    assert logs(chain, address=chain.contracts[3]) == [3]
    assert logs(chain, address=[chain.contracts[3], chain.contracts[1]], topics=[word(1)]) == [1, 3]


def test_a_block_is_named_by_its_hash(chain):
    block_hash = chain.transport.call("eth_getBlockByNumber", ["0x7", False])["hash"]
    answered = chain.transport.call("eth_getLogs", [{"blockHash": block_hash}])
    assert [int(entry["data"], 16) for entry in answered] == [1]


def test_an_unknown_hash_and_a_hash_with_a_range_are_refused(chain):
    assert refused(chain, -32000, blockHash=word(0)) == "unknown block"
    refused(chain, -32602, blockHash=word(0), fromBlock="0x0")


def test_a_range_backwards_is_refused(chain):
    refused(chain, -32602, fromBlock="0x8", toBlock="0x7")


def test_as_many_logs_as_the_bound_are_answered_and_one_more_is_refused(chain, monkeypatch):
    monkeypatch.setattr(methods, "MAX_LOGS_PER_ANSWER", 5)
    assert len(logs(chain)) == 5
    monkeypatch.setattr(methods, "MAX_LOGS_PER_ANSWER", 4)
    assert "more than 4 results" in refused(chain, -32005, fromBlock="0x0")


def test_as_much_data_as_the_bound_is_answered_and_more_is_refused(chain, monkeypatch):
    monkeypatch.setattr(methods, "MAX_LOG_BYTES_PER_ANSWER", 160)
    assert len(logs(chain)) == 5
    monkeypatch.setattr(methods, "MAX_LOG_BYTES_PER_ANSWER", 159)
    assert "159 bytes" in refused(chain, -32005, fromBlock="0x0")


def test_a_client_that_halves_reads_everything_from_a_node_that_refuses(ledger, monkeypatch):
    for number in range(12):
        ledger.append([(bytes([number]) * 32, sealed_bytes(number + 1, 60))] * 3)
    monkeypatch.setattr(methods, "MAX_LOGS_PER_ANSWER", 4)
    events = list(ledger.reader.events(0, ledger.reader.latest_block().number))
    assert len(events) == 12 + 2


def test_an_index_is_used_for_one_kind_and_for_entries_and_the_range_otherwise(ledger):
    connection = ledger.chain.storage.reader()
    plans = []
    connection.set_trace_callback(plans.append)
    list(ledger.reader.events_of(LOG_CREATED, 0, 3))
    list(ledger.reader.events(0, 3))
    ledger.reader.entry_event(0, 0, 3)
    connection.set_trace_callback(None)
    queries = [query for query in plans if "FROM log" in query]
    details = [" ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")) for query in queries]
    assert "log_topic0" in details[0]
    assert "INTEGER PRIMARY KEY" in details[1]
    assert "log_topic0" not in details[1]
    assert "log_topic2" in details[2]
