from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.chain.views import LogState
from tallystick.ids import Epoch, Head, Index, LogId, Root, checksum_address, to_hex
from tallystick.keys import Wallet
from tallystick_platform.anchor.errors import ChainAhead, HeadMismatch, OtherLog, WriterChanged
from tallystick_platform.anchor.landing import reconcile
from tallystick_platform.store.rows import Batch, Void
from tallystick_platform.store.rows import Epoch as EpochRow
from tests.support.anchor_rows import MemoryRows
from tests.support.anchoring import WALLET

LOG = LogId(b"L" * 32)
EMPTY = LogState(
    writer=WALLET.address, size=0, entries=0, head=Head(LOG), batch_count=0, epoch=Epoch(0), epoch_open=False
)
EPOCH = EpochRow(number=Epoch(1), first_index=Index(0), wraps=(b"w",), entry=0, head=Head(b"E" * 32))
FIRST = Batch(
    number=0, entry=1, epoch=Epoch(1), first_index=Index(0), count=3, root=Root(b"a" * 32), head=Head(b"A" * 32)
)
VOID = Void(number=0, first=4, last=9, entry=2, head=Head(b"V" * 32))
ROWS = (EPOCH, FIRST, VOID)


@pytest.fixture
def journal() -> MemoryRows:
    rows = MemoryRows(LOG)
    rows.epochs, rows.batches, rows.voids = [EPOCH], [FIRST], [VOID]
    return rows


def after(entries: int, **changes: object) -> LogState:
    head = Head(LOG) if entries == 0 else ROWS[entries - 1].head
    return replace(EMPTY, entries=entries, head=head, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("entries", range(4))
def test_a_log_after_so_many_entries_holds_exactly_these(journal, entries):
    assert reconcile(after(entries), WALLET.address, journal) == entries


def test_more_entries_on_the_chain_than_the_journal_planned_are_the_chain_ahead(journal):
    with pytest.raises(
        ChainAhead, match="has 4 entries and 6 records there, and this journal knows of 3 entries"
    ) as caught:
        reconcile(replace(after(3), entries=4, size=6), WALLET.address, journal)
    assert "tallystick-server journal adopt" in str(caught.value)


def test_another_head_is_a_mismatch_that_shows_both(journal):
    shown = f"after 2 entries: the chain has {to_hex(b'x' * 32)}, the journal has {to_hex(FIRST.head)}"
    with pytest.raises(HeadMismatch, match=shown):
        reconcile(replace(after(2), head=Head(b"x" * 32)), WALLET.address, journal)


def test_an_empty_log_with_another_head_is_a_mismatch(journal):
    with pytest.raises(HeadMismatch):
        reconcile(replace(EMPTY, head=Head(b"x" * 32)), WALLET.address, journal)


def test_a_journal_of_another_log_is_refused_although_an_empty_log_says_nothing_against_it(journal, monkeypatch):
    monkeypatch.setattr(journal, "begins_here", lambda: False)
    with pytest.raises(OtherLog):
        reconcile(EMPTY, WALLET.address, journal)


def test_another_writer_is_named_beside_ours(journal):
    other = Wallet(bytes.fromhex("22" * 32)).address
    ours, theirs = checksum_address(WALLET.address), checksum_address(other)
    with pytest.raises(WriterChanged, match=f"writer is {theirs}, this server signs as {ours}"):
        reconcile(replace(EMPTY, writer=other), WALLET.address, journal)
