"""What anchoring asks of the chain (`tallystick.chain`, `ledger_chain`), of the journal's database (`store.batches`) and of admission."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tallystick.chain import BatchInfo, Block, LedgerEvent, LogState
from tallystick.ids import Address, Epoch, Hash32, Head, LogId
from tallystick_platform.ledger_chain import Fees, SignedTransaction, TransactionReceipt
from tallystick_platform.ledger_chain.client import LogOnChain
from tallystick_platform.store.rows import Batch, Depth, Mined, PendingRecord, Row, Signed, Tip, Totals, Void
from tallystick_platform.store.rows import Epoch as EpochRow


class ChainReader(Protocol):
    """What the chain says of this log. Raises: ChainError."""

    contract: Address
    log_id: LogId

    def latest_block(self) -> Block: ...

    def block(self, number: int) -> Block: ...

    def log_state(self) -> LogState: ...

    def batch_at(self, number: int) -> BatchInfo: ...

    def creation_block(self) -> int: ...

    def entry_event(self, entry: int, from_block: int, to_block: int) -> LedgerEvent: ...

    def events(
        self, from_block: int, to_block: int, *, first_entry: int | None = None, end_entry: int | None = None
    ) -> Iterator[LedgerEvent]: ...


class ChainSender(Protocol):
    """Signing and sending for this log's writer. Raises: ChainUnavailable, ChainRejected, SignerUnavailable, SignerRefused."""

    @property
    def address(self) -> Address: ...

    def nonce(self) -> int:
        """Transactions of the writer in the chain up to the newest block, none of the pool."""
        ...

    def balance(self) -> int: ...

    def fees(self) -> Fees: ...

    def build_append(
        self, nonce: int, log: LogOnChain, head: Head, packed: bytes, count: int, *, fees: Fees
    ) -> SignedTransaction: ...

    def build_open_epoch(
        self, nonce: int, log: LogOnChain, head: Head, epoch: Epoch, wraps: bytes, *, fees: Fees
    ) -> SignedTransaction: ...

    def build_void(
        self, nonce: int, log: LogOnChain, head: Head, first: int, last: int, *, fees: Fees
    ) -> SignedTransaction: ...

    def send(self, transaction: SignedTransaction) -> None: ...

    def receipt(self, tx_hash: Hash32) -> TransactionReceipt | None: ...


class Admission(Protocol):
    """Whether anything is admitted, sealed and signed: the journal. Called in the event loop."""

    def release(self) -> None:
        """Journal and chain agree: go on."""
        ...

    def hold(self, reason: str) -> None:
        """Admit, seal and sign nothing more; `reason` is a sentence for the client."""
        ...


class AnchorStore(Protocol):
    """Rows of the log. Every write is durable on return; on an error it may or may not have happened."""

    def tip(self) -> Tip:
        """The log once every row that has its place stands on the chain."""
        ...

    def head_at(self, entries: int) -> Head | None:
        """The head after so many entries; None if this journal does not know it."""
        ...

    def begins_here(self) -> bool:
        """Whether the first entry that this journal has, if any, follows from this log."""
        ...

    def unfinished(self) -> Sequence[Row]:
        """Rows that have their place and are not final, in the order in which the chain must see them."""
        ...

    def next_epoch(self) -> EpochRow | None:
        """The lowest epoch that has no place yet."""
        ...

    def next_void(self) -> Void | None:
        """The lowest void numbers that have no place yet."""
        ...

    def block_before(self, row: Row) -> int | None:
        """The block in which the entry before this row's stands; None where this journal does not know."""
        ...

    def records(self, first_index: int, limit: int) -> Sequence[PendingRecord]:
        """Journaled records from `first_index` on, in order, at most `limit`."""
        ...

    def plan_batch(self, batch: Batch, at_us: int) -> None:
        """Insert a batch in state planned."""
        ...

    def place(self, row: EpochRow | Void, entry: int, head: Head) -> None:
        """Give an epoch or void numbers their place: the log's next entry."""
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
        """After a reorg: in one transaction, each row becomes sent again and loses its place in a block."""
        ...

    def rows_beyond(self, entries: int) -> Sequence[Row]:
        """Rows that were mined or final past a log of so many entries."""
        ...

    def depth(self) -> Depth:
        """What waits for the chain."""
        ...

    def totals(self) -> Totals:
        """What has reached it."""
        ...
