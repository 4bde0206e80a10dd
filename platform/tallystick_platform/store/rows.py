"""What the anchorer keeps in the journal's database, as it reads and writes it.

`Batch` and `Epoch` are the two kinds of work that the log needs from the chain; each is one transaction, and their order on the
chain is their order here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tallystick.ids import Epoch as EpochNumber
from tallystick.ids import FieldsRoot, Hash32, Head, Index, Leaf, Root
from tallystick_platform.store.row_macs import Value
from tallystick_platform.store.wraps import unpack_wraps


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
PLACE_COLUMNS = ("mined_tx_hash", "block_number", "block_hash", "block_time", "gas_used")


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


def chain_order(row: Row) -> tuple[int, int, int]:
    """An epoch comes after everything below its first index and before the batch that begins there."""
    return (row.first_index, 1, row.number) if isinstance(row, Batch) else (row.first_index, 0, row.number)


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
        number=row["number"],
        first_index=Index(row["first_index"]),
        count=row["count"],
        root=Root(row["root"]),
        head=Head(row["head"]),
        state=AnchorState(row["state"]),
        signed=_signed(row),
        mined=_mined(row),
    )


def epoch_of(row: Mapping[str, Any]) -> Epoch:
    """An epoch as its database row holds it."""
    return Epoch(
        number=EpochNumber(row["number"]),
        first_index=Index(row["first_index"]),
        wraps=unpack_wraps(row["wraps"]),
        state=AnchorState(row["state"]),
        signed=_signed(row),
        mined=_mined(row),
    )


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
