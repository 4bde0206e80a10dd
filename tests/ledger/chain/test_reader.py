from functools import partial

import pytest

from tallystick.chain import words
from tallystick.chain.artifact import load_artifact
from tallystick.chain.authorship import TransactionWithheld, signer_of
from tallystick.chain.events import BATCH_APPENDED, BatchAppended, EpochOpened, LogCreated, NumbersVoided, WriterRotated
from tallystick.chain.faults import (
    ChainMoved,
    ContractMissing,
    EventsWithheld,
    LogMissing,
    NodeBehind,
    OtherChain,
    OtherCode,
)
from tallystick.chain.packing import unpack_records
from tallystick.chain.reader import MAX_WRITERS, LedgerReader
from tallystick.chain.reverts import ContractReverted
from tallystick.chain.wire import MalformedAnswer
from tallystick.errors import ChainRejected
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, batch_body, epoch_body, next_head, void_body, writer_body
from tallystick.ids import to_hex
from tallystick.keys import Wallet
from tallystick.merkle import inclusion_path, leaf_hash, tree_root
from tests.support import calldata
from tests.support.chains import KEEPER_KEY, direct_chain
from tests.support.nodes import AlteringNode, ScriptedNode


def sealed_record(number):
    """A fields root and sealed bytes whose header carries this admission number; nobody opens it."""
    return bytes([number]) * 32, b"\x20" + number.to_bytes(8, "big") + bytes(16) + bytes([number]) * 17


RECORDS = [sealed_record(number) for number in range(1, 6)]
SUCCESSOR = Wallet(b"\x07" * 32)
HEADER = {"number": "0x5", "hash": "0x" + "aa" * 32, "timestamp": "0x10"}


def reader_of(**answers):
    node = ScriptedNode({name: partial(lambda value, _: value, value) for name, value in answers.items()})
    return LedgerReader(node, b"\xc0" * 20, b"\x11" * 32)


def all_events(ledger, **options):
    return list(ledger.reader.events(0, ledger.reader.latest_block().number, **options))


def reader_through(ledger, alter_logs):
    """A reader of the log through a node that does something to each answer to a log query."""
    node = AlteringNode(
        ledger.transport, lambda method, _, answer: alter_logs(answer) if method == "eth_getLogs" else answer
    )
    return LedgerReader(node, ledger.contract, ledger.log_id)


def test_a_new_log_is_empty_and_promises_its_terms(ledger):
    state, terms = ledger.reader.log_state(), ledger.reader.log_terms()
    assert (state.writer, state.size, state.batch_count, state.epoch) == (ledger.wallet.address, 0, 0, 1)
    assert (state.entries, state.epoch_open) == (1, True)
    assert (terms.keeper, terms.format, terms.mode) == (ledger.terms.keeper, 2, ledger.terms.mode)
    assert (terms.promise, terms.skew) == (ledger.terms.promise, ledger.terms.skew)
    assert terms.created_at == ledger.reader.block(ledger.reader.creation_block()).timestamp
    assert ledger.reader.creation().terms == ledger.terms


def test_the_code_is_the_artifacts(ledger):
    assert ledger.reader.require_contract() == ledger.reader.code_hash() == load_artifact().code_hash


def test_a_contract_with_other_code_is_named(ledger):
    with pytest.raises(OtherCode, match="0x" + load_artifact().code_hash.hex()) as caught:
        ledger.reader.require_contract(frozenset({bytes(32)}))
    assert (caught.value.found, caught.value.expected) == (load_artifact().code_hash, frozenset({bytes(32)}))


def test_an_address_without_a_contract_is_named():
    with direct_chain() as transport:
        reader = LedgerReader(transport, b"\x01" * 20, bytes(32))
        for ask in (reader.log_state, reader.code_hash, reader.require_contract, reader.log_terms):
            with pytest.raises(ContractMissing, match="0x0101"):
                ask()


