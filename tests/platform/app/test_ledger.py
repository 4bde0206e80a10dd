"""The log as the API shows it: what it says of the chain never lags behind what it says of the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tallystick.errors import ChainUnavailable
from tallystick.keys import Wallet
from tallystick_platform.app.ledger import LOOK_AGAIN_NS, LedgerDesk
from tallystick_platform.settings import Settings
from tests.support.clocks import FixedClock
from tests.support.exchange import DOMAIN, LOG_ID


class Chain:
    """A chain that counts how often it is looked at."""

    def __init__(self) -> None:
        self.log_id = LOG_ID
        self.size = 0
        self.looks = 0
        self.up = True

    def log_state(self) -> SimpleNamespace:
        self.looks += 1
        if not self.up:
            raise ChainUnavailable("http://chain", "no answer")
        return SimpleNamespace(size=self.size, head=bytes(32), epoch=0)

    def latest_block(self) -> SimpleNamespace:
        return SimpleNamespace(number=self.size)


class Desk:
    """A desk over a chain and a journal whose sizes the test sets."""

    def __init__(self) -> None:
        self.chain, self.clock = Chain(), FixedClock()
        self.batches = SimpleNamespace(anchored_size=0)
        self.journal_size = 0
        status = lambda: SimpleNamespace(  # noqa: E731
            unanchored_records=self.journal_size - self.batches.anchored_size, lag_ms=0, error=None
        )
        stand_ins = cast(Any, SimpleNamespace(status=status))
        self.desk = LedgerDesk(
            settings=Settings(),
            rpc_url="http://chain",
            reader=cast(Any, self.chain),
            domain=DOMAIN,
            wallet=Wallet.generate(),
            batches=cast(Any, self.batches),
            anchoring=stand_ins,
            epoch_keys=cast(Any, None),
            journal_size=lambda: self.journal_size,
            clock=self.clock,
        )

    def view(self) -> Any:
        return asyncio.run(self.desk.view())


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
