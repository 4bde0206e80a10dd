"""Checks 15 to 17: what one record's own fields say about each other, opened or disclosed, from a log or from a bundle."""

from __future__ import annotations

from typing import Final, NamedTuple

from tallystick.errors import PriceArithmeticError, SenderProofError, SignatureError, TimesError
from tallystick.ids import LogId, RecordId, checksum_address
from tallystick.receipts.messages import Domain, sender_request
from tallystick.receipts.signed import sender_request_signer
from tallystick.record import (
    BlobRef,
    HttpExchange,
    Price,
    Record,
    RecordTime,
    Request,
    Sender,
    Usage,
    charge_micros,
)
from tallystick.verify.binding_checks import BLOBS_REMEDY
from tallystick.verify.claims import SENDER
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

US: Final = 1_000_000
NO_PRICE: Final = "no price in the record: no device was used"


class Window(NamedTuple):
    """What bounds a record's times from outside: its batch, what the log promises, and when the log began.

    Units: Unix seconds, and seconds; `created_at` is None where it is not known.
    """

    batch_time: int
    promise: int
    skew: int
    created_at: int | None


def check_fields(
    tally: Tally,
    where: str,
    domain: Domain,
    log_id: LogId,
    record: Record,
    window: Window | None,
    work_admitted_at: int | None,
) -> None:
    """Checks 15 to 17 over one opened record. Units: `work_admitted_at` is microseconds UTC."""
    # 15 times
    tally.hold(Step.TIMES, check_record_times, where, record, record.id, window, work_admitted_at)
    # 16 price-arithmetic
    if record.price is None:
        tally.note(Step.PRICE_ARITHMETIC, NO_PRICE)
    else:
        tally.hold(Step.PRICE_ARITHMETIC, check_price, where, record.price, record.usage)
    # 17 sender-proof
    check_sender(tally, where, domain, log_id, record)


def check_sender(tally: Tally, where: str, domain: Domain, log_id: LogId, record: Record) -> None:
    """Check 17 over one opened record."""
    sender, request = record.sender, record.request
    if sender.proof == "token":
        tally.note(Step.SENDER_PROOF, SENDER)
    elif isinstance(request, BlobRef):
        tally.block(Step.SENDER_PROOF, Gap("whose signed request lies in a blob that nobody showed", BLOBS_REMEDY))
    elif request is None:
        expected = "the request that the sender signed"
        tally.fail(SenderProofError(where, expected, "none, though the record names a signature as its proof"))
    else:
        tally.hold(
            Step.SENDER_PROOF,
            check_sender_signature,
            where,
            domain,
            log_id,
            record.http,
            request,
            sender,
            record.time.admitted_at,
        )


def check_record_times(
    where: str, record: Record, record_id: RecordId | None, window: Window | None, work_admitted_at: int | None
) -> None:
    """Check 15 over one record: its times, and its device time within them. Raises: TimesError."""
    check_times(where, record.time, record_id, window, work_admitted_at)
    if record.price is not None:
        check_device_time(where, record.time, record.price)


def check_times(
    where: str, time: RecordTime, record_id: RecordId | None, window: Window | None, work_admitted_at: int | None
) -> None:
    """Check 15: admitted, started, finished and the batch in order, within promise and skew; the id is of the admission's millisecond.

    `work_admitted_at` is when the accepted record was admitted that this one ends: then the work began before this one's own
    admission. 0 where only that much is known.
    Units: microseconds UTC.
    Raises: TimesError.
    Source: SPEC 7.
    """
    admitted, started, finished = time.admitted_at, time.started_at, time.finished_at
    first = admitted if work_admitted_at is None else work_admitted_at
    if finished < admitted:
        raise TimesError(where, "admitted_at <= finished_at", f"{admitted}, {finished}")
    if started is not None and not first <= started <= finished:
        order = "admitted_at <= started_at <= finished_at"
        if work_admitted_at is not None:
            order = "the accepted record's admitted_at <= started_at <= finished_at"
        raise TimesError(where, order, f"{first}, {started}, {finished}")
    if record_id is not None and int.from_bytes(record_id[:6], "big") != admitted // 1000:
        named = int.from_bytes(record_id[:6], "big")
        raise TimesError(where, f"an id of the millisecond of admission, {admitted // 1000}", str(named))
    if window is not None:
        _check_window(where, admitted, finished, window)


def _check_window(where: str, admitted: int, finished: int, window: Window) -> None:
    batch_time, promise, skew, created_at = window
    latest = (batch_time + skew) * US
    if finished > latest:
        expected = f"finished_at within {skew} s of its batch's time, {batch_time} s"
        raise TimesError(where, expected, f"{finished} us", timed=True)
    if admitted < (batch_time - promise - skew) * US:
        expected = f"admitted_at within {promise} + {skew} s before its batch's time, {batch_time} s"
        raise TimesError(where, expected, f"{admitted} us", timed=True)
    if created_at is not None and admitted < (created_at - skew) * US:
        expected = f"admitted_at after the log's creation at {created_at} s"
        raise TimesError(where, expected, f"{admitted} us", timed=True)


def check_device_time(where: str, time: RecordTime, price: Price) -> None:
    """Check 15: the device time lies between start and end, and is 0 where no engine started.

    Raises: TimesError.
    Source: SPEC 1.
    """
    span = 0 if time.started_at is None else max(0, time.finished_at - time.started_at)
    if price.device_time_us > span:
        raise TimesError(where, f"device_time_us of at most {span}, the time it ran", str(price.device_time_us))


def check_price(where: str, price: Price, usage: Usage | None) -> None:
    """Check 16: the charge follows from the basis.

    Raises: PriceArithmeticError.
    Source: SPEC 1.
    """
    expected = charge_micros(price, usage)
    if price.charge_micros != expected:
        raise PriceArithmeticError(
            where,
            f"a charge of {expected} micro-{price.currency} on the basis {price.basis}",
            f"{price.charge_micros} micro-{price.currency}",
        )


def check_sender_signature(
    where: str, domain: Domain, log_id: LogId, http: HttpExchange, request: Request, sender: Sender, admitted_at: int
) -> None:
    """Check 17: the sender signed this request, for this log, and its deadline had not passed when it was admitted.

    Requires: the record's proof is `signature`. Units: `admitted_at` is microseconds UTC.
    Raises: SenderProofError.
    Source: SPEC 7.
    """
    signature = sender.signature
    expected = f"a signature by the sender {checksum_address(sender.address)}"
    if signature is None:
        raise SenderProofError(where, expected, "none, though the record names one as its proof")
    asked = sender_request(log_id, http, request, signature)
    try:
        found = sender_request_signer(domain, asked, signature.signature)
    except SignatureError as error:
        raise SenderProofError(where, expected, error.reason) from error
    if found != sender.address:
        raise SenderProofError(where, expected, f"one that leads to {checksum_address(found)}")
    if admitted_at // US > signature.deadline:
        expected = f"an admission by {signature.deadline}, the deadline that the sender signed"
        raise SenderProofError(where, expected, f"one at {admitted_at // US}")
