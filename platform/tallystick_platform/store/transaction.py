"""What one group commit will write: rows built in memory, then inserted together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from tallystick.errors import TallystickError
from tallystick.ids import Epoch, Index, RecordId
from tallystick.receipts.messages import AdmissionReceipt, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record, State
from tallystick.sealing import SealedRecord
from tallystick_platform.errors import CannotFollow
from tallystick_platform.store import settlement
from tallystick_platform.store.counters import Counters
from tallystick_platform.store.database import WriterConnection
from tallystick_platform.store.drafts import encode_draft, request_hash_of
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.store.row_macs import MAC_BYTES, RowMacs, Value
from tallystick_platform.store.sealer import Sealer
from tallystick_platform.store.tables import ADMISSION, BLOB, DRAFT, RECORD

US_PER_S = 1_000_000
_FOLLOWED = (
    "SELECT state, sender, EXISTS (SELECT 1 FROM record AS later WHERE later.follows = record.record_id)"
    " FROM record WHERE record_id = ?"
)
_DELETE_DRAFT = "DELETE FROM draft WHERE admission_seq = ?"


class Transaction:
    """Rows in the making. Nothing is written before `write`, and nothing stands before the connection's commit."""

    def __init__(
        self, sealer: Sealer, macs: RowMacs, *, now_us: int, promise_s: int, monotonic_ns: Callable[[], int]
    ) -> None:
        self._sealer = sealer
        self._macs = macs
        self._now_us = now_us
        self._promise_s = promise_s
        self._monotonic_ns = monotonic_ns
        self._admissions: list[Sequence[Value]] = []
        self._drafts: list[Sequence[Value]] = []
        self._records: list[Sequence[Value]] = []
        self._blobs: list[Sequence[Value]] = []
        self._marks: dict[str, list[bytes]] = {}
        self._followed: set[RecordId] = set()
        self.admitted: list[Record] = []
        self.done: list[int] = []

    def admit(self, offered: Record, token_id: str, counters: Counters, connection: WriterConnection) -> Ticket:
        """Step 3 for one request: the would-be record with its numbers, and the signed promise.

        Raises: RecordError; then no number was used.
        """
        record = self._numbered(offered, counters, connection)
        draft = self._sealer.protect_draft(record.admission_seq, encode_draft(record))
        admission = self._promise(record, request_hash_of(record), token_id, counters)
        self._drafts.append((record.admission_seq, self._sealer.epoch, draft))
        self.admitted.append(record)
        return Ticket(record, admission)

    def whole(
        self, offered: Record, token_id: str, counters: Counters, connection: WriterConnection
    ) -> tuple[Ticket, JournalEntry]:
        """Steps 3 and 4 for a record that is admitted and recorded at once.

        Raises: CannotFollow, RecordError, EncodingError; then no number was used.
        """
        if offered.follows is not None:
            self._check_follows(offered, connection)
        record = self._numbered(offered, counters, connection)
        began_ns = self._monotonic_ns()
        sealed = self._sealer.seal(record, counters.next_index)
        seal_us = (self._monotonic_ns() - began_ns) // 1_000
        admission = self._promise(record, sealed.request_hash, token_id, counters)
        if record.follows is not None:
            self._followed.add(record.follows)
        return Ticket(record, admission), self._enter(record, sealed, seal_us, counters)

    def record(self, offered: Record, draft: Record, counters: Counters) -> JournalEntry | TallystickError:
        """Step 4 for one terminal record: its entry, or why it could not be recorded as offered.

        In the second case the admission ends all the same, in a record that says so.

        Raises: RecordError, EncodingError if not even that can be recorded; then no index was used.
        """
        began_ns = self._monotonic_ns()
        record, sealed, refusal = self._seal(offered, draft, counters.next_index)
        seal_us = (self._monotonic_ns() - began_ns) // 1_000
        entry = self._enter(record, sealed, seal_us, counters)
        self.done.append(record.admission_seq)
        return refusal or entry

    def write(self, connection: WriterConnection, counters: Counters) -> None:
        """Step 6: everything, in a few statements. Requires: the counters are confirmed."""
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
        counters.save(connection, self._marks)

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

    def _numbered(self, offered: Record, counters: Counters, connection: WriterConnection) -> Record:
        """The record with the numbers that it gets if it is taken."""
        sender_seq = counters.next_of(offered.sender.address, connection)
        return replace(offered, admission_seq=counters.next_seq, sender_seq=sender_seq)

    def _promise(self, record: Record, request_hash: bytes, token_id: str, counters: Counters) -> SignedAdmission:
        """Take an admission into the group, signed."""
        sender = record.sender.address
        admitted_at = record.time.admitted_at // US_PER_S
        signed = self._sealer.sign_admission(
            AdmissionReceipt(
                log_id=self._sealer.log_id,
                admission_seq=record.admission_seq,
                sender_seq=record.sender_seq,
                request_hash=request_hash,
                sender=sender,
                admitted_at=admitted_at,
                record_by=admitted_at + self._promise_s,
            )
        )
        values = (
            record.admission_seq,
            record.id,
            sender,
            record.sender_seq,
            token_id,
            record.task,
            record.http.method,
            record.http.path,
            None if record.model is None else record.model.id,
            request_hash,
            record.time.admitted_at,
            signed.admission.record_by,
            signed.signature,
        )
        self._keep("admission", self._admissions, values)
        counters.admitted(sender, record.sender_seq)
        return signed

    def _enter(self, record: Record, sealed: SealedRecord, seal_us: int, counters: Counters) -> JournalEntry:
        """Take a sealed record into the group, with its receipt."""
        counters.next_index = Index(sealed.index + 1)
        receipt = self._receipt(record, sealed)
        values = (
            sealed.index,
            record.id,
            record.admission_seq,
            record.follows,
            record.sender.address,
            record.sender_seq,
            record.state.value,
            record.task,
            None if record.model is None else record.model.id,
            sealed.epoch,
            sealed.fields_root,
            sealed.sealed,
            sealed.leaf,
            sealed.request_hash,
            sealed.response_hash,
            receipt.receipt.issued_at,
            receipt.receipt.anchor_by,
            receipt.signature,
            self._now_us,
        )
        self._keep("record", self._records, values)
        for blob in sealed.blobs:
            self._keep("blob", self._blobs, (blob.ref.sealed_digest, sealed.index, blob.ciphertext))
        return JournalEntry(
            record_id=record.id,
            admission_seq=record.admission_seq,
            index=Index(sealed.index),
            epoch=Epoch(sealed.epoch),
            fields_root=sealed.fields_root,
            leaf=sealed.leaf,
            receipt=receipt,
            record_secret=sealed.secret,
            seal_us=seal_us,
        )

    def _keep(self, table: str, rows: list[Sequence[Value]], values: Sequence[Value]) -> None:
        mark = self._macs.mark(table, values)
        rows.append((*values, mark[:MAC_BYTES]))
        self._marks.setdefault(table, []).append(mark)

    def _receipt(self, record: Record, sealed: SealedRecord) -> SignedReceipt:
        """The receipt; what it promises ends with what the admission promised (SPEC 7)."""
        issued_at = self._now_us // US_PER_S
        record_by = record.time.admitted_at // US_PER_S + self._promise_s
        return self._sealer.sign_receipt(
            Receipt(
                log_id=self._sealer.log_id,
                index=sealed.index,
                admission_seq=record.admission_seq,
                leaf=sealed.leaf,
                request_hash=sealed.request_hash,
                response_hash=sealed.response_hash,
                sender=record.sender.address,
                issued_at=issued_at,
                anchor_by=min(issued_at + self._promise_s, record_by),
            )
        )

    def _check_follows(self, record: Record, connection: WriterConnection) -> None:
        """What it follows was accepted from the same sender, and nothing follows it yet.

        Raises: CannotFollow
        """
        accepted = record.follows or b""
        rows = connection.fetch(_FOLLOWED, (accepted,))
        if not rows or rows[0][:2] != (State.ACCEPTED.value, record.sender.address):
            raise CannotFollow(record_id=accepted, reason="it is not an accepted record of this sender")
        if rows[0][2] or accepted in self._followed:
            raise CannotFollow(record_id=accepted, reason="another record follows it already")


def _candidates(offered: Record, draft: Record, now_us: int) -> Iterator[Record]:
    """What was offered; else the draft, failed; else the draft without its contents, which always fits."""
    yield offered
    yield settlement.invalid(draft, now_us)
    yield settlement.invalid(settlement.without_contents(draft), now_us)
