"""The log as the API shows it: what it says of the chain never lags behind what it says of the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tallystick.errors import ChainUnavailable
from tallystick.ids import Head
from tallystick.receipts.messages import HeadStatement
from tallystick.receipts.signed import SignedHead
from tallystick_platform.api.ledger_desk import LOOK_AGAIN_NS, LedgerDesk
from tallystick_platform.settings import Settings
from tests.support.clocks import FixedClock
from tests.support.exchange import LOCATION, WRITER

HEADS = [Head(bytes([number]) * 32) for number in range(8)]


class Chain:
    """A chain that counts how often it is looked at. What it says of the log is what a test sets."""

    def __init__(self) -> None:
        self.size = self.entries = 0
        self.head = HEADS[0]
        self.looks = 0
        self.up = True

    def log_state(self) -> SimpleNamespace:
        self.looks += 1
        if not self.up:
            raise ChainUnavailable("http://chain", "no answer")
        return SimpleNamespace(size=self.size, entries=self.entries, head=self.head, epoch=0)

    def latest_block(self) -> SimpleNamespace:
        return SimpleNamespace(number=self.size)


class FakeBatches:
    """A journal's side of the log: one epoch, then batches of ten records; the first `final` entries are final."""

    def __init__(self) -> None:
        self.anchored_size = 0
        self.entries = self.final = 0

    def standing(self, *, final: bool) -> SimpleNamespace:
        entries = self.final if final else self.entries
        return SimpleNamespace(entries=entries, size=_size(entries), head=HEADS[entries])


def _size(entries: int) -> int:
    return 10 * max(0, entries - 1)


class Desk:
    """A desk over a chain and a journal whose sizes the test sets."""

    def __init__(self) -> None:
        self.chain, self.clock = Chain(), FixedClock()
        self.batches = FakeBatches()
        self.journal_size = 0
        status = lambda: SimpleNamespace(  # noqa: E731
            unanchored_records=self.journal_size - self.batches.anchored_size, lag_ms=0, error=None
        )
        stand_ins = cast(Any, SimpleNamespace(status=status))
        self.desk = LedgerDesk(
            settings=Settings(),
            rpc_url="http://chain",
            reader=cast(Any, self.chain),
            location=LOCATION,
            wallet=WRITER,
            stored=cast(Any, self.batches),
            anchoring=stand_ins,
            epoch_keys=cast(Any, None),
            journal_size=lambda: self.journal_size,
            clock=self.clock,
        )

    def view(self) -> Any:
        return asyncio.run(self.desk.view())

    def signed(self, *, entries: int, final: int, shown: int, head: Head | None = None) -> HeadStatement | None:
        """What is signed while the chain shows so many of this journal's entries."""
        self.batches.entries, self.batches.final = entries, final
        self.chain.entries, self.chain.size, self.chain.head = shown, _size(shown), head or HEADS[shown]
        found = self.view().signed_head
        return None if found is None else SignedHead.from_json(msgspec.to_builtins(found)).head


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.desk.close()


def test_a_view_with_nothing_waiting_shows_every_record_on_the_chain(desk: Desk) -> None:
    assert desk.view().size == 0
    desk.journal_size = desk.chain.size = desk.batches.anchored_size = 397  # anchored within the second
    view = desk.view()
    assert (view.journal_depth, view.size, view.journal_size) == (0, 397, 397)


def test_the_chain_is_looked_at_once_a_second_while_nothing_is_anchored(desk: Desk) -> None:
    for _ in range(5):
        desk.view()
    assert desk.chain.looks == 1
    desk.clock.advance(LOOK_AGAIN_NS / 1e9)
    desk.view()
    assert desk.chain.looks == 2


def test_a_chain_that_does_not_answer_is_asked_once_a_second_whatever_was_anchored(desk: Desk) -> None:
    desk.chain.up = False
    desk.journal_size = desk.batches.anchored_size = 5
    assert [desk.view().size for _ in range(5)] == [None] * 5
    assert desk.chain.looks == 1


def test_the_terms_are_shown_by_name(desk: Desk) -> None:
    terms = desk.view().terms
    assert (terms.mode, terms.promise, terms.skew, terms.format) == ("append", 3_600, 300, 2)


def test_the_final_entries_are_signed_with_the_size_after_them(desk: Desk) -> None:
    statement = desk.signed(entries=3, final=3, shown=3)
    assert (statement.entries, statement.size, statement.head) == (3, 20, HEADS[3])
    assert (statement.log_id, statement.time) == (LOCATION.log_id, desk.clock.now_us() // 1_000_000)


def test_what_may_still_come_back_otherwise_is_not_signed(desk: Desk) -> None:
    statement = desk.signed(entries=4, final=2, shown=4)
    assert (statement.entries, statement.size, statement.head) == (2, 10, HEADS[2])


def test_a_log_without_a_final_entry_has_no_signed_head(desk: Desk) -> None:
    assert desk.signed(entries=2, final=0, shown=2) is None


def test_a_chain_that_shows_another_head_gets_no_signature(desk: Desk) -> None:
    assert desk.signed(entries=3, final=3, shown=3, head=Head(b"\xff" * 32)) is None


def test_a_chain_that_lacks_final_entries_gets_no_signature(desk: Desk) -> None:
    assert desk.signed(entries=3, final=3, shown=2) is None


def test_a_chain_that_does_not_answer_leaves_the_head_unsigned(desk: Desk) -> None:
    desk.chain.up = False
    assert desk.view().signed_head is None