def test_every_entry_is_read_back_and_its_parts_give_the_contracts_head(ledger):
    ledger.append(RECORDS[:3])
    ledger.void(4, 9)
    ledger.rotate(SUCCESSOR, 9)
    events = all_events(ledger)
    assert [type(event) for event in events] == [LogCreated, EpochOpened, BatchAppended, NumbersVoided, WriterRotated]
    assert [event.entry for event in events[1:]] == [0, 1, 2, 3]
    _, opened, batch, voided, rotated = events
    records = unpack_records(batch.records)
    assert [(record.fields_root, record.sealed) for record in records] == RECORDS[:3]
    leaves = [leaf_hash(ledger.log_id, n, record.fields_root, record.sealed) for n, record in enumerate(records)]
    assert batch.root == tree_root(leaves) == ledger.reader.batch_at(0).root
    steps = [
        (EntryKind.EPOCH, epoch_body(1, 0, opened.wraps)),
        (EntryKind.BATCH, batch_body(1, 0, 3, batch.root)),
        (EntryKind.VOID, void_body(4, 9)),
        (EntryKind.WRITER, writer_body(rotated.previous, SUCCESSOR.address, 3, 9)),
    ]
    head = ledger.log_id
    for entry, (kind, body) in enumerate(steps):
        head = next_head(head, kind, entry, body)
        assert events[entry + 1].head == head
    assert ledger.reader.log_state().head == head
    assert (voided.first, voided.last) == (4, 9)


def test_the_signer_of_every_entry_is_the_writer_or_the_keeper(ledger):
    writer, keeper = ledger.wallet.address, Wallet(KEEPER_KEY).address
    ledger.append(RECORDS[:3])
    ledger.void(4, 9)
    ledger.rotate(SUCCESSOR, 9)
    head, signers = ledger.log_id, []
    for event in all_events(ledger)[1:]:
        author = signer_of(
            ledger.transport,
            chain_id=ledger.chain_id,
            contract=ledger.contract,
            log_id=ledger.log_id,
            previous_head=head,
            event=event,
        )
        head = event.head
        signers.append(author.signer)
    assert signers == [writer, writer, writer, keeper]


def test_a_transaction_that_is_on_no_chain_could_not_be_checked(ledger):
    event = all_events(ledger)[1]
    elsewhere = {"chain_id": ledger.chain_id, "contract": ledger.contract, "log_id": ledger.log_id}
    with direct_chain() as empty, pytest.raises(TransactionWithheld):
        signer_of(empty, **elsewhere, previous_head=ledger.log_id, event=event)


def test_the_contract_agrees_with_an_inclusion_path_and_not_with_another_leaf(ledger):
    ledger.append(RECORDS)
    leaves = [leaf_hash(ledger.log_id, index, root, sealed) for index, (root, sealed) in enumerate(RECORDS)]
    path = inclusion_path(leaves, 4)

    def verified(leaf):
        asked = {"to": to_hex(ledger.contract), "data": to_hex(calldata.verify(ledger.log_id, 0, 4, leaf, path))}
        return ledger.transport.call("eth_call", [asked, "latest"])

    assert verified(leaves[4]) == to_hex(words.uint(1))
    assert verified(leaves[3]) == to_hex(words.uint(0))


def test_a_batch_is_found_by_one_of_its_records_and_so_is_its_event(ledger):
    for first in range(3):
        ledger.append(RECORDS[first : first + 1])
    ledger.append(RECORDS[3:])
    assert [ledger.reader.batch_of(index) for index in range(5)] == [0, 1, 2, 3, 3]
    info, event = ledger.reader.batch_at(3), ledger.reader.batch_event(3)
    assert (info.first_index, info.count, info.epoch, info.root) == (3, 2, 1, event.root)
    assert (event.batch, event.entry) == (3, 4)
    assert info.time == ledger.reader.block(event.position.block_number).timestamp
    with pytest.raises(ContractReverted, match="UnknownIndex"):
        ledger.reader.batch_of(5)


