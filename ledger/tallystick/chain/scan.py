"""Walking the chain in pages of blocks, as wide as the node allows.

Nodes bound a log query by blocks, by results, by bytes or by time, each with its own words. So any refusal of a range of more
than one block halves the range; after some pages that went well it grows back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.events import EVENT_TOPICS, LedgerEvent, decode_events
from tallystick.chain.rpc import AnswerTooLarge, AnswerTooSlow, Transport
from tallystick.errors import ChainRejected
from tallystick.ids import Address, LogId, to_hex

FIRST_SPAN_BLOCKS: Final = 32
"""Blocks full of batches make large pages, so a walk starts narrow; over an empty chain twelve pages later it is as wide as it gets."""
MAX_SPAN_BLOCKS: Final = 1 << 17
PAGES_BEFORE_GROWTH: Final = 8
"""After a refusal, so many pages must go well before a wider one is tried: otherwise every second question is refused."""
FULL_PAGE_EVENTS: Final = 2_000
"""Pages are kept below this many events: a larger one would only move the wait into one answer, and its memory into one list."""
METHOD_NOT_FOUND: Final = -32601


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Progress of a walk: these blocks were read, and held so many events."""

    from_block: int
    to_block: int
    event_count: int


@dataclass(slots=True, kw_only=True)
class Span:
    """How many blocks to ask for at a time."""

    blocks: int = FIRST_SPAN_BLOCKS
    calm_pages: int = PAGES_BEFORE_GROWTH

    def refused(self) -> None:
        """Halve, and be careful for a while."""
        self.blocks = max(1, self.blocks // 2)
        self.calm_pages = 0

    def answered(self, event_count: int) -> None:
        """Double, once enough pages went well, if a page of twice these events is not too full; halve after one that was."""
        self.calm_pages += 1
        if event_count > FULL_PAGE_EVENTS:
            self.blocks = max(1, self.blocks // 2)
        elif self.calm_pages >= PAGES_BEFORE_GROWTH and 2 * event_count <= FULL_PAGE_EVENTS:
            self.blocks = min(MAX_SPAN_BLOCKS, self.blocks * 2)


def scan_events(
    transport: Transport,
    *,
    contract: Address,
    log_id: LogId,
    from_block: int,
    to_block: int,
    on_page: Callable[[Page], None] | None = None,
    event: bytes | None = None,
    number: int | None = None,
) -> Iterator[LedgerEvent]:
    """Yield a log's events of these blocks in chain order, one page in memory at a time.

    `event` leaves out all but one kind, by its first topic, and `number` all but those of one index, batch or epoch.
    Raises: ChainRejected when the node refuses a single block, MalformedAnswer, ChainUnavailable.
    """
    span = Span()
    start = from_block
    topics: list[object] = [list(EVENT_TOPICS) if event is None else to_hex(event), to_hex(log_id)]
    if number is not None:
        topics.append(to_hex(words.uint(number)))
    while start <= to_block:
        end = min(to_block, start + span.blocks - 1)
        query = log_query(contract, start, end, topics)
        try:
            answer = transport.call("eth_getLogs", [query])
        except (ChainRejected, AnswerTooLarge, AnswerTooSlow) as error:
            if end == start or (isinstance(error, ChainRejected) and error.code == METHOD_NOT_FOUND):
                raise
            span.blocks = end - start + 1
            span.refused()
            continue
        events = decode_events(answer, contract=contract, log_id=log_id, from_block=start, to_block=end)
        del answer  # the page's text is larger than its events; do not hold both while the caller works
        event_count = len(events)
        yield from events
        del events  # nor the page that is done while the next one is read
        if on_page is not None:
            on_page(Page(from_block=start, to_block=end, event_count=event_count))
        span.answered(event_count)
        start = end + 1


def log_query(contract: Address, from_block: int, to_block: int, topics: list[object]) -> dict[str, object]:
    """Write the filter of a log query."""
    return {"address": to_hex(contract), "fromBlock": hex(from_block), "toBlock": hex(to_block), "topics": topics}
