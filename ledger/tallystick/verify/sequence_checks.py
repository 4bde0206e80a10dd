"""Check 14: every number of every sender once, every record id once, and all accepted work ended in time."""

from __future__ import annotations

from typing import Final

from tallystick.errors import SequencesError, TimesError
from tallystick.ids import ADDRESS_BYTES, Address, RecordId, checksum_address, format_record_id
from tallystick.record import SENDER_NONCE_BYTES, Record, State
from tallystick.verify.completeness import Voids
from tallystick.verify.sequences import (
    ID_BYTES,
    MAX_ACCEPTED,
    MAX_DEVICES,
    MAX_KEPT,
    Accepted,
    AcceptedWork,
    Arrival,
    Devices,
    Gap,
    Numbering,
    Recent,
)
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Step

PARTIAL: Final = "only a part of the log was asked for: what a sender's numbers leave out may lie in the rest"
IN_CLOSED: Final = "missing: may be in a record that was not opened"
IN_VOID: Final = "missing, from before numbers were declared void: they may have been lost with these"
LET_GO: Final = f"compared within the last {MAX_KEPT} records only"
WORK_BEFORE: Final = "that end work which may have been accepted in records that were not opened"
US: Final = 1_000_000


class SequenceChecks:
    """Remembers what ties records to each other; what is missing is looked at when the log has been walked.

    Units: `promise_s` and `skew_s` are the log's.
    """

    def __init__(self, tally: Tally, voids: Voids, promise_s: int, skew_s: int) -> None:
        self._tally = tally
        self._voids = voids
        self._promise_s = promise_s
        self._grace_s = promise_s + skew_s
        self._senders: dict[Address, Numbering] = {}
        self._ids = Recent(ID_BYTES)
        self._nonces = Recent(ADDRESS_BYTES + SENDER_NONCE_BYTES)
        self._work = AcceptedWork()
        self._nonce_of_work: bytes | None = None  # of the work that the present record ends
        self._devices = Devices()
        self._lost = 0  # numbers of senders that are missing since before a void entry
        self._lost_at_most = 0
        self.unopened = 0
        """Records that should have been opened and could not be: each may hold one number of a sender."""
        self.left_out = 0
        """Records that were not to be opened."""

    def note(self, record: Record, index: int, batch_time: int) -> int | None:
        """Take an opened record; gives when the work was admitted that it ends, in microseconds, or None if it ends none."""
        where = f"record {index}"
        self._nonce_of_work = None
        if not self._note_number(record, where, batch_time) or not self._note_id(record, where, batch_time):
            return None if record.follows is None else 0
        self._tally.held[Step.SEQUENCES] += 1
        price, gpu, started = record.price, record.gpu, record.time.started_at
        if (
            price is not None
            and price.device_time_us
            and gpu is not None
            and gpu.uuid is not None
            and started is not None
        ):
            self._devices.add(gpu.uuid, started, record.time.finished_at, price.device_time_us)
        if record.state is State.ACCEPTED:
            due_by = record.time.due_by or 0
            signature = record.sender.signature
            work = Accepted(
                index=index,
                sender=record.sender.address,
                admitted_at=record.time.admitted_at,
                due_by=due_by,
                nonce=None if signature is None else signature.nonce,
            )
            self._work.accept(RecordId(record.id), work)
        return None if record.follows is None else self._note_end(record, record.follows, where, batch_time)

    def note_nonce(self, record: Record, index: int) -> None:
        """Take a sender's nonce, which it must not use twice; that of accepted work may stand again in the record that ends the work.

        Requires: `note` took the record just before.
        """
        signature = record.sender.signature
        if signature is None or signature.nonce == self._nonce_of_work:
            return
        self._nonces.forget_before(record.time.admitted_at // US - self._grace_s)
        if not self._nonces.add(signature.deadline, record.sender.address + signature.nonce):
            where = f"record {index}: sender.signature.nonce"
            self._tally.fail(SequencesError(where, "a nonce that its sender has not used before", "one used again"))

    def void(self, given_up: int) -> None:
        """Numbers were declared void, and with them whatever senders' numbers their records held."""
        self._lost_at_most += given_up
        for numbering in self._senders.values():
            for gap in list(numbering.gaps()):
                self._lost += numbering.give_up(gap.first, gap.last, 0)

    def finish(self, head_time_s: int) -> None:
        """Once every record was seen: name what nothing can explain any more. Units: Unix seconds."""
        tally = self._tally
        if self._lost > self._lost_at_most:
            found = f"{self._lost} numbers of senders missing before {self._lost_at_most} numbers were declared void"
            tally.fail(SequencesError("the senders' numbers", "at most as many as were lost", found))
        elif self._lost:
            tally.note(Step.SEQUENCES, IN_VOID, self._lost)
        self._judge_devices()
        for kept in (self._ids, self._nonces):
            if kept.let_go:
                tally.note(Step.SEQUENCES, LET_GO, kept.let_go)
        if self.left_out:
            # What repeats within a part is wrong whatever the rest holds; what is missing may lie in the rest.
            tally.note(Step.SEQUENCES, PARTIAL, self.left_out)
            return
        for address, numbering in self._senders.items():
            self._judge_sender(f"sender {checksum_address(address)}", numbering, head_time_s)
        self._judge_work(head_time_s)

    def _note_number(self, record: Record, where: str, batch_time: int) -> bool:
        address, number = record.sender.address, record.sender_seq
        sender = self._senders.get(address)
        if sender is None:
            sender = self._senders[address] = Numbering(self._grace_s)
        if number > sender.highest + 1 and self._voids.may_end_at(number - 1):
            sender.give_up(sender.highest + 1, number - 1, 0)  # after a void entry, numbers go on above its last one
        arrival = sender.add(number, batch_time)
        if arrival is Arrival.IN_TIME:
            return True
        found = f"sender_seq {number} of {checksum_address(address)} " + (
            "again" if arrival is Arrival.AGAIN else "later"
        )
        expected = "a number that no record before has"
        if arrival is Arrival.LATE:
            expected = f"a number within {self._grace_s} s of the first batch with a higher one"
        self._tally.fail(SequencesError(where, expected, found, timed=arrival is Arrival.LATE))
        return False

    def _note_id(self, record: Record, where: str, batch_time: int) -> bool:
        self._ids.forget_before(batch_time - 2 * self._grace_s)
        # An id bears its time, so the same id always lies under the same second.
        if self._ids.add(int.from_bytes(record.id[:6], "big") // 1000, record.id):
            return True
        found = f"{format_record_id(RecordId(record.id))} again"
        self._tally.fail(SequencesError(where, "an id that no record before has", found))
        return False

    def _note_end(self, record: Record, follows: RecordId, where: str, batch_time: int) -> int:
        tally, where = self._tally, f"{where}: follows"
        work = self._work.end(follows)
        if work is None:
            if self._work.has_ended(follows):
                found = f"{format_record_id(follows)}, which a record before ended"
                tally.fail(SequencesError(where, "work that has not ended", found))
            elif self.unopened or self.left_out or self._work.left_out:
                tally.note(Step.SEQUENCES, WORK_BEFORE)
            else:
                found = f"{format_record_id(follows)}, which no record before accepted"
                tally.fail(SequencesError(where, "work that was accepted", found))
            return 0
        self._nonce_of_work = work.nonce if work.sender == record.sender.address else None
        late_by = batch_time - self._promise_s - work.due_by // US
        if late_by > 0:
            expected = f"an end of the work of record {work.index} within {self._promise_s} s after it was due"
            tally.fail(SequencesError(where, expected, f"one {late_by} s later", timed=True))
        if work.sender != record.sender.address:
            expected = f"the sender {checksum_address(work.sender)} of record {work.index}"
            tally.fail(SequencesError(where, expected, checksum_address(record.sender.address)))
        return work.admitted_at

    def _judge_sender(self, name: str, numbering: Numbering, head_time_s: int) -> None:
        tally, step = self._tally, Step.SEQUENCES
        for hole in numbering.holes():
            tally.fail(SequencesError(name, "no holes", hole))
        overdue: list[Gap] = []
        for gap in numbering.gaps():
            if numbering.is_due(gap, head_time_s):
                overdue.append(gap)
            else:
                tally.note(step, f"{name}: {gap} missing so far: not due yet", gap.missing)
        # A record that was not opened may hold a missing number, but no more than one.
        explained = sum(gap.missing for gap in overdue) <= self.unopened
        for gap in overdue:
            if explained:
                tally.note(step, f"{name}: {gap} {IN_CLOSED}", gap.missing)
            else:
                tally.fail(SequencesError(name, "every number once", f"{gap} missing", timed=True))

    def _judge_work(self, head_time_s: int) -> None:
        tally, step = self._tally, Step.SEQUENCES
        overdue = self._work.overdue((head_time_s - self._promise_s) * US)
        explained = len(overdue) <= self.unopened
        for record_id, work in overdue:
            where = f"record {work.index}, accepted as {format_record_id(record_id)}"
            if explained:
                tally.note(step, f"the end of {where} {IN_CLOSED}")
            else:
                due = work.due_by // US
                expected = f"a record that ends it within {self._promise_s} s after {due}"
                tally.fail(SequencesError(where, expected, f"none at {head_time_s}", timed=True))
        if waiting := len(self._work) - len(overdue):
            tally.note(step, "accepted and not ended, not due yet", waiting)
        if self._work.left_out:
            tally.note(step, f"beyond {MAX_ACCEPTED} that were waiting for their end at one time", self._work.left_out)

    def _judge_devices(self) -> None:
        for uuid, use in self._devices.uses.items():
            # 15 times, for a device over all its records
            if use.device_time_us > use.span_us:
                expected = f"at most {use.span_us} us of device time, from its first start to its last end"
                self._tally.fail(TimesError(f"device {uuid!a:.80}", expected, f"{use.device_time_us} us"))
        if self._devices.left_out:
            self._tally.note(Step.TIMES, f"of devices beyond the first {MAX_DEVICES}", self._devices.left_out)
