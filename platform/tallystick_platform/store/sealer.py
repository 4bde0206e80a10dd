"""What the journal asks of whoever holds the keys (`sealing/` in the service, a small fake in tests).

All of it is called by the journal's writer and nobody else: never by two threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tallystick.ids import Epoch, Index, LogId
from tallystick.receipts import AdmissionReceipt, Domain, Receipt, SignedAdmission, SignedReceipt
from tallystick.record import Record
from tallystick.sealing import SealedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """An epoch as the journal's row has it, or will have it. Units: opened_at in microseconds UTC."""

    number: Epoch
    first_index: Index
    wraps: tuple[bytes, ...]
    opened_at: int
    closed: bool = False


class Sealer(Protocol):
    """Seals records and drafts under the open epoch, and signs for the log's writer."""

    @property
    def log_id(self) -> LogId:
        """The log that everything is sealed for."""
        ...

    @property
    def domain(self) -> Domain:
        """The chain and contract that receipts are signed for."""
        ...

    @property
    def epoch(self) -> Epoch:
        """The epoch that seals now.

        Requires: one was adopted.
        """
        ...

    def resume(self, epoch: EpochPlan | None) -> None:
        """Take up where the journal's last epoch row stands; None for a new journal. Repeatable."""
        ...

    def epoch_due(self, now_us: int) -> bool:
        """Whether another epoch must be adopted before anything is sealed: the open one is over, or there is none."""
        ...

    def epoch_open(self) -> bool:
        """Whether an epoch was adopted or resumed and is not closed."""
        ...

    def plan_epoch(self, next_index: Index, now_us: int) -> EpochPlan:
        """Make the next epoch's key durable. Repeatable: planned again after a failure, it is the same epoch with the same key."""
        ...

    def adopt_epoch(self, epoch: EpochPlan) -> None:
        """Seal under this epoch from now on. The journal has its row."""
        ...

    def forget_before(self, epoch: Epoch) -> None:
        """Drop the keys of all earlier epochs: nothing that they protect will be needed."""
        ...

    def seal(self, record: Record, index: Index) -> SealedRecord:
        """Seal a terminal record under the open epoch.

        Raises: RecordError, EncodingError
        """
        ...

    def protect_draft(self, admission_seq: int, data: bytes) -> bytes:
        """Encrypt a draft under a key of the open epoch."""
        ...

    def reveal_draft(self, epoch: Epoch, admission_seq: int, data: bytes) -> bytes:
        """Open what `protect_draft` made.

        Raises: EpochKeyMissing, DraftUnreadable
        """
        ...

    def sign_receipt(self, receipt: Receipt) -> SignedReceipt:
        """Sign as the log's writer."""
        ...

    def sign_admission(self, admission: AdmissionReceipt) -> SignedAdmission:
        """Sign as the log's writer."""
        ...
