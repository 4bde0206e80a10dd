from itertools import pairwise

import pytest

from tallystick.chain.events import NUMBERS_VOIDED
from tallystick.chain.scan import (
    FIRST_SPAN_BLOCKS,
    FULL_PAGE_BYTES,
    FULL_PAGE_EVENTS,
    MAX_REFUSED_BLOCKS,
    MAX_SPAN_BLOCKS,
    MAX_WAITS,
    PAGES_BEFORE_GROWTH,
    Page,
    Span,
    scan_events,
)
from tallystick.chain.wire import AnswerTooLarge, AnswerTooSlow, RateLimited
from tallystick.errors import ChainRejected, ChainUnavailable
from tests.support.nodes import ScriptedNode

CONTRACT, LOG = b"\xc0" * 20, b"\x11" * 32
LAST = 5000


def entry_at(block, log_index=0):
    """An entry whose number is that of its block."""
    return {
        "address": "0x" + CONTRACT.hex(),
        "topics": ["0x" + NUMBERS_VOIDED.hex(), "0x" + LOG.hex(), "0x" + block.to_bytes(32, "big").hex()],
        "data": "0x" + ((1).to_bytes(32, "big") + (2).to_bytes(32, "big") + bytes(32)).hex(),
        "blockNumber": hex(block),
        "blockHash": "0x" + "bb" * 32,
        "transactionHash": "0x" + "cc" * 32,
        "logIndex": hex(log_index),
    }


def node_with(blocks, refuse=lambda first, last: None):
    def get_logs(params):
        first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
        if (error := refuse(first, last)) is not None:
            raise error
        return [entry_at(block) for block in blocks if first <= block <= last]

    return ScriptedNode({"eth_getLogs": get_logs})


def scan(node, first=0, last=LAST, on_page=None):
    found = scan_events(node, contract=CONTRACT, log_id=LOG, from_block=first, to_block=last, on_page=on_page)
    return [event.entry for event in found]


def spans(node):
    return [int(p[0]["toBlock"], 16) - int(p[0]["fromBlock"], 16) + 1 for p in node.asked("eth_getLogs")]


def test_events_come_in_order_and_the_query_names_contract_and_log():
    node = node_with([0, 7, 1024, 5000])
    assert scan(node) == [0, 7, 1024, 5000]
    query = node.asked("eth_getLogs")[0][0]
    assert query["address"] == "0x" + CONTRACT.hex()
    assert query["topics"][1] == "0x" + LOG.hex()


def test_the_pages_cover_every_block_once():
    pages = []
    scan(node_with([3, 4, 2000]), on_page=pages.append)
    assert pages[0].from_block == 0
    assert pages[-1].to_block == LAST
    assert all(later.from_block == earlier.to_block + 1 for earlier, later in pairwise(pages))
    assert sum(page.event_count for page in pages) == 3


def test_nothing_is_asked_about_an_empty_range():
    node = node_with([])
    assert scan(node, 5, 4) == []
    assert node.calls == []


@pytest.mark.parametrize("limit", [1, 2, 100, 500])
@pytest.mark.parametrize("error", [ChainRejected(-32005, "more than 10000 results"), AnswerTooLarge("n", "HTTP 413")])
def test_a_node_that_bounds_the_range_is_read_in_full(limit, error):
    node = node_with([0, 1, 50, 300, 999], lambda first, last: error if last - first + 1 > limit else None)
    assert scan(node, last=999) == [0, 1, 50, 300, 999]
    assert len(node.calls) <= 3 * 1000 / limit + 20


