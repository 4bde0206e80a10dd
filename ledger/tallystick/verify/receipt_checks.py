"""Check 8: what the writer signed (receipts, admissions, heads, erasures) against the log, the log's terms, and each other.

A message binds the log if its signer was the log's writer at the time that the message names; who that was is known when the walk is
over, so what was met on the way is kept until then. What anybody else signed proves nothing about this log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tallystick.errors import ReceiptsError, SignatureError, VerificationError
from tallystick.ids import Address, Head, Leaf, LogId, checksum_address, to_hex
from tallystick.receipts.messages import Domain
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt, signer
from tallystick.verify.claims import Claims
from tallystick.verify.promise_checks import (
    Arrived,
    Message,
    check_admission,
    check_deadline,
    check_pairs,
    check_promise,
    check_receipt,
    due_by,
    place_of,
    require_same_log,
    signed_at,
)
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

NO_RECEIPTS: Final = "no receipt was given"
HASHES_CLOSED: Final = "whose request and response hashes were not compared: the record was not opened"
HASH_IN_BLOB: Final = Gap(
    "whose record keeps the request or the response in a blob that nobody showed",
    "give the folder that holds it: --blobs DIR (tallystick fetch brings it from the service)",
)
NOT_DUE: Final = "not on the chain yet, and not due yet"
STRANGER: Final = "signed by {}, who never was this log's writer: it proves nothing about the log"
RETIRED: Final = "signed by {} when it was not this log's writer, or under a number that did not bind it any more"
ANOTHER_REMEDY: Final = "a message that the log's writer signed while it was the writer"
HEAD_AHEAD: Final = "of {} entries, while the node shows {}: the node is behind, or hides what came since"
HEAD_REMEDY: Final = "ask another node"
ERASURE_UNUSED: Final = "of record {}, which is not closed, or has another leaf than the erasure names"

M = TypeVar("M", bound=Message)


@dataclass(slots=True, kw_only=True)
class WriterSpan:
    """When somebody was the log's writer. Units: Unix seconds; None while it is.

    `first_index` is the first record that it may have written, `last_admission` the last number that its signature can stand under.
    """

    writer: Address
    since_s: int
    first_index: int = 0
    until_s: int | None = None
    last_admission: int | None = None


class Promises:
    """The messages that were given, and what the walk met of what they promise."""

    def __init__(self, tally: Tally, log_id: LogId, domain: Domain, messages: Sequence[Message]) -> None:
        """Raises: ReceiptFormatError for a message about another chain, contract or log: it says nothing about this one."""
        self._tally = tally
        for signed in messages:
            require_same_log(signed, domain, log_id)
        self._receipts = _distinct(one for one in messages if isinstance(one, SignedReceipt))
        self._admissions = _distinct(one for one in messages if isinstance(one, SignedAdmission))
        self._heads = _distinct(one for one in messages if isinstance(one, SignedHead))
        self._erasures = {one.erasure.index: one for one in messages if isinstance(one, SignedErasure)}
        self._indices = {one.receipt.index for one in self._receipts}
        self._numbers = {one.admission.admission_seq for one in self._admissions}
        self._by_index: dict[int, Arrived] = {}
        self._by_number: dict[int, Arrived] = {}
        self._standing: dict[int, tuple[int, Head]] = {}
        self._wanted = {one.head.entries for one in self._heads}
        self._erased: set[int] = set()
        if not messages:
            tally.skip(Step.RECEIPTS, NO_RECEIPTS)

    def awaits(self, index: int, admission_seq: int) -> bool:
        """Whether something was promised for a record."""
        return index in self._indices or admission_seq in self._numbers

    def meet(self, arrived: Arrived) -> None:
        """Take a record that something was promised for."""
        self._by_index.setdefault(arrived.index, arrived)
        self._by_number.setdefault(arrived.admission_seq, arrived)

    def pass_head(self, entries: int, size: int, head: Head) -> None:
        """Take where the log stands after an entry."""
        if entries in self._wanted:
            self._standing[entries] = (size, head)

    def may_be_erased(self, index: int, leaf: Leaf) -> bool:
        """Whether an erasure was given for a record that does not open; its signature is judged at the end."""
        signed = self._erasures.get(index)
        if signed is None or signed.erasure.leaf != leaf:
            return False
        self._erased.add(index)
        return True

    def finish(
        self,
        spans: Sequence[WriterSpan],
        claims: Claims,
        *,
        promise: int,
        skew: int,
        entries: int,
        head_time: int,
    ) -> int:
        """Judge every message, and tell `claims` what was compared; gives how many erasures hold. Units: seconds, and Unix seconds."""
        judge = _Judge(self._tally, spans, promise, skew, head_time)
        receipts = [one for one in self._receipts if judge.binds(place_of(one), one, one.receipt.admission_seq)]
        admissions = [one for one in self._admissions if judge.binds(place_of(one), one, one.admission.admission_seq)]
        promises: list[SignedReceipt | SignedAdmission] = [*receipts, *admissions]
        for signed in promises:
            arrived = self._arrived(signed)
            judge.promise(signed, arrived)
            if arrived is not None:
                answer = isinstance(signed, SignedReceipt) and arrived.response_hash is not None
                claims.compare(arrived.index, request=arrived.request_hash is not None, answer=answer)
        check_pairs(self._tally, receipts, admissions)
        for head in self._heads:
            self._judge_head(judge, head, entries)
        return sum(self._judge_erasure(judge, one) for one in self._erasures.values())

    def _arrived(self, signed: SignedReceipt | SignedAdmission) -> Arrived | None:
        if isinstance(signed, SignedReceipt):
            return self._by_index.get(signed.receipt.index)
        return self._by_number.get(signed.admission.admission_seq)

    def _judge_head(self, judge: _Judge, signed: SignedHead, entries: int) -> None:
        where, said = place_of(signed), signed.head
        if not judge.binds(where, signed):
            return
        if said.entries > entries:
            self._tally.block(Step.RECEIPTS, Gap(HEAD_AHEAD.format(said.entries, entries), HEAD_REMEDY))
            return
        expected = f"the log to pass through the head {to_hex(said.head)} at {said.size} records"
        size, head = self._standing[said.entries]
        if (said.size, said.head) != (size, head):
            self._tally.fail(ReceiptsError(where, expected, f"{to_hex(head)} at {size} records"))
        else:
            self._tally.held[Step.RECEIPTS] += 1

    def _judge_erasure(self, judge: _Judge, signed: SignedErasure) -> bool:
        index = signed.erasure.index
        if not judge.binds(place_of(signed), signed):
            return False
        if index in self._erased:
            self._tally.held[Step.RECEIPTS] += 1
            return True
        self._tally.block(Step.RECEIPTS, Gap(ERASURE_UNUSED.format(index), "an erasure of a record that does not open"))
        return False


class _Judge:
    """The log as a whole, as far as promises are held against it."""

    def __init__(self, tally: Tally, spans: Sequence[WriterSpan], promise: int, skew: int, head_time: int) -> None:
        self._tally = tally
        self._spans = spans
        self._promise = promise
        self._skew = skew
        self._head_time = head_time

    def binds(self, where: str, signed: Message, number: int | None = None) -> bool:
        """Whether the log's writer of that time signed; if not, that is what could not be checked."""
        try:
            found = signer(signed)
        except SignatureError as error:
            self._tally.block(Step.RECEIPTS, Gap(f"whose signature is none ({error.reason}), {where}", ANOTHER_REMEDY))
            return False
        held = [span for span in self._spans if span.writer == found]
        at = signed_at(signed)
        for span in held:
            in_time = span.since_s - self._skew <= at and (span.until_s is None or at <= span.until_s + self._skew)
            if in_time and (number is None or span.last_admission is None or number <= span.last_admission):
                return True
        text = (RETIRED if held else STRANGER).format(checksum_address(found))
        self._tally.block(Step.RECEIPTS, Gap(f"{text} ({where})", ANOTHER_REMEDY))
        return False

    def promise(self, signed: SignedReceipt | SignedAdmission, arrived: Arrived | None) -> None:
        """Whether the record that a message promises came in time and is the one that was promised."""
        tally, where, by = self._tally, place_of(signed), due_by(signed)
        try:
            check_promise(where, signed_at(signed), by, self._promise)
            if arrived is None:
                self._absent(where, by)
                return
            if isinstance(signed, SignedReceipt):
                check_receipt(where, signed.receipt, arrived)
            else:
                check_admission(where, signed.admission, arrived)
            check_deadline(where, by, arrived.batch_time)
        except VerificationError as failure:
            tally.fail(failure)
            return
        tally.held[Step.RECEIPTS] += 1
        if not arrived.opened:
            tally.note(Step.RECEIPTS, HASHES_CLOSED)
            return
        hidden = arrived.request_hash is None
        if isinstance(signed, SignedReceipt):
            tally.held[Step.RESPONSE_BINDING] += arrived.response_hash is not None
            hidden = hidden or arrived.response_hash is None
        if hidden:
            tally.block(Step.RECEIPTS, HASH_IN_BLOB)

    def _absent(self, where: str, by: int) -> None:
        if self._head_time > by:
            found = f"none in the log at the block of {self._head_time}"
            raise ReceiptsError(where, f"a record on the chain by {by}, as promised", found, timed=True)
        self._tally.note(Step.RECEIPTS, NOT_DUE)


def _distinct(messages: Iterable[M]) -> list[M]:
    kept: list[M] = []
    for one in messages:
        if one not in kept:  # the same receipt given twice is one receipt
            kept.append(one)
    return kept
