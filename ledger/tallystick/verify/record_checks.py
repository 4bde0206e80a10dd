"""Checks 7 to 9 and 11 to 13 over the records of a log: open each, then hold its fields against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tallystick.chain import EpochOpened, RecordAppended
from tallystick.encoding import decode_with_fields
from tallystick.errors import (
    CanonicalEncodingError,
    DecryptionError,
    EncodingError,
    FieldCommitmentsError,
    OpenError,
    RecordError,
    VerificationError,
)
from tallystick.ids import Address, Leaf, LogId
from tallystick.keys import AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.record import Record
from tallystick.sealing import OpenedRecord, SealedHeader, check_commitments, decrypt, record_secret
from tallystick.verify.field_checks import check_price, check_time_order, sender_proof_gap
from tallystick.verify.sequence_checks import NOTHING_OPENED, SequenceChecks
from tallystick.verify.verdict import Step, Tally

NO_KEY: Final = "no auditor key was given"
NOT_ASKED: Final = "outside the range of records that was asked for"
BAD_HEADER: Final = "with a header that no sealed record has at its place"
VAULT: Final = "in vault custody: the operator's vault holds what opens it"
NO_PRICE: Final = "no price in the record: no device was used"
NOT_OPENED: Final = "not opened, because an earlier check failed"
CHUNK_RECORDS: Final = 64
"""Records are opened so many at a time, one check after the other: each check's code and tables then stay in the processor's caches,
which makes the whole a quarter faster than one record after the other."""
CONTENT_STEPS: Final = (
    Step.DECRYPTION,
    Step.CANONICAL_ENCODING,
    Step.FIELD_COMMITMENTS,
    Step.TIME_ORDER,
    Step.PRICE_ARITHMETIC,
    Step.SENDER_PROOF,
)


class Placed(NamedTuple):
    """A record in its place: its event, what stands in clear before it, its leaf, and the writer and block of its time.

    `header` is None where the sealed bytes have none that can stand there. Units: `block_time` is Unix seconds.
    """

    event: RecordAppended
    header: SealedHeader | None
    leaf: Leaf
    writer: Address | None
    block_time: int


class _Decrypted(NamedTuple):
    placed: Placed
    secret: bytes
    record_bytes: bytes


class _Opened(NamedTuple):
    placed: Placed
    opened: OpenedRecord


class RecordChecks:
    """Opens the records that it is handed in log order; `on_checked` gets each afterwards, with the record if it opened."""

    def __init__(
        self,
        tally: Tally,
        log_id: LogId,
        keys: Sequence[AuditorKey],
        first: int,
        last: int | None,
        on_checked: Callable[[Placed, Record | None], None],
    ) -> None:
        self._tally = tally
        self._log_id = log_id
        self._keys = keys
        self._first = first
        self._last = last
        self._on_checked = on_checked
        self._epoch_key: EpochKey | None = None
        self._why_closed = "of an epoch that never opened" if keys else NO_KEY
        self._sequences = SequenceChecks(tally)
        self._waiting: list[Placed] = []

    def open_epoch(self, event: EpochOpened) -> None:
        """Take the key of a new epoch, if it was wrapped for one of the auditor's keys."""
        self.flush()
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

    def take(self, placed: Placed) -> None:
        """Take the next record; it is checked with the ones around it."""
        self._waiting.append(placed)
        if len(self._waiting) >= CHUNK_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Check the records that wait."""
        waiting, self._waiting = self._waiting, []
        key = self._epoch_key
        openable = [placed for placed in waiting if self._can_open(placed)]
        opened = [] if key is None else self._decode(self._decrypt(openable, key))
        self._check_commitments(opened)
        records: dict[int, Record] = {}
        for placed, one in opened:
            where = f"record {one.index}"
            records[one.index] = one.record
            self._check_fields(one.record, where, placed.block_time)
            # 10 sequence-completeness
            self._sequences.note(one.record, where)
        for placed in waiting:
            self._on_checked(placed, records.get(placed.event.index))

    def finish(self, head_time_us: int, grace_us: int) -> None:
        """Check what waits, and then what is missing. Units: microseconds."""
        self.flush()
        # 10 sequence-completeness, for the log as a whole
        self._sequences.finish(head_time_us, grace_us, NOTHING_OPENED if self._keys else NO_KEY)

    def _can_open(self, placed: Placed) -> bool:
        index, header = placed.event.index, placed.header
        if index < self._first or (self._last is not None and index > self._last):
            self._sequences.left_out += 1
            self._leave(CONTENT_STEPS, NOT_ASKED)
            return False
        if self._epoch_key is None or header is None or header.vault:
            self._sequences.unopened += 1
            self._leave(
                CONTENT_STEPS, self._why_closed if self._epoch_key is None else BAD_HEADER if header is None else VAULT
            )
            return False
        return True

    def _decrypt(self, records: list[Placed], epoch_key: EpochKey) -> list[_Decrypted]:
        # 7 decryption
        done = []
        for placed in records:
            event = placed.event
            secret = record_secret(epoch_key, event.index)
            try:
                data = decrypt(
                    event.sealed, log_id=self._log_id, index=event.index, fields_root=event.fields_root, secret=secret
                )
            except OpenError as error:
                expected = "a sealed record that opens with its epoch's key"
                self._fail_to_open(DecryptionError(f"record {event.index}", expected, error.reason))
            else:
                done.append(_Decrypted(placed, secret, data))
        self._tally.held[Step.DECRYPTION] += len(done)
        return done

    def _decode(self, records: list[_Decrypted]) -> list[_Opened]:
        # 8 canonical-encoding
        done = []
        for placed, secret, data in records:
            index = placed.event.index
            try:
                record, fields = decode_with_fields(data)
            except (EncodingError, RecordError) as error:
                expected = "the canonical encoding of a record"
                self._fail_to_open(CanonicalEncodingError(f"record {index}", expected, str(error)))
            else:
                opened = OpenedRecord(index=index, record=record, record_bytes=data, fields=fields, secret=secret)
                done.append(_Opened(placed, opened))
        self._tally.held[Step.CANONICAL_ENCODING] += len(done)
        return done

    def _check_commitments(self, records: list[_Opened]) -> None:
        # 9 field-commitments
        failed = 0
        for placed, opened in records:
            try:
                check_commitments(opened, placed.event.fields_root)
            except OpenError as error:
                failed += 1
                expected = "fields that give the root in the leaf"
                self._tally.fail(FieldCommitmentsError(f"record {opened.index}", expected, error.reason))
        self._tally.held[Step.FIELD_COMMITMENTS] += len(records) - failed

    def _fail_to_open(self, failure: VerificationError) -> None:
        self._sequences.unopened += 1
        self._tally.fail(failure)
        self._leave([step for step in CONTENT_STEPS if step > failure.step], NOT_OPENED)

    def _leave(self, steps: Sequence[Step], reason: str) -> None:
        for step in steps:
            self._tally.uncover(step, reason)

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
