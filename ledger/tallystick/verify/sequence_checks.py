"""Check 10: every number of every sender, and of the whole log, once."""

from __future__ import annotations

from typing import Final

from tallystick.errors import SequenceCompletenessError
from tallystick.ids import Address, checksum_address
from tallystick.record import Record
from tallystick.verify.sequences import MAX_OPEN_GAPS, Gap, Numbering
from tallystick.verify.verdict import Step, Tally

PARTIAL: Final = "only a part of the log was opened, so what is missing may lie in the rest"
NOTHING_OPENED: Final = "no record could be opened"


class SequenceChecks:
    """Remembers one numbering for the log and one for each sender; the holes are looked at when the log has been walked."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._admissions = Numbering()
        self._senders: dict[Address, Numbering] = {}
        self._opened = 0
        self.unopened = 0
        """Records that should have been opened and could not be: each may hold a missing number."""
        self.left_out = 0
        """Records that were not to be opened."""

    def note(self, record: Record, where: str) -> None:
        """Take an opened record's numbers."""
        self._opened += 1
        address, admitted_us = record.sender.address, record.time.admitted_at
        sender = self._senders.get(address)
        if sender is None:
            sender = self._senders[address] = Numbering()
        if not self._admissions.add(record.admission_seq, admitted_us):
            self._repeated(where, f"admission_seq {record.admission_seq}")
        if not sender.add(record.sender_seq, admitted_us):
            self._repeated(where, f"sender_seq {record.sender_seq} of {checksum_address(address)}")

    def _repeated(self, where: str, what: str) -> None:
        self._tally.fail(SequenceCompletenessError(where, "a number that no record before has", f"{what} again"))

    def finish(self, head_time_us: int, grace_us: int, why_closed: str) -> None:
        """Once every record was seen: name the holes that nothing can explain any more.

        A hole is explained while the request may still be on its way: until `grace_us` after the next number was admitted.
        """
        if not self._opened:
            if self.unopened or self.left_out:
                self._tally.uncover(Step.SEQUENCE_COMPLETENESS, why_closed, self.unopened + self.left_out)
            return
        if self.left_out:
            # What repeats within a part is wrong whatever the rest holds; what is missing may lie in the rest.
            self._tally.uncover(Step.SEQUENCE_COMPLETENESS, PARTIAL, self.left_out)
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
        if sum(gap.count for gap in overdue) > self.unopened:
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