@pytest.mark.parametrize("error", [AnswerTooSlow("n", "slow"), RateLimited("n", "rate limited")])
def test_a_narrower_page_is_tried_where_a_wide_one_took_too_long(error):
    node = node_with([3, 9], lambda first, last: error if last - first + 1 > FIRST_SPAN_BLOCKS // 4 else None)
    assert scan(node, last=30) == [3, 9]


@pytest.mark.parametrize("error", [AnswerTooSlow("n", "slow"), RateLimited("n", "rate limited")])
def test_a_node_that_goes_on_being_too_slow_is_given_up(error):
    node = node_with([], lambda first, last: error)
    with pytest.raises(type(error)):
        scan(node)
    assert len(node.calls) == MAX_WAITS


@pytest.mark.parametrize("error", [ChainRejected(-32005, "more than 10 results"), AnswerTooLarge("n", "long")])
def test_a_single_block_that_is_refused_is_told_of_and_left_out(error):
    told = []
    node = node_with([3, 9, 20], lambda first, last: error if first <= 9 <= last else None)
    found = scan_events(
        node,
        contract=CONTRACT,
        log_id=LOG,
        from_block=0,
        to_block=30,
        on_refused=lambda block, refusal: told.append((block, refusal)),
    )
    assert [event.entry for event in found] == [3, 20]
    assert told == [(9, error)]


def test_only_so_many_single_blocks_may_be_refused():
    told = []
    node = node_with([], lambda first, last: ChainRejected(-32000, "history is gone"))
    with pytest.raises(ChainRejected, match="history is gone"):
        list(
            scan_events(
                node,
                contract=CONTRACT,
                log_id=LOG,
                from_block=0,
                to_block=LAST,
                on_refused=lambda block, refusal: told.append(block),
            )
        )
    assert told == list(range(MAX_REFUSED_BLOCKS))


def test_kinds_and_entries_are_asked_for_by_their_topics():
    node = node_with([])
    list(
        scan_events(
            node, contract=CONTRACT, log_id=LOG, from_block=0, to_block=0, kinds=[NUMBERS_VOIDED], entries=[7, 258]
        )
    )
    (((query,)),) = node.asked("eth_getLogs")
    assert query["topics"] == [
        ["0x" + NUMBERS_VOIDED.hex()],
        "0x" + LOG.hex(),
        ["0x" + number.to_bytes(32, "big").hex() for number in (7, 258)],
    ]


def test_a_node_that_bounds_results_is_read_in_full():
    crowded = range(100, 400)

    def too_many(first, last):
        inside = sum(first <= block <= last for block in crowded)
        return ChainRejected(-32602, "query exceeds max results 20") if inside > 20 else None

    assert scan(node_with(list(crowded), too_many), last=1000) == list(crowded)


def test_after_a_refusal_the_span_grows_back():
    refusals = [ChainRejected(-32005, "busy")] * 4
    node = node_with([], lambda first, last: refusals.pop() if refusals else None)
    scan(node, last=20_000)
    assert min(spans(node)) == 1
    assert spans(node)[-2] >= FIRST_SPAN_BLOCKS


def test_a_refusal_of_a_single_block_is_the_nodes_last_word():
    node = node_with([], lambda first, last: ChainRejected(-32000, "missing trie node"))
    with pytest.raises(ChainRejected, match="missing trie node"):
        scan(node)
    assert spans(node)[-1] == 1


def test_a_node_without_the_method_is_asked_once():
    node = ScriptedNode()
    with pytest.raises(ChainRejected, match="does not exist"):
        scan(node)
    assert len(node.calls) == 1


def test_an_unavailable_node_is_not_asked_for_less():
    def unreachable(_):
        raise ChainUnavailable("node", "refused")

    node = ScriptedNode({"eth_getLogs": unreachable})
    with pytest.raises(ChainUnavailable):
        scan(node)
    assert len(node.calls) == 1


def test_the_span_stays_within_its_bounds():
    span = Span(blocks=MAX_SPAN_BLOCKS)
    span.answered(0)
    assert span.blocks == MAX_SPAN_BLOCKS
    span = Span(blocks=1)
    span.refused()
    assert span.blocks == 1


def test_a_page_grows_unless_twice_its_events_are_too_many():
    span = Span()
    span.answered(FULL_PAGE_EVENTS // 2 + 1)
    assert span.blocks == FIRST_SPAN_BLOCKS
    span.answered(FULL_PAGE_EVENTS // 2)
    assert span.blocks == 2 * FIRST_SPAN_BLOCKS


def test_a_page_that_was_too_full_halves_the_span():
    span = Span()
    span.answered(FULL_PAGE_EVENTS)
    assert span.blocks == FIRST_SPAN_BLOCKS
    span.answered(FULL_PAGE_EVENTS + 1)
    assert span.blocks == FIRST_SPAN_BLOCKS // 2
    span = Span(blocks=1)
    span.answered(FULL_PAGE_EVENTS + 1)
    assert span.blocks == 1


def test_a_page_full_of_bytes_counts_as_one_full_of_events():
    span = Span()
    span.answered(1, FULL_PAGE_BYTES // 2 + 1)
    assert span.blocks == FIRST_SPAN_BLOCKS
    span.answered(1, FULL_PAGE_BYTES // 2)
    assert span.blocks == 2 * FIRST_SPAN_BLOCKS
    span.answered(1, FULL_PAGE_BYTES + 1)
    assert span.blocks == FIRST_SPAN_BLOCKS


def test_a_span_never_grows_beyond_what_it_may():
    span = Span(blocks=3, most=4)
    span.answered(0)
    assert span.blocks == 4


def test_a_refusal_calms_the_growth_for_some_pages():
    span = Span()
    span.refused()
    for _ in range(PAGES_BEFORE_GROWTH - 1):
        span.answered(0)
    assert span.blocks == FIRST_SPAN_BLOCKS // 2
    span.answered(0)
    assert span.blocks == FIRST_SPAN_BLOCKS


def test_a_page_is_a_value():
    assert Page(from_block=0, to_block=1, event_count=2) == Page(from_block=0, to_block=1, event_count=2)
