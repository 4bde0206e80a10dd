"""What the journal hands out: the promise to record, and the proof of having recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tallystick.ids import Epoch, FieldsRoot, Index, Leaf, RecordId
from tallystick.receipts import SignedAdmission, SignedReceipt
from tallystick.record import Record


class Ticket:
    """A durable admission: the would-be record with its sequence numbers, and the signed promise to record the request.

    The promise is signed when it is first asked for: only a stream shows it before its answer, and a signature costs more than
    everything else about an admission.
    """

    __slots__ = ("_admission", "_sign", "record")

    def __init__(self, record: Record, sign: Callable[[Record], SignedAdmission]) -> None:
        self.record = record
        self._sign = sign
        self._admission: SignedAdmission | None = None

    @property
    def admission(self) -> SignedAdmission:
        """The writer's signed promise."""
        if self._admission is None:
            self._admission = self._sign(self.record)
        return self._admission


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A durable record. Holding one is what allows an answer, or a stream's last event, to leave. Units: microseconds."""

    record_id: RecordId
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
