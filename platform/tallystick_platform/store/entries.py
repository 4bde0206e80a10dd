"""What the journal hands out: the promise to record, and the proof of having recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tallystick.ids import Epoch, FieldsRoot, Index, Leaf, RecordId
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record


@dataclass(frozen=True, slots=True)
class Ticket:
    """A durable admission: the would-be record with its sequence numbers, and the signed promise to record the request."""

    record: Record
    admission: SignedAdmission


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A durable record. Holding one is what allows an answer, or a stream's last event, to leave. Units: microseconds."""

    record_id: RecordId
    admission_seq: int
    index: Index
    epoch: Epoch
    fields_root: FieldsRoot
    leaf: Leaf
    receipt: SignedReceipt
    record_secret: bytes
    seal_us: int = field(default=0, compare=False)
    state: Literal["journaled"] = "journaled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The journal at a glance: records, admissions ever, admissions still without a record, calls waiting."""

    size: int
    admitted: int
    open: int
    queued: int
