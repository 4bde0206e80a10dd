"""What one group commit will write: rows built in memory, then inserted together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tallystick.errors import TallystickError
from tallystick.ids import Epoch, Index
from tallystick.receipts import Receipt, SignedReceipt, response_hash
from tallystick.record import Record
from tallystick.sealing import SealedRecord
from tallystick_platform.store import settlement
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.drafts import encode_draft
from tallystick_platform.store.entries import JournalEntry
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import AdmissionRow, BlobRow, DraftRow, RecordRow, table_of

US_PER_S = 1_000_000
EMPTY_RESPONSE_HASH = response_hash(())
ADMISSION, DRAFT, RECORD, BLOB = (table_of(model) for model in (AdmissionRow, DraftRow, RecordRow, BlobRow))
_DELETE_DRAFT = "DELETE FROM draft WHERE admission_seq = ?"


class Transaction:
    """Rows in the making. Nothing is written before `write`, and nothing stands before the connection's commit."""

    __slots__ = (
        "_admissions",
        "_blobs",
        "_deadline_s",
        "_drafts",
        "_macs",
        "_monotonic_ns",
        "_now_us",
        "_records",
        "_sealer",
        "admitted",
        "done",
    )

    def __init__(
        self, sealer: Sealer, macs: RowMacs, *, now_us: int, deadline_s: int, monotonic_ns: Callable[[], int]
    ) -> None:
        self._sealer = sealer
        self._macs = macs
        self._now_us = now_us
        self._deadline_s = deadline_s
        self._monotonic_ns = monotonic_ns
        self._admissions: list[Sequence[Value]] = []
        self._drafts: list[Sequence[Value]] = []
        self._records: list[Sequence[Value]] = []
        self._blobs: list[Sequence[Value]] = []
        self.admitted: list[Record] = []
        self.done: list[int] = []

    def admit(self, offered: Record, token_id: str, counters: Counters, connection: WriterConnection) -> Record:
        """Step 3 for one request: the would-be record with its numbers.

        Raises: RecordError; then no number was used.
        """
        sender = offered.sender.address
        seq, sender_seq = counters.next_seq, counters.next_of(sender, connection)
        record = replace(offered, admission_seq=seq, sender_seq=sender_seq)
        draft = self._sealer.protect_draft(seq, encode_draft(record))
        counters.admitted(sender, sender_seq)
        values = (
            seq,
            record.id,
            sender,
            sender_seq,
            token_id,
            record.task,
            record.http.path,
            None if record.model is None else record.model.id,
            record.http.request_hash,
            record.time.admitted_at,
        )
        self._admissions.append((*values, self._macs.of("admission", values)))
        self._drafts.append((seq, self._sealer.epoch, draft))
        self.admitted.append(record)
        return record

    def record(self, offered: Record, draft: Record, counters: Counters) -> JournalEntry | TallystickError:
        """Step 4 for one terminal record: its entry, or why it could not be recorded as offered.

        In the second case the admission ends all the same, in a record that says so.

        Raises: RecordError, EncodingError if not even that can be recorded; then no index was used.
        """
        index = counters.next_index
        began_ns = self._monotonic_ns()
        record, sealed, refusal = self._seal(offered, draft, index)
        seal_us = (self._monotonic_ns() - began_ns) // 1_000
        counters.next_index = Index(index + 1)
        receipt = self._receipt(record, sealed)
        values = (
            index,
            record.id,
            record.admission_seq,
            record.sender.address,
            record.sender_seq,
            record.state.value,
            record.task,
            None if record.model is None else record.model.id,
            sealed.epoch,
            sealed.fields_root,
            sealed.sealed,
            sealed.leaf,
            receipt.receipt.request_hash,
            receipt.receipt.response_hash,
            receipt.receipt.issued_at,
            receipt.receipt.anchor_by,
            receipt.signature,
            self._now_us,
        )
        self._records.append((*values, self._macs.of("record", values)))
        for blob in sealed.blobs:
            columns = (blob.ref.sealed_digest, index, blob.ciphertext)
            self._blobs.append((*columns, self._macs.of("blob", columns)))
        self.done.append(record.admission_seq)
        return refusal or JournalEntry(
            record_id=record.id,
            index=index,
            epoch=Epoch(sealed.epoch),
            fields_root=sealed.fields_root,
            leaf=sealed.leaf,
            receipt=receipt,
            record_secret=sealed.secret,
            seal_us=seal_us,
        )

    def write(self, connection: WriterConnection) -> None:
        """Step 6: everything, in a few statements."""
        for table, rows in (
            (ADMISSION, self._admissions),
            (DRAFT, self._drafts),
            (RECORD, self._records),
            (BLOB, self._blobs),
        ):
            if rows:
                connection.insert(table, rows)
        if self.done:
            connection.execute_many(_DELETE_DRAFT, [(seq,) for seq in self.done])

    def draft_epochs(self) -> Mapping[int, Epoch]:
        """Which epoch protects each draft that was added."""
        return {record.admission_seq: self._sealer.epoch for record in self.admitted}

    def _seal(
        self, offered: Record, draft: Record, index: Index
    ) -> tuple[Record, SealedRecord, TallystickError | None]:
        first: TallystickError | None = None
        for candidate in _candidates(offered, draft, self._now_us):
            try:
                return candidate, self._sealer.seal(candidate, index), first
            except TallystickError as error:
                first = first or error
        raise first or TallystickError("no record to seal")

    def _receipt(self, record: Record, sealed: SealedRecord) -> SignedReceipt:
        issued_at = self._now_us // US_PER_S
        return self._sealer.sign_receipt(
            Receipt(
                log_id=self._sealer.log_id,
                index=sealed.index,
                leaf=sealed.leaf,
                request_hash=record.http.request_hash,
                response_hash=record.http.response_hash or EMPTY_RESPONSE_HASH,
                issued_at=issued_at,
                anchor_by=issued_at + self._deadline_s,
            )
        )


def _candidates(offered: Record, draft: Record, now_us: int) -> Iterator[Record]:
    """What was offered; else the draft, failed; else the draft without its contents, which always fits."""
    yield offered
    yield settlement.invalid(draft, now_us)
    yield settlement.invalid(settlement.without_contents(draft), now_us)
