"""What the anchorer keeps in the journal's database, as it reads and writes it.

`Batch`, `Epoch` and `Void` are the three kinds of work that the log needs from the chain. Each is one transaction and makes one entry of
the log's head chain, so `entry` is their order, on the chain and here. A head holds nothing that only a block decides: a row knows the head
after it as soon as its place is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Table

from tallystick.heads import EntryKind, batch_body, epoch_body, next_head, void_body
from tallystick.ids import Address, FieldsRoot, Hash32, Head, Index, Leaf, LogId, Root
from tallystick.ids import Epoch as EpochNumber
from tallystick_platform.store.row_macs import Value
from tallystick_platform.store.tables import BATCH, EPOCH, VOID


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
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Where a row's transaction stands on the chain. Units: block_time in Unix seconds."""

    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    block_time: int
    gas_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """How far a row has come. `adopted`: made by another journal of this log, and read from the chain."""

    adopted: bool = False
    state: AnchorState = AnchorState.PLANNED
    signed: Signed | None = None
    mined: Mined | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(_Progress):
    """Records [first_index, first_index + count) as one call of `append`. `head` is the one after it."""

    number: int
    entry: int
    epoch: EpochNumber
    first_index: Index
    count: int
    root: Root
    head: Head

    @property
    def end(self) -> Index:
        """The log's size once this batch stands."""
        return Index(self.first_index + self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch(_Progress):
    """The opening of an epoch: its key, wrapped for each auditor, as one call of `openEpoch`.

    `entry` and `head` are None until it has its place.
    """

    number: EpochNumber
    first_index: Index
    wraps: tuple[bytes, ...]
    entry: int | None = None
    head: Head | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Void(_Progress):
    """Admission numbers [first, last] that nobody knows any more, as one call of `voidNumbers`. `entry` and `head` as in Epoch."""

    number: int
    first: int
    last: int
    entry: int | None = None
    head: Head | None = None


Row = Batch | Epoch | Void
PLACE_COLUMNS = ("mined_tx_hash", "block_number", "block_hash", "block_time", "gas_used")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """The keeper named another writer: an entry that no writer makes."""

    entry: int
    head: Head
    previous: Address
    writer: Address
    size: int
    last_admission: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The log as far as it was planned here: what the contract will say once every row stands."""

    entries: int
    head: Head
    size: Index
    batch_count: int
    epoch: EpochNumber
    epoch_open: bool

    @classmethod
    def empty(cls, log_id: LogId) -> Tip:
        """A log without entries."""
        return cls(entries=0, head=Head(log_id), size=Index(0), batch_count=0, epoch=EpochNumber(0), epoch_open=False)

    def head_after_batch(self, epoch: EpochNumber, count: int, root: Root) -> Head:
        """The head once a batch of so many records was appended here."""
        return next_head(self.head, EntryKind.BATCH, self.entries, batch_body(epoch, self.size, count, root))

    def head_after(self, row: Epoch | Void) -> Head:
        """The head once this row made its entry here."""
        if isinstance(row, Epoch):
            body = epoch_body(row.number, self.size, b"".join(row.wraps))
            return next_head(self.head, EntryKind.EPOCH, self.entries, body)
        return next_head(self.head, EntryKind.VOID, self.entries, void_body(row.first, row.last))


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRecord:
    """What of a sealed record goes to the chain, and the leaf that the contract will compute for it. Units: microseconds."""

    index: Index
    epoch: EpochNumber
    fields_root: FieldsRoot
    sealed: bytes = field(repr=False)
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
    """Sums over every row that was ever mined, and the batches by state."""

    gas_used: int
    records_mined: int
    last_final_index: int | None
    batches: Mapping[AnchorState, int]


def chain_order(row: Row) -> int:
    """Rows in the order of their entries. Requires: a row that has its place."""
    if row.entry is None:
        raise ValueError("a row without a place has no order")
    return row.entry


def table_of(row: Row) -> Table:
    """The table that a row of this kind stands in."""
    return BATCH if isinstance(row, Batch) else EPOCH if isinstance(row, Epoch) else VOID


def place_of(mined: Mined) -> dict[str, Value]:
    """The columns that say where a row stands on the chain."""
    return {
        "mined_tx_hash": mined.tx_hash,
        "block_number": mined.block_number,
        "block_hash": mined.block_hash,
        "block_time": mined.block_time,
        "gas_used": mined.gas_used,
    }


def batch_of(row: Mapping[str, Any]) -> Batch:
    """A batch as its database row holds it."""
    return Batch(
        epoch=EpochNumber(row["epoch"]),
        first_index=Index(row["first_index"]),
        count=row["count"],
        root=Root(row["root"]),
        **_shared(row),
    )


def epoch_of(row: Mapping[str, Any]) -> Epoch:
    """An epoch as its database row holds it."""
    return Epoch(first_index=Index(row["first_index"]), wraps=unpack_wraps(row["wraps"]), **_shared(row))


def void_of(row: Mapping[str, Any]) -> Void:
    """Void numbers as their database row holds them."""
    return Void(first=row["first"], last=row["last"], **_shared(row))


def pending_of(row: Mapping[str, Any]) -> PendingRecord:
    """What the chain needs of a record's database row."""
    return PendingRecord(
        index=Index(row["log_index"]),
        epoch=EpochNumber(row["epoch"]),
        fields_root=FieldsRoot(row["fields_root"]),
        sealed=row["sealed"],
        leaf=Leaf(row["leaf"]),
        created_at_us=row["created_at"],
    )


def pack_wraps(wraps: tuple[bytes, ...]) -> bytes:
    """An epoch's wraps in one column: a MessagePack array of byte strings, one per auditor."""
    return msgspec.msgpack.encode(wraps)


def unpack_wraps(data: bytes) -> tuple[bytes, ...]:
    """What `pack_wraps` made."""
    return msgspec.msgpack.decode(data, type=tuple[bytes, ...])


def _shared(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the three kinds have in common."""
    return {
        "number": row["number"],
        "entry": row["entry"],
        "head": None if row["head"] is None else Head(row["head"]),
        "adopted": bool(row["adopted"]),
        "state": AnchorState(row["state"]),
        "signed": _signed(row),
        "mined": _mined(row),
    }


def _signed(row: Mapping[str, Any]) -> Signed | None:
    if row["raw_tx"] is None:
        return None
    return Signed(nonce=row["nonce"], tx_hash=Hash32(row["tx_hash"]), raw=row["raw_tx"])


def _mined(row: Mapping[str, Any]) -> Mined | None:
    if row["mined_tx_hash"] is None:
        return None
    return Mined(
        tx_hash=Hash32(row["mined_tx_hash"]),
        block_number=row["block_number"],
        block_hash=Hash32(row["block_hash"]),
        block_time=row["block_time"],
        gas_used=row["gas_used"],
    )
