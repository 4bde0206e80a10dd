"""What the anchorer keeps in the journal's database, and the operations it needs there.

`Batch` and `Epoch` are the two kinds of work that the log needs from the chain; each is one transaction, and their order
on the chain is their order here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tallystick.ids import Epoch as EpochNumber
from tallystick.ids import FieldsRoot, Hash32, Head, Index, Leaf, Root


class AnchorState(StrEnum):
    """How far a row has come. Each state is durable before the next step begins."""

    PLANNED = "planned"  # nothing signed
    SENT = "sent"  # signed and saved: the network may or may not have it
    MINED = "mined"  # in a block, compared with the chain
    FINAL = "final"  # as many blocks deep as the operator asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The transaction last signed for a row."""

    nonce: int
    tx_hash: Hash32
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Where a row's transaction stands on the chain. Units: block_time in Unix seconds."""

    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    block_time: int
    gas_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records [first_index, first_index + count) as one call of `append`."""

    number: int
    first_index: Index
    count: int
    root: Root
    head: Head
    state: AnchorState = AnchorState.PLANNED
    signed: Signed | None = None
    mined: Mined | None = None

    @property
    def end(self) -> Index:
        """The log's size once this batch stands."""
        return Index(self.first_index + self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The opening of an epoch: its key, wrapped for each auditor, as one call of `openEpoch`."""

    number: EpochNumber
    first_index: Index
    wraps: tuple[bytes, ...]
    state: AnchorState = AnchorState.PLANNED
    signed: Signed | None = None
    mined: Mined | None = None


Row = Batch | Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRecord:
    """What of a sealed record goes to the chain, and the leaf that the contract will compute for it. Units: microseconds."""

    index: Index
    epoch: EpochNumber
    fields_root: FieldsRoot
    sealed: bytes
    leaf: Leaf
    created_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Records that no mined batch holds. Units: bytes of sealed text; microseconds."""

    records: int
    sealed_bytes: int
    oldest_created_at_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over every row that was ever mined, and the rows by state."""

    gas_used: int
    records_mined: int
    last_final_index: int | None
    batches: Mapping[AnchorState, int]


class AnchorStore(Protocol):
    """The anchorer's side of the journal's database. Every write is durable on return; on an error it may or may not have happened."""

    def unfinished(self) -> Sequence[Row]:
        """Batches that are not final and epochs that are sent or mined, in the order in which the chain must see them."""
        ...

    def next_epoch(self) -> Epoch | None:
        """The lowest epoch in state planned."""
        ...

    def last_epoch(self) -> Epoch | None:
        """The epoch with the highest number, whatever its state."""
        ...

    def last_batch(self) -> Batch | None:
        """The batch with the highest number, whatever its state."""
        ...

    def last_mined_block(self) -> int | None:
        """The highest block that a mined or final row stands in."""
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
