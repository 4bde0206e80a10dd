"""Checks 15 to 17 in their order over one opened record, whether it came from a log or in a bundle."""

from __future__ import annotations

from typing import Final

from tallystick.errors import SenderProofError, VerificationError
from tallystick.ids import LogId
from tallystick.receipts.messages import Domain
from tallystick.record import BlobRef, Record
from tallystick.verify.binding_checks import BLOBS_REMEDY
from tallystick.verify.claims import SENDER
from tallystick.verify.field_checks import Window, check_device_time, check_price, check_sender_signature, check_times
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

NO_PRICE: Final = "no price in the record: no device was used"


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
    try:
        check_times(where, record.time, record.id, window, work_admitted_at)
        if record.price is not None:
            check_device_time(where, record.time, record.price)
    except VerificationError as failure:
        tally.fail(failure)
    else:
        tally.held[Step.TIMES] += 1
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
