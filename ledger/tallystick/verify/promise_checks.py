"""Check 8 on single messages: pure functions that hold what the writer signed against a record, the log's terms, or each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.errors import ReceiptFormatError, ReceiptsError, RequestBindingError, ResponseBindingError
from tallystick.ids import Address, Leaf, LogId, checksum_address, to_hex
from tallystick.receipts.messages import AdmissionReceipt, Domain, Receipt
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tallystick.verify.tally import Tally

Message = SignedReceipt | SignedAdmission | SignedHead | SignedErasure


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record that something was promised for: where it came, and what it says if it was opened.

    The hashes are None where the record was not opened, or keeps what they are about in a blob that nobody showed.
    Units: `batch_time` and `admitted_at_s` are Unix seconds.
    """

    index: int
    leaf: Leaf
    batch_time: int
    admission_seq: int
    opened: bool
    sender: Address | None = None
    sender_seq: int | None = None
    admitted_at_s: int | None = None
    request_hash: bytes | None = None
    response_hash: bytes | None = None


def check_promise(where: str, signed_at_s: int, by: int, promise: int) -> None:
    """The writer promised no longer than the log allows. Units: Unix seconds, and seconds.

    Raises: ReceiptsError, which the writer's signature and the log's terms prove.
    """
    if by - signed_at_s > promise:
        expected = f"a promise of at most {promise} s, as the log's terms say"
        raise ReceiptsError(where, expected, f"{by - signed_at_s} s", signed=True)


def check_deadline(where: str, by: int, batch_time: int) -> None:
    """The record came by the time that was promised. Units: Unix seconds.

    Raises: ReceiptsError.
    """
    if batch_time > by:
        raise ReceiptsError(where, f"a batch by {by}, as promised", f"the batch of {batch_time}", timed=True)


def check_receipt(where: str, receipt: Receipt, arrived: Arrived) -> None:
    """The record at the receipt's index is the one that it names.

    Raises: ReceiptsError; RequestBindingError, ResponseBindingError for a hash that is not the record's.
    """
    if receipt.leaf != arrived.leaf:
        raise ReceiptsError(where, f"the receipt's leaf {to_hex(receipt.leaf)}", f"the leaf {to_hex(arrived.leaf)}")
    _same(where, "admission number", receipt.admission_seq, arrived.admission_seq)
    _same(where, "sender", receipt.sender, arrived.sender)
    _same_hashes(where, receipt.request_hash, receipt.response_hash, arrived)


def check_admission(where: str, admission: AdmissionReceipt, arrived: Arrived) -> None:
    """The record of the admission's number is the one that was admitted.

    Raises: ReceiptsError; RequestBindingError for a request hash that is not the record's.
    """
    _same(where, "sender", admission.sender, arrived.sender)
    _same(where, "number of the sender", admission.sender_seq, arrived.sender_seq)
    _same(where, "time of admission", admission.admitted_at, arrived.admitted_at_s)
    _same_hashes(where, admission.request_hash, None, arrived)


def check_pairs(tally: Tally, receipts: Sequence[SignedReceipt], admissions: Sequence[SignedAdmission]) -> None:
    """Messages that contradict each other: each pair is proof by the writer's signatures alone."""
    by_index: dict[int, Receipt] = {}
    by_number: dict[int, Receipt | AdmissionReceipt] = {}
    for signed in receipts:
        receipt = signed.receipt
        first = by_index.setdefault(receipt.index, receipt)
        where = f"two receipts for record {receipt.index}"
        if first.leaf != receipt.leaf:
            tally.fail(ReceiptsError(where, f"the leaf {to_hex(first.leaf)}", to_hex(receipt.leaf), signed=True))
        elif first != receipt:
            tally.fail(ReceiptsError(where, "the same receipt, byte for byte", "another content", signed=True))
        _pair(tally, by_number, receipt.admission_seq, receipt)
    admitted: dict[int, AdmissionReceipt] = {}
    for admission in (one.admission for one in admissions):
        number = admission.admission_seq
        if admitted.setdefault(number, admission) != admission:
            where = f"two admissions of number {number}"
            tally.fail(ReceiptsError(where, "the same content", "another content", signed=True))
        else:
            _pair(tally, by_number, number, admission)


