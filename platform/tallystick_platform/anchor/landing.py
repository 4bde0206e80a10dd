"""Step 5 of the anchoring order: find the transaction by which a row landed, and compare the contract's row with ours."""

from __future__ import annotations

from collections.abc import Callable

from tallystick.chain.faults import EventsWithheld
from tallystick.ids import to_hex
from tallystick_platform.anchor.courier import describe
from tallystick_platform.anchor.errors import BatchMismatch, LandingNotFound
from tallystick_platform.anchor.ports import ChainReader, ChainSender
from tallystick_platform.ledger_chain import TransactionReceipt
from tallystick_platform.store.rows import Batch, Mined, Row


def find_landing(reader: ChainReader, sender: ChainSender, row: Row, search_from: Callable[[], int]) -> Mined:
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
    return Mined(
        tx_hash=receipt.tx_hash,
        block_number=block.number,
        block_hash=block.hash,
        block_time=block.timestamp,
        gas_used=receipt.gas_used,
    )


def _compare(reader: ChainReader, batch: Batch) -> None:
    found = reader.batch_at(batch.number)
    for field, ours, theirs in (
        ("first index", str(batch.first_index), str(found.first_index)),
        ("count", str(batch.count), str(found.count)),
        ("epoch", str(batch.epoch), str(found.epoch)),
        ("root", to_hex(batch.root), to_hex(found.root)),
    ):
        if ours != theirs:
            raise BatchMismatch(batch=batch.number, field=field, expected=ours, found=theirs)


def _by_event(reader: ChainReader, sender: ChainSender, row: Row, from_block: int) -> TransactionReceipt:
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
