"""Walking the chain in pages of blocks, as wide as the node allows.

Nodes bound a log query by blocks, by results, by bytes or by time, each with its own words. So any refusal of a range of more
than one block halves the range; after some pages that went well it grows back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.chain import words
from tallystick.chain.events import EVENT_TOPICS, BatchAppended, EpochOpened, LedgerEvent, decode_events
from tallystick.chain.rpc import Transport
from tallystick.chain.wire import AnswerTooLarge, AnswerTooSlow, RateLimited
from tallystick.errors import ChainError, ChainRejected
from tallystick.ids import Address, LogId, to_hex

FIRST_SPAN_BLOCKS: Final = 16
"""Blocks full of batches make large pages, so a walk starts narrow; over an empty chain thirteen pages later it is as wide as it gets."""
MAX_SPAN_BLOCKS: Final = 1 << 17
PAGES_BEFORE_GROWTH: Final = 8
"""After a refusal, so many pages must go well before a wider one is tried: otherwise every second question is refused."""
FULL_PAGE_EVENTS: Final = 2_000
FULL_PAGE_BYTES: Final = 3 << 20
"""Pages are kept below these: a larger one would only move the wait into one answer, and its memory into one list. In hex, inside an
answer, the bytes are twice as many."""
MAX_WAITS: Final = 4
"""So many pages in a row may be too slow, or refused because the node is asked too often; then it is given up. A narrower page may
help, and each such wait is as long as a call's deadline."""
MAX_REFUSED_BLOCKS: Final = 64
"""So many single blocks may be left to be asked for otherwise."""
METHOD_NOT_FOUND: Final = -32601


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Progress of a walk: these blocks were read, and held so many events."""

    from_block: int
    to_block: int
    event_count: int


@dataclass(slots=True, kw_only=True)
class Span:
    """How many blocks to ask for at a time, at most `most`."""

    blocks: int = FIRST_SPAN_BLOCKS
    most: int = MAX_SPAN_BLOCKS
    calm_pages: int = PAGES_BEFORE_GROWTH

    def refused(self) -> None:
        """Halve, and be careful for a while."""
        self.blocks = max(1, self.blocks // 2)
        self.calm_pages = 0

    def answered(self, event_count: int, data_bytes: int = 0) -> None:
        """Double, once enough pages went well, if a page of twice these events is not too full; halve after one that was."""
        self.calm_pages += 1
        fullness = max(event_count / FULL_PAGE_EVENTS, data_bytes / FULL_PAGE_BYTES)
        if fullness > 1:
            self.blocks = max(1, self.blocks // 2)
        elif self.calm_pages >= PAGES_BEFORE_GROWTH and 2 * fullness <= 1:
            self.blocks = min(self.most, self.blocks * 2)


def scan_events(
    transport: Transport,
    *,
    contract: Address,
    log_id: LogId,
    from_block: int,
    to_block: int,
    kinds: Sequence[bytes] = (),
    entries: Sequence[int] = (),
    span: Span | None = None,
    on_page: Callable[[Page], None] | None = None,
    on_refused: Callable[[int, ChainError], None] | None = None,
) -> Iterator[LedgerEvent]:
    """Yield a log's events of these blocks in chain order, as the node shows them, one page in memory at a time.

    `kinds` leaves out all but these, by their first topic, and `entries` all but those of these numbers. `on_refused` is told of a
    block of which the node refuses the events, and the walk goes on without it.
    Raises: ChainRejected, AnswerTooLarge when the node refuses a single block and nobody is told; MalformedAnswer, ChainUnavailable.
    """
    span = span or Span()
    topics: list[object] = [list(EVENT_TOPICS) if not kinds else list(map(to_hex, kinds)), to_hex(log_id)]
    if entries:
        topics.append([to_hex(words.uint(entry)) for entry in entries])
    start, waits, refused_blocks = from_block, 0, 0
    while start <= to_block:
        end = min(to_block, start + span.blocks - 1)
        try:
            answer = transport.call("eth_getLogs", [log_query(contract, start, end, topics)])
        except (ChainRejected, AnswerTooLarge, AnswerTooSlow, RateLimited) as error:
            waits += isinstance(error, AnswerTooSlow | RateLimited)
            if waits == MAX_WAITS or (isinstance(error, ChainRejected) and error.code == METHOD_NOT_FOUND):
                raise
            if start < end:
                span.blocks = end - start + 1
                span.refused()
                continue
            refused_blocks += 1
            if (
                on_refused is None
                or refused_blocks > MAX_REFUSED_BLOCKS
                or isinstance(error, AnswerTooSlow | RateLimited)
            ):
                raise
            on_refused(start, error)
            start += 1
            continue
        waits = 0
        events = decode_events(answer, contract=contract, log_id=log_id, from_block=start, to_block=end)
        del answer  # the page's text is larger than its events; do not hold both while the caller works
        event_count, data_bytes = len(events), sum(map(_data_bytes, events))
        yield from events
        del events  # nor the page that is done while the next one is read
        if on_page is not None:
            on_page(Page(from_block=start, to_block=end, event_count=event_count))
        span.answered(event_count, data_bytes)
        start = end + 1


def log_query(contract: Address, from_block: int, to_block: int, topics: list[object]) -> dict[str, object]:
    """Write the filter of a log query."""
    return {"address": to_hex(contract), "fromBlock": hex(from_block), "toBlock": hex(to_block), "topics": topics}


def _data_bytes(event: LedgerEvent) -> int:
    if isinstance(event, BatchAppended):
        return len(event.records)
    return len(event.wraps) if isinstance(event, EpochOpened) else 0
