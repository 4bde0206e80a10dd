"""Checks 11 to 13: what one record's own fields say about each other. Pure functions over parts that were opened or disclosed."""

from __future__ import annotations

from typing import Final

from tallystick.errors import PriceArithmeticError, SenderProofError, TimeOrderError
from tallystick.ids import RecordId
from tallystick.record import Price, RecordTime, Sender, charge_micros

BLOCK_TIME_LEAD_US: Final = 12_000_000
"""A block bears the time at which its slot began, and takes transactions until it is proposed: within one slot of 12 seconds."""

TOKEN_PROOF: Final = "proved by token only: the operator's word that this sender asked"  # noqa: S105 - a sentence
UNDEFINED_SIGNATURE: Final = "signed in a way that version 1 does not define"


def check_time_order(where: str, time: RecordTime, record_id: RecordId | None, block_time: int | None) -> None:
    """Check 11: admitted, started, finished, block; and the id's own time is that of the admission.

    Units: `block_time` is Unix seconds, None where the block is not known.
    Raises: TimeOrderError.
    """
    admitted, started, finished = time.admitted_at, time.started_at, time.finished_at
    if started is not None and not admitted <= started <= finished:
        raise TimeOrderError(where, "admitted_at <= started_at <= finished_at", f"{admitted}, {started}, {finished}")
    if finished < admitted:
        raise TimeOrderError(where, "admitted_at <= finished_at", f"{admitted}, {finished}")
    if block_time is not None and finished > block_time * 1_000_000 + BLOCK_TIME_LEAD_US:
        raise TimeOrderError(where, f"finished_at within 12 s of its block's time, {block_time} s", f"{finished} us")
    if record_id is not None and int.from_bytes(record_id[:6], "big") != admitted // 1000:
        named = int.from_bytes(record_id[:6], "big")
        raise TimeOrderError(where, f"an id of the millisecond of admission, {admitted // 1000}", str(named))


def check_price(where: str, price: Price) -> None:
    """Check 12: the charge follows from the price per hour and the device time.

    Raises: PriceArithmeticError.
    """
    expected = charge_micros(price.per_hour_micros, price.device_time_us)
    if price.charge_micros != expected:
        raise PriceArithmeticError(
            where, f"a charge of {expected} micro-{price.currency}", f"{price.charge_micros} micro-{price.currency}"
        )


def sender_proof_gap(where: str, sender: Sender) -> str:
    """Check 13: why the sender's proof cannot be checked; version 1 gives nothing that could be.

    A token is known to the operator alone, so it proves nothing to anybody else. A signature says more, but SPEC does not yet say
    of what: until it does, one is neither believed nor called wrong.
    Raises: SenderProofError if the record claims a signature and holds none.
    """
    if sender.proof == "token":
        return TOKEN_PROOF
    if sender.signature is None:
        raise SenderProofError(where, "the sender's signature", "none, though the record names one as its proof")
    return UNDEFINED_SIGNATURE
