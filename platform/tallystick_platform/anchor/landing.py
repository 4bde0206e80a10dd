"""What of the journal's log stands on the chain, and whether they are one log at all; and where each row landed.

The contract keeps the number of entries and the head, and the head binds every entry before it. So one comparison decides: the chain's head
is the journal's after so many entries, and everything up to there stands; or it is not, and nothing may be sent any more.

Step 5 of the anchoring order then finds the transaction by which a row landed, and compares the contract's row with ours.
"""

from __future__ import annotations

from collections.abc import Callable

from tallystick.chain.faults import EventsWithheld
from tallystick.chain.reader import Block, LedgerReader
from tallystick.chain.views import LogState
from tallystick.ids import Address, checksum_address, to_hex
from tallystick_platform.anchor.courier import describe
from tallystick_platform.anchor.errors import (
    BatchMismatch,
    ChainAhead,
    HeadMismatch,
    LandingNotFound,
    OtherLog,
    WriterChanged,
)
from tallystick_platform.ledger_chain.client import LedgerClient, TransactionReceipt
from tallystick_platform.store.batches import Batches
from tallystick_platform.store.rows import Batch, Mined, Row


def reconcile(state: LogState, writer: Address, journal: Batches) -> int:
    """How many entries of the journal's log stand on the chain.

    A chain that holds less is no fault here: it is behind, or was reorganised, and what is missing can be sent again.

    Raises: OtherLog, ChainAhead, HeadMismatch, WriterChanged
    """
    if state.entries == 0 and not journal.begins_here():
        raise OtherLog
    tip = journal.tip()
    if state.entries > tip.entries:
        raise ChainAhead(journal=tip.entries, chain=state.entries, size=state.size)
    expected = journal.head_at(state.entries)
    if expected != state.head:
        raise HeadMismatch(entries=state.entries, expected=expected, found=state.head)
    if state.writer != writer:
        raise WriterChanged(expected=checksum_address(writer), found=checksum_address(state.writer))
    return state.entries


def find_landing(reader: LedgerReader, sender: LedgerClient, row: Row, search_from: Callable[[], int]) -> Mined:
    """Where the row stands.

    Its own transaction is asked for first. If a dearer copy of it landed instead, the contract's event names that one.

    Requires: the log on the chain holds the row.
    Raises: BatchMismatch, LandingNotFound, ChainUnavailable, ChainRejected
    """
    if isinstance(row, Batch):
        _compare(reader, row)
    receipt = sender.receipt(row.signed.tx_hash) if row.signed is not None else None
    if receipt is None or not receipt.succeeded:
        receipt = _by_event(reader, sender, row, search_from())
    block = reader.block(receipt.block_number)
    if block.hash != receipt.block_hash:
        raise LandingNotFound(what=describe(row))  # the chain is being reorganised under us
    return mined_in(block, receipt)


def mined_in(block: Block, receipt: TransactionReceipt) -> Mined:
    """Where a transaction stands. Requires: its block."""
    return Mined(
        tx_hash=receipt.tx_hash,
        block_number=block.number,
        block_hash=block.hash,
        block_time=block.timestamp,
        gas_used=receipt.gas_used,
    )


def search_from(reader: LedgerReader, journal: Batches, row: Row) -> int:
    """The block in which the entry before this row's stands, or that of the log's creation where the journal does not know it."""
    before = journal.block_before(row)
    return reader.creation_block() if before is None else before


def _compare(reader: LedgerReader, batch: Batch) -> None:
    found = reader.batch_at(batch.number)
    for field, ours, theirs in (
        ("first index", str(batch.first_index), str(found.first_index)),
        ("count", str(batch.count), str(found.count)),
        ("epoch", str(batch.epoch), str(found.epoch)),
        ("root", to_hex(batch.root), to_hex(found.root)),
    ):
        if ours != theirs:
            raise BatchMismatch(batch=batch.number, field=field, expected=ours, found=theirs)


def _by_event(reader: LedgerReader, sender: LedgerClient, row: Row, from_block: int) -> TransactionReceipt:
    if row.entry is None:
        raise LandingNotFound(what=describe(row))
    try:
        event = reader.entry_event(row.entry, from_block, reader.latest_block().number)
    except EventsWithheld as error:
        raise LandingNotFound(what=describe(row)) from error
    receipt = sender.receipt(event.position.tx_hash)
    if receipt is None:
        raise LandingNotFound(what=describe(row))
    return receipt
