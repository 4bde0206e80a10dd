from itertools import pairwise

import pytest

from tallystick.chain.entries import ENTRIES_AT_ONCE, MAX_RECOVERY_PAGES, EntryWalk
from tallystick.chain.faults import EventsWithheld
from tallystick.chain.scan import METHOD_NOT_FOUND
from tallystick.chain.wire import AnswerTooLarge, MalformedAnswer
from tallystick.errors import ChainRejected
from tests.support.nodes import EventsNode

CONTRACT, LOG = b"\xc0" * 20, b"\x11" * 32
BLOCKS = [3, 4, 4, 4, 9, 40, 41, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 300, 301, 302, 900]
"""Of entries 0 to 24: a log with quiet times, and sixteen entries in one block."""
COUNT = len(BLOCKS)
LAST = 1_000


def node_with(show, blocks=BLOCKS):
    return EventsNode(CONTRACT, LOG, list(blocks), show)


def walk(node, first_entry=0, end_entry=COUNT, from_block=0, to_block=LAST):
    found = EntryWalk(transport=node, contract=CONTRACT, log_id=LOG)
    return [event.entry for event in found.entries(from_block, to_block, first_entry, end_entry)]


def number_of(event):
    return int(event["topics"][2], 16)


def without(*missing):
    return lambda events, first, last: [event for event in events if number_of(event) not in missing]


def test_an_honest_node_is_asked_once_for_each_page():
    node = node_with(lambda events, first, last: events)
    assert walk(node) == list(range(COUNT))
    spans = [(int(query["fromBlock"], 16), int(query["toBlock"], 16)) for query in node.queries]
    assert (spans[0][0], spans[-1][1]) == (0, LAST)
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(spans))


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 15, 16])
def test_a_node_that_cuts_its_answers_short_is_read_in_full(limit):
    node = node_with(lambda events, first, last: events[:limit])
    assert walk(node) == list(range(COUNT))


@pytest.mark.parametrize("limit", [1, 10])
def test_a_node_that_gives_the_end_of_what_it_has_is_read_in_full(limit):
    assert walk(node_with(lambda events, first, last: events[-limit:])) == list(range(COUNT))


@pytest.mark.parametrize("width", [8, 30])
def test_a_node_that_looks_into_so_many_blocks_only_is_read_in_full(width):
    def beginning(events, first, last):
        return [event for event in events if int(event["blockNumber"], 16) < first + width]

    assert walk(node_with(beginning)) == list(range(COUNT))


def test_a_long_log_is_read_from_a_node_that_cuts_at_ten_without_a_question_for_each_entry():
    blocks = list(range(10, 2_010))
    node = node_with(lambda events, first, last: events[:10], blocks)
    assert walk(node, 0, len(blocks), 0, 3_000) == list(range(len(blocks)))
    assert len(node.queries) < len(blocks) / 2


@pytest.mark.parametrize("error", [ChainRejected(-32005, "more than 10 results"), AnswerTooLarge("n", "HTTP 413")])
def test_a_block_that_fits_into_no_answer_is_asked_for_by_its_entries(error):
    def refuse_many(events, first, last):
        if len(events) > ENTRIES_AT_ONCE:
            raise error
        return events

    assert walk(node_with(refuse_many)) == list(range(COUNT))


@pytest.mark.parametrize("missing", [0, 1, 4, 5, 12, 20, 23, 24])
def test_an_entry_that_is_never_shown_is_withheld_by_the_node(missing):
    node = node_with(without(missing))
    with pytest.raises(EventsWithheld, match=f"https://node.example does not show entry {missing},") as caught:
        walk(node)
    assert (caught.value.node, caught.value.what, caught.value.count) == (node.name, f"entry {missing}", 1)


def test_what_stands_before_a_withheld_entry_is_given():
    events = EntryWalk(transport=node_with(without(7)), contract=CONTRACT, log_id=LOG).entries(0, LAST, 0, COUNT)
    assert [next(events).entry for _ in range(7)] == list(range(7))
    with pytest.raises(EventsWithheld):
        next(events)


def test_the_number_of_withheld_entries_is_told():
    with pytest.raises(EventsWithheld, match="entry 22 and 2 more") as caught:
        walk(node_with(without(22, 23, 24)))
    assert caught.value.count == 3


def test_a_node_that_shows_nothing_withholds_everything():
    with pytest.raises(EventsWithheld) as caught:
        walk(node_with(lambda events, first, last: []))
    assert (caught.value.what, caught.value.count) == ("entry 0", COUNT)


def test_a_withheld_entry_costs_a_bounded_number_of_questions_however_long_the_chain_is():
    node = node_with(without(24))
    with pytest.raises(EventsWithheld):
        walk(node, to_block=20_000_000)
    # the walk itself; then eight entries at once, one, and ever narrower ranges
    assert len(node.queries) < 200 + 3 * 153 + 2 * MAX_RECOVERY_PAGES


def test_the_refusal_behind_a_missing_entry_is_kept():
    refusal = AnswerTooLarge("n", "the answer is too long")

    def refuse(events, first, last):
        if len(events) > 1:
            raise refusal
        return [event for event in events if number_of(event) != 12]

    with pytest.raises(EventsWithheld) as caught:
        walk(node_with(refuse))
    assert caught.value.__cause__ is refusal


def test_a_node_without_the_method_says_so_itself():
    def refuse(*_):
        raise ChainRejected(METHOD_NOT_FOUND, "no such method")

    with pytest.raises(ChainRejected, match="no such method"):
        walk(node_with(refuse))


def test_a_node_that_has_no_old_events_says_so_itself():
    def refuse(events, first, last):
        if events:
            raise ChainRejected(-32000, "history is gone")
        return events

    with pytest.raises(ChainRejected, match="history is gone"):
        walk(node_with(refuse))


def test_an_entry_that_the_contract_does_not_count_is_the_nodes_invention():
    with pytest.raises(MalformedAnswer, match="shows entry 24; the contract counts 24"):
        walk(node_with(lambda events, first, last: events), end_entry=24)


def test_an_entry_that_comes_again_is_the_nodes_invention():
    node = node_with(lambda events, first, last: events, [3, 4, 5])
    repeated = EventsNode(CONTRACT, LOG, [3, 4, 5])
    again = repeated.call("eth_getLogs", [{"fromBlock": "0x5", "toBlock": "0x5", "topics": [[], ""]}])
    again[0] |= {"topics": [*again[0]["topics"][:2], "0x" + (1).to_bytes(32, "big").hex()]}
    node.show = lambda events, first, last: [*events[:2], *again] if len(events) == 3 else events
    with pytest.raises(MalformedAnswer, match="shows entry 1 again"):
        walk(node, end_entry=3)


def test_a_walk_may_begin_and_end_within_the_log():
    node = node_with(lambda events, first, last: events[:2])
    assert walk(node, first_entry=5, end_entry=21, from_block=40, to_block=42) == list(range(5, 21))


def test_nothing_is_missing_where_nothing_is_counted():
    assert walk(node_with(lambda events, first, last: events, []), end_entry=0) == []
