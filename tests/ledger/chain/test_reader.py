from functools import partial

import pytest

from tallystick.chain import (
    BatchAppended,
    ContractMissing,
    ContractReverted,
    EpochOpened,
    LedgerReader,
    LogCreated,
    LogMissing,
    MalformedAnswer,
    RecordAppended,
    load_artifact,
)
from tallystick.chain.rpc import AnswerTooLarge
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.merkle import inclusion_path, leaf_hash, next_head, tree_root
from tests.support.chains import direct_chain
from tests.support.nodes import ScriptedNode

RECORDS = [(bytes([n]) * 32, b"sealed-%d" % n) for n in range(1, 6)]
HEADER = {"number": "0x5", "hash": "0x" + "aa" * 32, "timestamp": "0x10"}


def reader_of(**answers):
    node = ScriptedNode({name: partial(lambda value, _: value, value) for name, value in answers.items()})
    return LedgerReader(node, b"\xc0" * 20, b"\x11" * 32)


def test_a_new_log_is_empty_and_its_head_is_its_id(ledger):
    state = ledger.reader.log_state()
    assert (state.writer, state.size, state.batch_count, state.epoch) == (ledger.wallet.address, 0, 0, 1)
    assert state.head == ledger.log_id
    assert state.pending_writer is None


def test_the_code_is_the_artifacts(ledger):
    assert ledger.reader.code_hash() == load_artifact().code_hash


def test_what_was_appended_is_read_back_and_its_leaves_give_the_contracts_root_and_head(ledger):
    ledger.append(RECORDS[:3])
    ledger.append(RECORDS[3:])
    events = list(ledger.reader.events(0, ledger.reader.latest_block().number))
    records = [event for event in events if isinstance(event, RecordAppended)]
    batches = [event for event in events if isinstance(event, BatchAppended)]
    assert [(record.index, record.fields_root, record.sealed) for record in records] == [
        (index, *record) for index, record in enumerate(RECORDS)
    ]
    assert [type(event) for event in events[:2]] == [LogCreated, EpochOpened]
    head = ledger.log_id
    for batch in batches:
        leaves = [
            leaf_hash(ledger.log_id, record.index, record.fields_root, record.sealed)
            for record in records[batch.first_index : batch.first_index + batch.count]
        ]
        assert batch.root == tree_root(leaves) == ledger.reader.batch(batch.batch).root
        head = next_head(head, batch.root, batch.first_index, batch.count)
        assert batch.head == head
    assert ledger.reader.log_state().head == head


def test_the_contract_agrees_with_an_inclusion_path_and_not_with_another_leaf(ledger):
    ledger.append(RECORDS)
    leaves = [leaf_hash(ledger.log_id, index, root, sealed) for index, (root, sealed) in enumerate(RECORDS)]
    path = inclusion_path(leaves, 4)
    assert ledger.reader.verify_inclusion(0, 4, leaves[4], path) is True
    assert ledger.reader.verify_inclusion(0, 4, leaves[3], path) is False


def test_an_old_state_is_read_at_its_block(ledger):
    before = ledger.reader.latest_block().number
    ledger.append(RECORDS)
    assert ledger.reader.log_state(before).size == 0
    assert ledger.reader.log_state().size == 5


def test_an_unknown_batch_is_named(ledger):
    with pytest.raises(ContractReverted) as caught:
        ledger.reader.batch(7)
    assert (caught.value.name, caught.value.arguments) == ("UnknownBatch", {"logId": ledger.log_id, "batch": 7})


def test_an_unknown_log_is_named(ledger):
    with pytest.raises(LogMissing, match="ee" * 32):
        LedgerReader(ledger.transport, ledger.contract, b"\xee" * 32).log_state()


def test_an_address_without_a_contract_is_named():
    with direct_chain() as transport:
        reader = LedgerReader(transport, b"\x01" * 20, bytes(32))
        for ask in (reader.log_state, reader.code_hash):
            with pytest.raises(ContractMissing, match="0x0101"):
                ask()


def test_the_creation_block_is_found_by_one_query(ledger):
    ledger.transport.calls.clear()
    assert ledger.reader.creation_block() == 2
    assert ledger.transport.calls.count("eth_getLogs") == 1