def test_the_writers_spans_are_read(ledger):
    first = ledger.wallet.address
    ledger.append(RECORDS[:3])
    assert ledger.reader.writer_count() == 1
    ledger.rotate(SUCCESSOR, 9)
    assert ledger.reader.writer_count() == 2
    spans = [ledger.reader.writer_at(number) for number in range(2)]
    assert [(span.writer, span.first_index) for span in spans] == [(first, 0), (SUCCESSOR.address, 3)]
    assert spans[1].first_admission == 10
    assert spans[1].since == ledger.reader.latest_block().timestamp
    with pytest.raises(ContractReverted, match="UnknownSpan"):
        ledger.reader.writer_at(2)


def test_an_old_state_is_read_at_its_block(ledger):
    before = ledger.reader.latest_block().number
    ledger.append(RECORDS)
    assert ledger.reader.log_state(before).size == 0
    assert ledger.reader.log_state().size == 5


def test_an_unknown_batch_is_named(ledger):
    with pytest.raises(ContractReverted) as caught:
        ledger.reader.batch_at(7)
    assert (caught.value.name, caught.value.arguments) == ("UnknownBatch", {"logId": ledger.log_id, "batch": 7})


def test_an_unknown_log_is_named(ledger):
    unknown = LedgerReader(ledger.transport, ledger.contract, b"\xee" * 32)
    for ask in (unknown.log_state, unknown.log_terms, unknown.creation_block, unknown.creation):
        with pytest.raises(LogMissing, match="ee" * 32):
            ask()


@pytest.mark.parametrize("count", [0, MAX_WRITERS + 1, 2**64 - 1])
def test_a_number_of_writers_that_nobody_could_ask_for_is_refused(count):
    with pytest.raises(MalformedAnswer, match=f"is {count}"):
        reader_of(eth_call="0x" + count.to_bytes(32, "big").hex()).writer_count()


# -- where things stand in time


def test_the_creation_block_is_found_without_old_states_and_without_log_queries(ledger):
    for _ in range(3):
        ledger.append(RECORDS[:1])

    def refuse(method, params):
        if method == "eth_call" and params[1] != "latest":
            raise ChainRejected(-32000, "missing trie node")

    ledger.transport.before = refuse
    ledger.transport.calls.clear()
    assert ledger.reader.creation_block() == 2
    assert "eth_getLogs" not in ledger.transport.calls


def test_the_first_block_that_is_not_older_than_a_time_is_found(ledger):
    for number in range(5):
        ledger.append(RECORDS[number : number + 1], at_s=ledger.clock.now_s + 10)
    blocks = [ledger.reader.block(number) for number in range(ledger.reader.latest_block().number + 1)]
    for block in blocks:
        assert ledger.reader.block_at_time(block.timestamp) == block
        assert ledger.reader.block_at_time(block.timestamp, blocks[-1]) == block
    assert ledger.reader.block_at_time(blocks[-1].timestamp - 9) == blocks[-1]
    assert ledger.reader.block_at_time(0) == blocks[0]
    with pytest.raises(NodeBehind):
        ledger.reader.block_at_time(blocks[-1].timestamp + 1)


def test_a_node_says_which_chain_it_serves_and_how_far_it_has_come(ledger):
    tip = ledger.reader.tip()
    assert (tip.chain_id, tip.head) == (ledger.chain_id, ledger.reader.latest_block())
    assert tip.head.age_s(tip.head.timestamp + 7) == 7
    assert tip.head.age_s(tip.head.timestamp - 7) == -7
    ledger.reader.require_chain(ledger.chain_id)
    with pytest.raises(OtherChain) as other:
        ledger.reader.require_chain(1)
    assert (other.value.expected, other.value.found) == (1, ledger.chain_id)
    assert ledger.reader.require_block(tip.head.number) == tip.head
    with pytest.raises(NodeBehind) as behind:
        ledger.reader.require_block(tip.head.number + 1)
    assert (behind.value.expected, behind.value.found) == (tip.head.number + 1, tip.head.number)


