"""Check 6: receipts that somebody holds, against the log that should contain what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tallystick.errors import ReceiptFormatError, ReceiptsError, SignatureError, VerificationError
from tallystick.hashing import EMPTY_HASH
from tallystick.ids import Address, Leaf, LogId, RecordId, checksum_address, format_record_id, to_hex
from tallystick.receipts import Domain, SignedAdmission, SignedReceipt, response_hash, signer
from tallystick.record import BlobRef, Record
from tallystick.verify.verdict import Step, Tally

NO_RECEIPTS: Final = "no receipt was given"
HASHES_CLOSED: Final = "whose request and response hashes were not compared: the record was not opened"
TEXT_IN_BLOB: Final = "whose answer lies in a blob, so that its text was not compared"
NOT_DUE: Final = "not on the chain yet, and not due yet"
ADMISSION_CLOSED: Final = "of an admission, whose record may be one that was not opened"

Held = SignedReceipt | SignedAdmission
_NOBODY: Final[Mapping[Address, int]] = MappingProxyType({})


def check_signer(where: str, signed: Held, writer: Address, retired: Mapping[Address, int] = _NOBODY) -> None:
    """The signature is by the log's writer, or by a former one, given before it handed the log over: a promise outlives its writer.

    Units: `retired` maps former writers to Unix seconds.
    Raises: ReceiptsError.
    """
    expected = f"a signature by the log's writer {checksum_address(writer)}"
    try:
        found = signer(signed)
    except SignatureError as error:
        raise ReceiptsError(where, expected, error.reason) from error
    given_at = signed.receipt.issued_at if isinstance(signed, SignedReceipt) else signed.admission.admitted_at
    if found != writer and given_at > retired.get(found, -1):
        raise ReceiptsError(where, expected, f"one by {checksum_address(found)}")


def check_leaf(where: str, signed: SignedReceipt, leaf: Leaf) -> None:
    """The leaf is the one that the receipt names.

    Raises: ReceiptsError.
    """
    if signed.receipt.leaf != leaf:
        raise ReceiptsError(where, f"the receipt's leaf {to_hex(signed.receipt.leaf)}", f"the leaf {to_hex(leaf)}")


def check_deadline(where: str, anchor_by: int, block_time: int) -> None:
    """The record was anchored by the time that was promised. Units: Unix seconds.

    Raises: ReceiptsError.
    """
    if block_time > anchor_by:
        raise ReceiptsError(where, f"an anchor by {anchor_by}, as promised", f"the block of {block_time}")


def check_hashes(where: str, signed: SignedReceipt, record: Record, answer_shown: bool = True) -> None:
    """The request and response in the record are the ones that the receipt names.

    Requires: `answer_shown` is False where the record's response is a blank, because it is not disclosed.
    Raises: ReceiptsError.
    """
    receipt = signed.receipt
    if record.http.request_hash != receipt.request_hash:
        expected = f"the receipt's request hash {to_hex(receipt.request_hash)}"
        raise ReceiptsError(where, expected, to_hex(record.http.request_hash))
    expected = f"the receipt's response hash {to_hex(receipt.response_hash)}"
    recorded = record.http.response_hash or EMPTY_HASH
    if recorded != receipt.response_hash:
        raise ReceiptsError(where, expected, to_hex(recorded))
    if answer_shown and not isinstance(record.response, BlobRef):
        choices = () if record.response is None else record.response.choices
        delivered = response_hash([choice.text.encode() for choice in choices])
        if delivered != receipt.response_hash:
            raise ReceiptsError(where, expected, f"a response text whose hash is {to_hex(delivered)}")


class ReceiptChecks:
    """The receipts that were given, waiting for the walk to come to their records."""

    def __init__(self, tally: Tally, log_id: LogId, domain: Domain, receipts: Sequence[Held]) -> None:
        """Raises: ReceiptFormatError for a receipt of another chain, contract or log: it says nothing about this one."""
        self._tally = tally
        self._by_index: dict[int, list[SignedReceipt]] = {}
        self._admissions: dict[RecordId, list[SignedAdmission]] = {}
        self._retired: dict[Address, int] = {}
        self._unopened = 0
        for signed in receipts:
            _same_log(signed, domain, log_id)
            if isinstance(signed, SignedReceipt):
                self._by_index.setdefault(signed.receipt.index, []).append(signed)
            else:
                self._admissions.setdefault(signed.admission.record_id, []).append(signed)
        if not receipts:
            tally.skip(Step.RECEIPTS, NO_RECEIPTS)

    def meet(self, index: int, leaf: Leaf, writer: Address | None, block_time: int, record: Record | None) -> None:
        """Check what was promised for the record at this index. Units: `block_time` is Unix seconds."""
        if record is None:
            self._unopened += 1
        if self._by_index:
            for signed in self._by_index.pop(index, ()):
                self._meet_receipt(signed, leaf, writer, block_time, record)
        if record is not None and self._admissions:
            for admission in self._admissions.pop(record.id, ()):
                self._meet_admission(admission, writer, block_time, record)

    def retire(self, writer: Address, block_time: int) -> None:
        """Note until when this was the log's writer. Units: `block_time` is Unix seconds."""
        self._retired[writer] = block_time

    def finish(self, writer: Address, head_time: int) -> None:
        """Judge the receipts whose record never came. Units: `head_time` is Unix seconds."""
        for index, waiting in self._by_index.items():
            for signed in waiting:
                self._absent(f"receipt for record {index}", signed, signed.receipt.anchor_by, writer, head_time)
        for record_id, admissions in self._admissions.items():
            for admission in admissions:
                where = f"admission of {format_record_id(record_id)}"
                if self._unopened:
                    self._tally.uncover(Step.RECEIPTS, ADMISSION_CLOSED)
                else:
                    self._absent(where, admission, admission.admission.anchor_by, writer, head_time)

    def _meet_receipt(
        self, signed: SignedReceipt, leaf: Leaf, writer: Address | None, block_time: int, record: Record | None
    ) -> None:
        where = f"receipt for record {signed.receipt.index}"
        try:
            self._require_writer(where, signed, writer)
            check_leaf(where, signed, leaf)
            check_deadline(where, signed.receipt.anchor_by, block_time)
            if record is not None:
                check_hashes(where, signed, record)
        except VerificationError as failure:
            self._tally.fail(failure)
            return
        self._tally.held[Step.RECEIPTS] += 1
        if record is None:
            self._tally.uncover(Step.RECEIPTS, HASHES_CLOSED)
        elif isinstance(record.response, BlobRef):
            self._tally.uncover(Step.RECEIPTS, TEXT_IN_BLOB)

    def _meet_admission(self, signed: SignedAdmission, writer: Address | None, block_time: int, record: Record) -> None:
        admission = signed.admission
        where = f"admission of {format_record_id(admission.record_id)}"
        promised = (admission.sender, admission.sender_seq, admission.request_hash, admission.admitted_at)
        recorded = (
            record.sender.address,
            record.sender_seq,
            record.http.request_hash,
            record.time.admitted_at // 1_000_000,
        )
        try:
            self._require_writer(where, signed, writer)
            check_deadline(where, admission.anchor_by, block_time)
            for name, expected, found in zip(_ADMITTED, promised, recorded, strict=True):
                if expected != found:
                    raise ReceiptsError(where, f"the {name} that was promised, {_shown(expected)}", _shown(found))
        except VerificationError as failure:
            self._tally.fail(failure)
        else:
            self._tally.held[Step.RECEIPTS] += 1

    def _require_writer(self, where: str, signed: Held, writer: Address | None) -> None:
        if writer is None:
            raise ReceiptsError(where, "a signature by the log's writer", "no writer: the log's creation is missing")
        check_signer(where, signed, writer, self._retired)

    def _absent(self, where: str, signed: Held, anchor_by: int, writer: Address, head_time: int) -> None:
        try:
            check_signer(where, signed, writer, self._retired)
        except ReceiptsError as failure:
            self._tally.fail(failure)
            return
        if head_time > anchor_by:
            found = f"none in the log at the block of {head_time}"
            self._tally.fail(ReceiptsError(where, f"a record on the chain by {anchor_by}, as promised", found))
        else:
            self._tally.uncover(Step.RECEIPTS, NOT_DUE)


_ADMITTED = ("sender", "sender_seq", "request hash", "second of admission")


def _same_log(signed: Held, domain: Domain, log_id: LogId) -> None:
    named = signed.receipt.log_id if isinstance(signed, SignedReceipt) else signed.admission.log_id
    if named != log_id:
        raise ReceiptFormatError("log_id", f"is of the log {to_hex(named)}, this is the log {to_hex(log_id)}")
    if signed.domain != domain:
        shown = f"chain {signed.domain.chain_id}, contract {checksum_address(signed.domain.contract)}"
        here = f"chain {domain.chain_id}, contract {checksum_address(domain.contract)}"
        raise ReceiptFormatError("domain", f"is of {shown}; this is {here}")


def _shown(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)
