"""Checks 9 to 17 over the records of a log: open each, then hold its fields against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tallystick import errors
from tallystick.chain.events import EpochOpened
from tallystick.encoding import decode_with_fields
from tallystick.ids import FieldsRoot, Leaf, LogId
from tallystick.keys import WRAP_BYTES, AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.receipts.messages import Domain
from tallystick.sealing import OpenedRecord, SealedHeader, check_commitments, decrypt, record_secret
from tallystick.verify.binding_checks import (
    Blobs,
    check_header,
    check_request,
    fill_blobs,
    request_hash_of,
    response_hash_of,
)
from tallystick.verify.claims import Claims
from tallystick.verify.completeness import Voids
from tallystick.verify.field_checks import US, Window, check_fields
from tallystick.verify.promise_checks import Arrived
from tallystick.verify.receipt_checks import Promises
from tallystick.verify.sequence_checks import SequenceChecks
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import CONTENT_STEPS, Gap, Step

NO_KEY: Final = "no auditor's key was given"
NOT_ASKED: Final = "outside the range of records that was asked for"
ERASED: Final = "erased, intact: the writer signed that their secrets are gone"
NOT_OPENED: Final = "not opened, because an earlier check failed"
VAULT: Final = Gap(
    "in vault custody: the operator's vault holds what opens them",
    "for erased records the writer's signed erasures: --erasures FILE; for others, bundles from the operator",
)
NOT_WRAPPED: Final = "of epoch {}, whose key was not wrapped for {}"
WRAP_CLOSED: Final = "of epoch {}, whose wrap does not open with the auditor's key {}"
"""It accuses nobody: a key's id has eight bytes, and an auditor with two keys of one id can have one wrapped and judge with the other."""
WRAP_REMEDY: Final = "the auditor's key that it was wrapped for; the operator can wrap later epochs for yours"
IDLE_KEY: Final = Gap(
    "with an auditor's key that opens no epoch of this log", "the key that the log's epochs were wrapped for"
)
NOTHING_IN_RANGE: Final = Gap(
    "in the range that was asked for, which holds no record", "a range within the log: --from, --to"
)

CHUNK_RECORDS: Final = 64
"""Records are opened so many at a time, one check after the other: each check's code and tables then stay in the processor's caches,
which makes the whole a quarter faster than one record after the other."""
CHUNK_BYTES: Final = 524_288
"""Of opened records at a time: a dishonest record of 256 KiB can hold a quarter of a million empty lists, which take a hundred times
their bytes once they are decoded."""


@dataclass(slots=True)
class Placed:
    """A record in its place. Units: `batch_time` is Unix seconds."""

    index: int
    fields_root: FieldsRoot
    sealed: bytes
    header: SealedHeader
    leaf: Leaf
    epoch: int
    batch_time: int


class _Decrypted(NamedTuple):
    placed: Placed
    secret: bytes
    record_bytes: bytes