@pytest.mark.parametrize("error", [ChainRejected(-32005, "range too wide"), AnswerTooLarge("node", "long")])
def test_the_creation_block_is_found_where_wide_queries_are_refused(ledger, error):
    for _ in range(3):
        ledger.append(RECORDS[:1])

    def refuse_wide(method, params):
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) > int(params[0]["fromBlock"], 16):
            raise error

    ledger.transport.before = refuse_wide
    assert ledger.reader.creation_block() == 2


def test_the_creation_block_is_found_where_old_states_are_gone_too(ledger):
    for _ in range(3):
        ledger.append(RECORDS[:1])

    def refuse(method, params):
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 1:
            raise ChainRejected(-32005, "range too wide")
        if method == "eth_call" and params[1] != "latest":
            raise ChainRejected(-32000, "missing trie node")

    ledger.transport.before = refuse
    assert ledger.reader.creation_block() == 2


def test_the_creation_block_of_an_unknown_log_is_an_error(ledger):
    with pytest.raises(LogMissing):
        LedgerReader(ledger.transport, ledger.contract, b"\xee" * 32).creation_block()


def test_a_block_is_read_by_number(ledger):
    latest = ledger.reader.latest_block()
    assert ledger.reader.block(latest.number) == latest
    assert ledger.reader.block(0).timestamp < latest.timestamp


def test_a_block_that_does_not_exist_is_refused(ledger):
    with pytest.raises(ChainRejected, match="no block 99"):
        ledger.reader.block(99)


def test_another_block_than_asked_for_is_malformed():
    with pytest.raises(MalformedAnswer, match="not 4"):
        reader_of(eth_getBlockByNumber=HEADER).block(4)


@pytest.mark.parametrize("change", [{"number": None}, {"hash": "0x00"}, {"timestamp": "5"}])
def test_a_malformed_header_is_refused(change):
    with pytest.raises(MalformedAnswer):
        reader_of(eth_getBlockByNumber=HEADER | change).latest_block()


@pytest.mark.parametrize("code", [None, 5, "0x0", "0x" + "00" * 50_000])
def test_a_code_that_no_contract_can_have_is_refused(code):
    with pytest.raises(MalformedAnswer):
        reader_of(eth_getCode=code).code_hash()


def test_the_code_hash_is_of_what_the_node_shows():
    assert reader_of(eth_getCode="0x6001").code_hash() == keccak256(b"\x60\x01")


@pytest.mark.parametrize("answer", [None, "0x00", "0x" + "00" * 5000])
def test_a_call_that_returns_something_else_is_malformed(answer):
    with pytest.raises(MalformedAnswer):
        reader_of(eth_call=answer).log_state()


@pytest.mark.parametrize("count", [0, 2])
def test_a_log_that_was_not_created_exactly_once_is_malformed(ledger, count):
    real = ledger.transport.call("eth_getLogs", [{"fromBlock": "0x2", "toBlock": "0x2"}])
    node = ScriptedNode(
        {
            "eth_call": lambda params: ledger.transport.call("eth_call", params),
            "eth_getBlockByNumber": lambda params: ledger.transport.call("eth_getBlockByNumber", params),
            "eth_getLogs": lambda _: [real[0] | {"logIndex": hex(n)} for n in range(count)],
        }
    )
    with pytest.raises(MalformedAnswer):
        LedgerReader(node, ledger.contract, ledger.log_id).creation_block()


def test_a_creation_that_the_node_shows_nowhere_is_malformed(ledger):
    def get_logs(params):
        if isinstance(params[0]["topics"][0], str):
            raise ChainRejected(-32005, "range too wide")
        return []

    def call(params):
        if params[1] != "latest":
            raise ChainRejected(-32000, "missing trie node")
        return ledger.transport.call("eth_call", params)

    def get_block(params):
        return ledger.transport.call("eth_getBlockByNumber", params)

    node = ScriptedNode({"eth_call": call, "eth_getBlockByNumber": get_block, "eth_getLogs": get_logs})
    with pytest.raises(MalformedAnswer, match="no creation"):
        LedgerReader(node, ledger.contract, ledger.log_id).creation_block()
