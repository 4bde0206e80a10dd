"""A log's events with nothing missing: what a node leaves out of an answer is asked for again before anybody is told.

Entries are numbered from 0, and the contract counts them. A node that cuts its answers short without saying so, as some do at ten
thousand results, shows a gap in the numbers, or ends below the count. The missing entries are then asked for by their numbers, over ever
fewer blocks; the pages that follow become narrower too. What is never shown is withheld: that is the node's doing, and the writer's word
stands neither proven nor broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tallystick.chain.events import LedgerEntry, LedgerEvent, LogCreated
from tallystick.chain.faults import EventsWithheld
from tallystick.chain.rpc import Transport, node_name
from tallystick.chain.scan import MAX_SPAN_BLOCKS, Page, Span, scan_events
from tallystick.chain.wire import AnswerTooLarge, MalformedAnswer
from tallystick.errors import ChainError, ChainRejected
from tallystick.ids import Address, LogId

ENTRIES_AT_ONCE: Final = 8
"""How many missing entries one question asks for: fewer than any node's limit of results."""
MAX_RECOVERY_PAGES: Final = 256
"""A missing entry is looked for in as many ranges as this, and no narrower ones."""

CREATION: Final = "the log's creation"


@dataclass(slots=True, kw_only=True)
class EntryWalk:
    """One walk over the entries of a log, in the memory of one page of events."""

    transport: Transport
    contract: Address
    log_id: LogId
    on_page: Callable[[Page], None] | None = None
    _span: Span = field(default_factory=Span)
    _refusal: ChainError | None = None

    def entries(self, from_block: int, to_block: int, first_entry: int, end_entry: int) -> Iterator[LedgerEvent]:
        """Yield the events of these blocks in chain order: the creation if it is shown, and the entries from `first_entry` up to
        and without `end_entry`, each once.

        Raises: EventsWithheld for one that stays out; MalformedAnswer for one that comes again, or that the contract does not count;
        ChainError.
        """
        expected, since = first_entry, from_block
        for event in scan_events(
            self.transport,
            contract=self.contract,
            log_id=self.log_id,
            from_block=from_block,
            to_block=to_block,
            span=self._span,
            on_page=self.on_page,
            on_refused=self._note_refusal,
        ):
            if not isinstance(event, LogCreated):
                if event.entry >= end_entry:
                    raise MalformedAnswer("eth_getLogs", f"shows entry {event.entry}; the contract counts {end_entry}")
                if event.entry < expected:
                    raise MalformedAnswer("eth_getLogs", f"shows entry {event.entry} again, or too late")
                if event.entry > expected:
                    self._span.refused()
                    yield from self.recover(expected, event.entry, since, event.position.block_number)
                expected, since = event.entry + 1, event.position.block_number
            yield event
        if expected < end_entry:
            yield from self.recover(expected, end_entry, since, to_block)

    def recover(self, first: int, end: int, from_block: int, to_block: int) -> Iterator[LedgerEntry]:
        """Yield the entries from `first` up to and without `end`, asked for by their numbers.

        Raises: EventsWithheld; ChainError.
        """
        entry, at_once, width = first, ENTRIES_AT_ONCE, min(MAX_SPAN_BLOCKS, max(1, to_block - from_block + 1))
        while entry < end:
            try:
                found = self._ask_for(entry, min(end, entry + at_once), from_block, to_block, width)
            except (ChainRejected, AnswerTooLarge):
                if at_once == 1:
                    raise  # the node's own word for why it does not show this one
                found = []
            yield from found
            if found:
                entry += len(found)
                from_block = found[-1].position.block_number
                continue
            pages = -(-(to_block - from_block + 1) // max(1, width // 2))
            if at_once == 1 and (width == 1 or pages > MAX_RECOVERY_PAGES):
                raise EventsWithheld(node_name(self.transport), f"entry {entry}", end - entry) from self._refusal
            at_once, width = 1, width if at_once > 1 else width // 2

    def _ask_for(self, first: int, end: int, from_block: int, to_block: int, width: int) -> list[LedgerEntry]:
        """The entries from `first` on without a gap, as many of them as the node shows."""
        found: list[LedgerEntry] = []
        for event in scan_events(
            self.transport,
            contract=self.contract,
            log_id=self.log_id,
            from_block=from_block,
            to_block=to_block,
            entries=range(first, end),
            span=Span(blocks=width, most=width),
        ):
            if isinstance(event, LogCreated) or event.entry < first + len(found):
                continue  # not asked for
            if event.entry > first + len(found):
                break
            found.append(event)
            if len(found) == end - first:
                break
        return found

    def _note_refusal(self, _: int, refusal: ChainError) -> None:
        """A block whose events do not fit into one answer: they are missing now, and asked for by number."""
        self._refusal = refusal