class RecordChecks:
    """Opens the records that it is handed in log order, and tells `promises` of those that something was promised for."""

    def __init__(
        self,
        tally: Tally,
        domain: Domain,
        log_id: LogId,
        keys: Sequence[AuditorKey],
        asked: tuple[int, int | None],
        promises: Promises,
        blobs: Blobs,
    ) -> None:
        self._tally = tally
        self._domain = domain
        self._log_id = log_id
        self._keys = keys
        self._first, self._last = asked
        self._promises = promises
        self._blobs = blobs
        self._epoch_key: EpochKey | None = None
        self._why_closed = Gap("of an epoch that never opened", WRAP_REMEDY)
        self._used: set[bytes] = set()
        self._sequences: SequenceChecks | None = None
        self._window = Window(0, 0, 0, None)
        self._waiting: list[Placed] = []
        self._asked_for = 0
        self.claims = Claims()
        """What the opened records leave to the writer's word."""
        if not keys:
            for step in CONTENT_STEPS:
                tally.skip(step, NO_KEY)

    def begin(self, voids: Voids, promise: int, skew: int, created_at: int) -> None:
        """Take the log's terms, before its first record. Units: seconds, and Unix seconds."""
        self._sequences = SequenceChecks(self._tally, voids, promise, skew)
        self._window = Window(0, promise, skew, created_at)

    def open_epoch(self, event: EpochOpened) -> None:
        """Take the key of a new epoch, if it was wrapped for one of the auditor's keys."""
        self.flush()
        self._epoch_key = None
        names = ", ".join(key.key_id.hex() for key in self._keys)
        self._why_closed = Gap(NOT_WRAPPED.format(event.epoch, names), WRAP_REMEDY)
        wraps = [event.wraps[at : at + WRAP_BYTES] for at in range(0, len(event.wraps), WRAP_BYTES)]
        unopened = []
        for key in self._keys:
            for wrap in wraps:
                if not wrap.startswith(key.key_id):
                    continue
                self._used.add(key.key_id)
                try:
                    self._epoch_key = unwrap_epoch_key(wrap, key, self._log_id, event.epoch)
                except errors.OpenError as error:
                    unopened.append(f"{key.key_id.hex()} ({error.reason})")
        if self._epoch_key is None and unopened:
            self._why_closed = Gap(WRAP_CLOSED.format(event.epoch, ", ".join(unopened)), WRAP_REMEDY)

    def take(self, placed: Placed) -> None:
        """Take the next record; it is checked with the ones around it."""
        self._waiting.append(placed)
        if len(self._waiting) >= CHUNK_RECORDS:
            self.flush()

    def void(self, given_up: int) -> None:
        """Numbers were declared void."""
        self.flush()
        if self._sequences is not None:
            self._sequences.void(given_up)

    def flush(self) -> None:
        """Check the records that wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        key = self._epoch_key
        openable = [placed for placed in waiting if self._can_open(placed)] if self._keys else []
        opened_indices = set()
        decrypted = [] if key is None else self._decrypt(openable, key)
        while decrypted:
            size, count = 0, 0
            while count < len(decrypted) and (not count or size + len(decrypted[count].record_bytes) <= CHUNK_BYTES):
                size += len(decrypted[count].record_bytes)
                count += 1
            part, decrypted = decrypted[:count], decrypted[count:]
            for placed, opened in self._decode(part):
                opened_indices.add(placed.index)
                self._check(placed, opened)
        for placed in waiting:
            if placed.index not in opened_indices and self._promises.awaits(placed.index, placed.header.admission_seq):
                self._promises.meet(_closed(placed))

    def finish(self, head_time_s: int) -> None:
        """Check what waits, and then what is missing. Units: Unix seconds."""
        self.flush()
        if not self._keys:
            return
        for key in self._keys:
            if key.key_id not in self._used:
                self._tally.block(Step.DECRYPTION, IDLE_KEY, 0)
        if not self._asked_for:
            self._tally.block(Step.DECRYPTION, NOTHING_IN_RANGE, 0)
        # 14 sequences, for the log as a whole
        if self._sequences is not None and self._asked_for:
            self._sequences.finish(head_time_s)

    def _can_open(self, placed: Placed) -> bool:
        index, sequences = placed.index, self._sequences
        if sequences is None or index < self._first or (self._last is not None and index > self._last):
            if sequences is not None:
                sequences.left_out += 1
            self._leave(CONTENT_STEPS, NOT_ASKED)
            return False
        self._asked_for += 1
        if self._epoch_key is None or placed.header.vault or placed.epoch != self._epoch_key.epoch:
            sequences.unopened += 1
            if placed.header.vault and self._promises.may_be_erased(index, placed.leaf):
                self._leave(CONTENT_STEPS, ERASED)
            else:
                gap = self._why_closed if self._epoch_key is None else VAULT
                self._tally.block(Step.DECRYPTION, gap)
                self._leave(CONTENT_STEPS[1:], gap.text)
            return False
        return True

    def _decrypt(self, records: list[Placed], epoch_key: EpochKey) -> list[_Decrypted]:
        # 9 decryption
        done = []
        for placed in records:
            index, root = placed.index, placed.fields_root
            secret = record_secret(epoch_key, index, placed.header.nonce)
            try:
                data = decrypt(
                    placed.sealed, log_id=self._log_id, index=index, epoch=placed.epoch, fields_root=root, secret=secret
                )
            except errors.OpenError as error:
                expected = "a sealed record that opens with its epoch's key"
                self._fail_to_open(errors.DecryptionError(f"record {index}", expected, error.reason))
            else:
                done.append(_Decrypted(placed, secret, data))
        self._tally.held[Step.DECRYPTION] += len(done)
        return done

    def _decode(self, records: list[_Decrypted]) -> list[tuple[Placed, OpenedRecord]]:
        # 10 canonical-encoding
        done = []
        for placed, secret, data in records:
            index = placed.index
            try:
                record, fields = decode_with_fields(data)
            except (errors.EncodingError, errors.RecordError) as error:
                expected = "the canonical encoding of a record"
                self._fail_to_open(errors.CanonicalEncodingError(f"record {index}", expected, str(error)))
            else:
                opened = OpenedRecord(index=index, record=record, record_bytes=data, fields=fields, secret=secret)
                done.append((placed, opened))
        self._tally.held[Step.CANONICAL_ENCODING] += len(done)
        # 11 field-commitments
        failed = 0
        for placed, opened in done:
            try:
                check_commitments(opened, placed.fields_root)
            except errors.OpenError as error:
                failed += 1
                expected = "fields that give the root in the leaf"
                self._tally.fail(errors.FieldCommitmentsError(f"record {opened.index}", expected, error.reason))
        self._tally.held[Step.FIELD_COMMITMENTS] += len(done) - failed
        return done

    def _fail_to_open(self, failure: errors.VerificationError) -> None:
        if self._sequences is not None:
            self._sequences.unopened += 1
        self._tally.fail(failure)
        self._leave([step for step in CONTENT_STEPS if step > failure.step], NOT_OPENED)

    def _leave(self, steps: Sequence[Step], reason: str) -> None:
        for step in steps:
            self._tally.note(step, reason)

    def _check(self, placed: Placed, opened: OpenedRecord) -> None:
        tally, index, sequences = self._tally, placed.index, self._sequences
        where = f"record {index}"
        opened = fill_blobs(tally, where, opened, self._blobs)
        record = opened.record
        # 12 request-binding
        try:
            check_header(where, record, placed.header.admission_seq)
        except errors.VerificationError as failure:
            tally.fail(failure)
        check_request(tally, where, record)
        # 14 sequences; the hash of the response, 13, is compared where there is a receipt
        work_admitted_at = None if sequences is None else sequences.note(record, index, placed.batch_time)
        window = self._window._replace(batch_time=placed.batch_time)
        check_fields(tally, where, self._domain, self._log_id, record, window, work_admitted_at)
        if sequences is not None:
            sequences.note_nonce(record, index)
        self.claims.take(record)
        if self._promises.awaits(index, placed.header.admission_seq):
            self._promises.meet(_arrived(placed, opened))


def _closed(placed: Placed) -> Arrived:
    return Arrived(placed.index, placed.leaf, placed.batch_time, placed.header.admission_seq, opened=False)


def _arrived(placed: Placed, opened: OpenedRecord) -> Arrived:
    record = opened.record
    return replace(
        _closed(placed),
        opened=True,
        sender=record.sender.address,
        sender_seq=record.sender_seq,
        admitted_at_s=record.time.admitted_at // US,
        request_hash=request_hash_of(record),
        response_hash=response_hash_of(opened),
    )