def test_a_block_that_is_another_now_is_named():
    reader = reader_of(eth_getBlockByNumber=HEADER)
    block = reader.block(5)
    reader.require_same(block)
    moved = reader_of(eth_getBlockByNumber=HEADER | {"hash": "0x" + "ab" * 32})
    with pytest.raises(ChainMoved) as caught:
        moved.require_same(block)
    assert (caught.value.block_number, caught.value.found) == (5, b"\xab" * 32)


# -- what a node leaves out


def test_a_node_that_cuts_every_answer_to_ten_events_is_read_in_full(ledger):
    for number in range(1, 31):
        ledger.append([sealed_record(number)])
    whole = all_events(ledger)
    reader = reader_through(ledger, lambda events: events[:10])
    assert list(reader.events(0, reader.latest_block().number)) == whole
    assert len(whole) == 32


def test_a_node_that_leaves_an_entry_out_is_named(ledger):
    for number in range(1, 4):
        ledger.append([sealed_record(number)])
    last = ledger.reader.latest_block().number
    hidden = "0x" + (2).to_bytes(32, "big").hex()
    reader = reader_through(ledger, lambda events: [event for event in events if event["topics"][2] != hidden])
    with pytest.raises(EventsWithheld, match=r"https://node\.example does not show entry 2,") as caught:
        list(reader.events(0, last))
    assert (caught.value.node, caught.value.count) == ("https://node.example", 1)
    with pytest.raises(EventsWithheld):
        reader.entry_event(2, 0, last)
    with pytest.raises(EventsWithheld, match="batch 1"):
        reader.batch_event(1)
    assert reader.entry_event(3, 0, last).entry == 3
    assert reader.batch_event(2).entry == 3


def test_a_node_that_leaves_out_the_creation_or_an_epoch_is_named(ledger):
    reader = reader_through(ledger, lambda _: [])
    with pytest.raises(EventsWithheld, match="the log's creation"):
        reader.creation()
    with pytest.raises(EventsWithheld, match="epoch 1"):
        reader.epoch_event(1, 0, reader.latest_block().number)


def test_an_epoch_is_found_by_its_number(ledger):
    ledger.open_epoch(2)
    last = ledger.reader.latest_block().number
    assert [ledger.reader.epoch_event(number, 0, last).entry for number in (1, 2)] == [0, 1]


def test_a_walk_within_the_log_asks_the_contract_where_it_begins(ledger):
    for number in range(1, 4):
        ledger.append([sealed_record(number)])
    last = ledger.reader.latest_block().number
    assert [event.entry for event in ledger.reader.events(last - 1, last)] == [2, 3]
    assert [event.entry for event in ledger.reader.events(last - 1, last - 1)] == [2]
    assert list(ledger.reader.events(last, last - 1)) == []


def test_a_node_without_old_states_walks_where_it_is_told_the_counts(ledger):
    ledger.append(RECORDS)
    last = ledger.reader.latest_block().number

    def refuse(method, params):
        if method == "eth_call" and params[1] != "latest":
            raise ChainRejected(-32000, "missing trie node")

    ledger.transport.before = refuse
    entries = ledger.reader.log_state().entries
    found = ledger.reader.events(ledger.reader.creation_block(), last, first_entry=0, end_entry=entries)
    assert len(list(found)) == 1 + entries
    with pytest.raises(ChainRejected, match="missing trie node"):
        ledger.reader.events(last, last)


def test_the_events_of_one_kind_are_given_as_shown(ledger):
    ledger.append(RECORDS[:1])
    ledger.append(RECORDS[1:])
    found = ledger.reader.events_of(BATCH_APPENDED, 0, ledger.reader.latest_block().number)
    assert [event.batch for event in found] == [0, 1]


# -- what no node should answer


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
