"""What anchoring asks of the chain client (`tallystick.chain`) and of the journal's database (`store.batches`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tallystick.chain import BatchInfo, Block, Fees, LedgerEvent, LogState, SignedTransaction, TransactionReceipt
from tallystick.ids import Epoch, FieldsRoot, Hash32, Index, LogId
from tallystick.keys import Wallet
from tallystick_platform.store.rows import Batch, Depth, Mined, PendingRecord, Row, Signed, Totals
from tallystick_platform.store.rows import Epoch as EpochRow


class ChainReader(Protocol):
    """What the chain says of this log. Raises: ChainUnavailable, ChainRejected."""

    log_id: LogId

    def latest_block(self) -> Block: ...

    def block(self, number: int) -> Block: ...

    def log_state(self) -> LogState: ...

    def batch(self, number: int) -> BatchInfo: ...

    def creation_block(self) -> int: ...

    def events(self, from_block: int, to_block: int) -> Iterator[LedgerEvent]: ...


class ChainSender(Protocol):
    """Signing and sending for this log's writer. Raises: ChainUnavailable, ChainRejected."""

    wallet: Wallet

    def nonce(self) -> int:
        """Transactions of the writer in the chain up to the newest block, none of the pool."""
        ...

    def balance(self) -> int: ...

    def fees(self) -> Fees: ...

    def build_append(
        self, nonce: int, first_index: Index, fields_roots: Sequence[FieldsRoot], sealed: Sequence[bytes], *, fees: Fees
    ) -> SignedTransaction: ...

    def build_open_epoch(
        self, nonce: int, epoch: Epoch, wraps: Sequence[bytes], *, fees: Fees
    ) -> SignedTransaction: ...

    def send(self, transaction: SignedTransaction) -> None: ...

    def receipt(self, tx_hash: Hash32) -> TransactionReceipt | None: ...


class AnchorStore(Protocol):
    """Epoch and batch rows. Every write is durable on return; on an error it may or may not have happened."""

    def unfinished(self) -> Sequence[Row]:
        """Batches that are not final and epochs that are sent or mined, in the order in which the chain must see them."""
        ...

    def next_epoch(self) -> EpochRow | None:
        """The lowest epoch in state planned."""
        ...

    def last_epoch(self) -> EpochRow | None:
        """The epoch with the highest number, whatever its state."""
        ...

    def last_batch(self) -> Batch | None:
        """The batch with the highest number, whatever its state."""
        ...

    def block_before(self, row: Row) -> int | None:
        """The block in which the row of the same kind with the number before stands; None if there is none."""
        ...

    def batch_ending_at(self, size: int) -> Batch | None:
        """The batch after which the log has this size."""
        ...

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        """Journaled records from `first_index` on, in order, at most `limit`."""
        ...

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        """Insert a batch in state planned."""
        ...

    def save_signed(self, row: Row, signed: Signed, at_us: int) -> None:
        """Replace the row's transaction; the row becomes sent."""
        ...

    def save_mined(self, row: Row, mined: Mined, at_us: int) -> None:
        """Note where the row stands; the row becomes mined."""
        ...

    def save_final(self, row: Row) -> None:
        """The row becomes final."""
        ...

    def take_back(self, rows: Sequence[Row]) -> None:
        """After a reorg: in one transaction, each row becomes sent again and loses its place on the chain."""
        ...

    def rows_beyond(self, size: int, epoch: int) -> Sequence[Row]:
        """Rows that were mined or final past a log of this size and this epoch."""
        ...

    def depth(self) -> Depth:
        """What waits for the chain."""
        ...

    def totals(self) -> Totals:
        """What has reached it."""
        ...
