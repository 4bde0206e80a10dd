"""Checks 7 to 13 over the records of a log: open each, then hold its fields against each other and against the other records'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.chain import EpochOpened, RecordAppended
from tallystick.encoding import decode_with_fields
from tallystick.errors import (
    CanonicalEncodingError,
    DecryptionError,
    EncodingError,
    FieldCommitmentsError,
    OpenError,
    RecordError,
    SequenceCompletenessError,
    VerificationError,
)
from tallystick.ids import Address, LogId, checksum_address
from tallystick.keys import AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.record import Record
from tallystick.sealing import OpenedRecord, SealedHeader, check_commitments, decrypt, record_secret
from tallystick.verify.field_checks import check_price, check_time_order, sender_proof_gap
from tallystick.verify.sequences import MAX_OPEN_GAPS, Gap, Numbering
from tallystick.verify.verdict import Step, Tally

NO_KEY: Final = "no auditor key was given"
NOT_ASKED: Final = "outside the range of records that was asked for"
BAD_HEADER: Final = "with a header that no sealed record has at its place"
VAULT: Final = "in vault custody: the operator's vault holds what opens it"
NO_PRICE: Final = "no price in the record: no device was used"
PARTIAL: Final = "only a part of the log was opened, so what is missing may lie in the rest"
CONTENT_STEPS: Final = (
    Step.DECRYPTION,
    Step.CANONICAL_ENCODING,
    Step.FIELD_COMMITMENTS,
    Step.TIME_ORDER,
    Step.PRICE_ARITHMETIC,
    Step.SENDER_PROOF,
)
_AFTER_DECRYPTION = CONTENT_STEPS[1:]
_AFTER_DECODING = CONTENT_STEPS[2:]


class RecordChecks:
    """Opens the records that it is handed in log order, and remembers one number run for each sender."""

    def __init__(self, tally: Tally, log_id: LogId, keys: Sequence[AuditorKey], first: int, last: int | None) -> None:
        self._tally = tally
        self._log_id = log_id
        self._keys = keys
        self._first = first
        self._last = last
        self._epoch_key: EpochKey | None = None
        self._why_closed = "of an epoch that never opened" if keys else NO_KEY
        self._admissions = Numbering()
        self._senders: dict[Address, Numbering] = {}
        self._opened = 0
        self._unopened = 0
        self._left_out = 0

    def open_epoch(self, event: EpochOpened) -> None:
        """Take the key of a new epoch, if it was wrapped for one of the auditor's keys."""
        self._epoch_key = None
        if not self._keys:
            return
        self._why_closed = f"of epoch {event.epoch}, whose key was not wrapped for this auditor"
        for key in self._keys:
            for wrap in event.wraps:
                if not wrap.startswith(key.key_id):
                    continue
                try:
                    self._epoch_key = unwrap_epoch_key(wrap, key, self._log_id, event.epoch)
                except OpenError as error:
                    where, expected = f"epoch {event.epoch}", f"a wrap that opens with key {key.key_id.hex()}"
                    self._tally.fail(DecryptionError(where, expected, error.reason))
                    self._why_closed = f"of epoch {event.epoch}, whose wrap for this auditor does not open"

    def open(self, event: RecordAppended, header: SealedHeader | None, block_time: int) -> OpenedRecord | None:
        """Run checks 7 to 9 and 11 to 13 on one record, and note its numbers for check 10.

        Requires: `header` is what stands in clear in the sealed record, or None where that cannot be.
        Units: `block_time` is Unix seconds.
        """
        index = event.index
        if index < self._first or (self._last is not None and index > self._last):
            self._left_out += 1
            for step in CONTENT_STEPS:
                self._tally.uncover(step, NOT_ASKED)
            return None
        if self._epoch_key is None or header is None or header.vault:
            self._unopened += 1
            reason = self._why_closed if self._epoch_key is None else BAD_HEADER if header is None else VAULT
            for step in CONTENT_STEPS:
                self._tally.uncover(step, reason)
            return None
        try:
            opened = self._opened_record(event, record_secret(self._epoch_key, index))
        except VerificationError as failure:
            self._unopened += 1
            self._tally.fail(failure)
            for step in _AFTER_DECRYPTION if failure.step == Step.DECRYPTION else _AFTER_DECODING:
                self._tally.uncover(step, "not opened, because an earlier check failed")
            return None
        self._opened += 1
        self._check_fields(opened.record, f"record {index}", block_time)
        self._number(opened.record, index)
        return opened

    def _opened_record(self, event: RecordAppended, secret: bytes) -> OpenedRecord:
        held, where = self._tally.held, f"record {event.index}"
        # 7 decryption
        try:
            record_bytes = decrypt(
                event.sealed, log_id=self._log_id, index=event.index, fields_root=event.fields_root, secret=secret
            )
        except OpenError as error:
            raise DecryptionError(where, "a sealed record that opens with its epoch's key", error.reason) from error
        held[Step.DECRYPTION] += 1
        # 8 canonical-encoding
        try:
            record, fields = decode_with_fields(record_bytes)
        except (EncodingError, RecordError) as error:
            raise CanonicalEncodingError(where, "the canonical encoding of a record", str(error)) from error
        held[Step.CANONICAL_ENCODING] += 1
        # 9 field-commitments
        opened = OpenedRecord(
            index=event.index, record=record, record_bytes=record_bytes, fields=tuple(fields), secret=secret
        )
        try:
            check_commitments(opened, event.fields_root)
        except OpenError as error:
            self._tally.fail(FieldCommitmentsError(where, "fields that give the root in the leaf", error.reason))
        else:
            held[Step.FIELD_COMMITMENTS] += 1
        return opened

    def _check_fields(self, record: Record, where: str, block_time: int) -> None:
        tally = self._tally
        # 11 time-order
        tally.hold(Step.TIME_ORDER, check_time_order, where, record.time, record.id, block_time)
        # 12 price-arithmetic
        if record.price is None:
            tally.uncover(Step.PRICE_ARITHMETIC, NO_PRICE)
        else:
            tally.hold(Step.PRICE_ARITHMETIC, check_price, where, record.price)
        # 13 sender-proof
        try:
            tally.uncover(Step.SENDER_PROOF, sender_proof_gap(where, record.sender))
        except VerificationError as failure:
            tally.fail(failure)

    def _number(self, record: Record, index: int) -> None:
        # 10 sequence-completeness: every number once; the holes are looked at when the log has been walked.
        admitted = record.time.admitted_at
        sender = self._senders.get(record.sender.address)
        if sender is None:
            sender = self._senders[record.sender.address] = Numbering()
        if not self._admissions.add(record.admission_seq, admitted):
            self._repeated(f"record {index}", f"admission_seq {record.admission_seq}")
        if not sender.add(record.sender_seq, admitted):
            self._repeated(
                f"record {index}", f"sender_seq {record.sender_seq} of {checksum_address(record.sender.address)}"
            )

    def _repeated(self, where: str, what: str) -> None:
        self._tally.fail(SequenceCompletenessError(where, "a number that no record before has", f"{what} again"))

    def finish(self, head_time_us: int, grace_us: int) -> None:
        """Check 10, once every record was seen: name the holes that nothing can explain any more.

        A hole is explained while the request may still be on its way: until `grace_us` after the next number was admitted.
        """
        if not self._opened:
            closed = self._unopened + self._left_out
            if closed or not self._keys:
                self._tally.uncover(
                    Step.SEQUENCE_COMPLETENESS, "no record could be opened" if self._keys else NO_KEY, closed
                )
            return
        if self._left_out:
            # What repeats within a part is wrong whatever the rest holds; what is missing may lie in the rest.
            self._tally.uncover(Step.SEQUENCE_COMPLETENESS, PARTIAL, self._left_out)
            return
        numberings = [("the log: admission_seq", self._admissions)]
        numberings += [(f"sender {checksum_address(a)}: sender_seq", s) for a, s in self._senders.items()]
        latest_admission_us = head_time_us - grace_us
        for name, numbering in numberings:
            self._judge(name, numbering, latest_admission_us)

    def _judge(self, name: str, numbering: Numbering, latest_admission_us: int) -> None:
        tally, step = self._tally, Step.SEQUENCE_COMPLETENESS
        failed_before = tally.failed(step)
        missing = 0
        for gap in numbering.forgotten:
            missing += gap.count
            found = f"{_numbers(gap)} missing, and more than {MAX_OPEN_GAPS} holes in all"
            tally.fail(SequenceCompletenessError(name, "no holes", found))
        overdue: list[Gap] = []
        for gap in numbering.gaps():
            missing += gap.count
            if gap.before_us > latest_admission_us:
                tally.uncover(step, f"{name} {_numbers(gap)} missing so far: may still be on its way", gap.count)
            else:
                overdue.append(gap)
        # A record that could not be opened may hold a missing number, but no more than one.
        if sum(gap.count for gap in overdue) > self._unopened:
            for gap in overdue:
                tally.fail(SequenceCompletenessError(name, "every number once", f"{_numbers(gap)} missing"))
        else:
            for gap in overdue:
                text = f"{name} {_numbers(gap)} missing: may be in a record that could not be opened"
                tally.uncover(step, text, gap.count)
        if tally.failed(step) == failed_before:
            tally.held[step] += numbering.highest - missing


def _numbers(gap: Gap) -> str:
    return str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}"