def _pair(
    tally: Tally,
    by_number: dict[int, Receipt | AdmissionReceipt],
    number: int,
    message: Receipt | AdmissionReceipt,
) -> None:
    first = by_number.setdefault(number, message)
    if first is message:
        return
    where = f"what was signed under the number {number}"
    for what in ("sender", "request_hash"):
        one, other = getattr(first, what), getattr(message, what)
        if one != other:
            tally.fail(ReceiptsError(where, f"the {what} {to_hex(one)}", to_hex(other), signed=True))
            return
    if isinstance(first, Receipt) and isinstance(message, Receipt):
        if first.index != message.index:
            tally.fail(ReceiptsError(where, f"record {first.index}", f"record {message.index}", signed=True))
    elif isinstance(first, Receipt) and isinstance(message, AdmissionReceipt) and first.anchor_by > message.record_by:
        expected = f"an anchor_by of at most {message.record_by}, the admission's record_by"
        tally.fail(ReceiptsError(where, expected, str(first.anchor_by), signed=True))


_KINDS: Final[Mapping[type[Message], tuple[str, str]]] = {
    SignedReceipt: ("issued_at", "receipt for record {.index}"),
    SignedAdmission: ("admitted_at", "admission of number {.admission_seq}"),
    SignedHead: ("time", "head of {.entries} entries"),
    SignedErasure: ("erased_at", "erasure of record {.index}"),
}
"""Of each kind of message: which member is the time of its signature, and what it is in words."""


def signed_at(signed: Message) -> int:
    """The time that a message names for its signature. Units: Unix seconds."""
    time: int = getattr(signed.message, _KINDS[type(signed)][0])
    return time


def due_by(signed: SignedReceipt | SignedAdmission) -> int:
    """The time by which a message promises a record. Units: Unix seconds."""
    return signed.receipt.anchor_by if isinstance(signed, SignedReceipt) else signed.admission.record_by


def place_of(signed: Message) -> str:
    """A message in words."""
    return _KINDS[type(signed)][1].format(signed.message)


def require_same_log(signed: Message, domain: Domain, log_id: LogId) -> None:
    """Raises: ReceiptFormatError for a message about another log."""
    named = signed.message.log_id
    if named != log_id:
        raise ReceiptFormatError("log_id", f"is of the log {to_hex(named)}, this is the log {to_hex(log_id)}")
    if signed.domain != domain:
        told = f"chain {signed.domain.chain_id}, contract {checksum_address(signed.domain.contract)}"
        here = f"chain {domain.chain_id}, contract {checksum_address(domain.contract)}"
        raise ReceiptFormatError("domain", f"is of {told}; this is {here}")


def _same(where: str, what: str, promised: object, found: object) -> None:
    if found is not None and promised != found:
        raise ReceiptsError(where, f"the {what} that was promised, {_shown(promised)}", _shown(found))


def _same_hashes(where: str, request_hash: bytes, response_hash: bytes | None, arrived: Arrived) -> None:
    if arrived.request_hash is not None and arrived.request_hash != request_hash:
        expected = f"a request with the signed hash {to_hex(request_hash)}"
        raise RequestBindingError(f"record {arrived.index}, {where}", expected, to_hex(arrived.request_hash))
    if response_hash is not None and arrived.response_hash is not None and arrived.response_hash != response_hash:
        expected = f"a response with the signed hash {to_hex(response_hash)}"
        raise ResponseBindingError(f"record {arrived.index}, {where}", expected, to_hex(arrived.response_hash))


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return checksum_address(Address(value)) if len(value) == 20 else to_hex(value)
    return str(value)
