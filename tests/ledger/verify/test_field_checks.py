from dataclasses import replace

import pytest

from tallystick.errors import PriceArithmeticError, SenderProofError, TimeOrderError
from tallystick.verify.field_checks import (
    BLOCK_TIME_LEAD_US,
    TOKEN_PROOF,
    UNDEFINED_SIGNATURE,
    check_price,
    check_time_order,
    sender_proof_gap,
)
from tests.support.synthetic_log import START_S, synthetic_record

RECORD = synthetic_record(1)
TIME, PRICE, SENDER = RECORD.time, RECORD.price, RECORD.sender


def test_times_in_order_hold():
    check_time_order("record 0", TIME, RECORD.id, START_S + 1)


def test_a_request_that_never_started_holds():
    check_time_order("record 0", replace(TIME, started_at=None), RECORD.id, START_S + 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"started_at": TIME.admitted_at - 1},
        {"started_at": TIME.finished_at + 1},
        {"finished_at": TIME.admitted_at - 1, "started_at": None},
    ],
)
def test_times_out_of_order_are_named(changed):
    with pytest.raises(TimeOrderError, match=r"record 0.*<="):
        check_time_order("record 0", replace(TIME, **changed), RECORD.id, START_S + 1)


def test_a_record_may_end_within_one_slot_of_its_block_time():
    block_time = START_S
    latest = block_time * 1_000_000 + BLOCK_TIME_LEAD_US
    check_time_order("record 0", replace(TIME, finished_at=latest), None, block_time)
    with pytest.raises(TimeOrderError, match="within 12 s of its block"):
        check_time_order("record 0", replace(TIME, finished_at=latest + 1), None, block_time)


def test_without_a_block_the_order_within_the_record_is_checked():
    check_time_order("record 0", TIME, RECORD.id, None)
    with pytest.raises(TimeOrderError):
        check_time_order("record 0", replace(TIME, finished_at=0), RECORD.id, None)


def test_the_id_must_be_of_the_millisecond_of_admission():
    check_time_order("record 0", replace(TIME, admitted_at=TIME.admitted_at + 999), RECORD.id, None)
    with pytest.raises(TimeOrderError, match="millisecond"):
        check_time_order("record 0", replace(TIME, admitted_at=TIME.admitted_at + 1000), RECORD.id, None)


def test_a_charge_that_follows_holds_and_one_off_by_one_does_not():
    check_price("record 0", PRICE)
    for charge in (PRICE.charge_micros - 1, PRICE.charge_micros + 1):
        with pytest.raises(PriceArithmeticError, match=f"a charge of {PRICE.charge_micros} micro-EUR") as caught:
            check_price("record 0", replace(PRICE, charge_micros=charge))
        assert caught.value.found == f"{charge} micro-EUR"


def test_a_token_is_never_taken_for_a_proof():
    assert sender_proof_gap("record 0", SENDER) == TOKEN_PROOF


def test_a_signature_is_neither_believed_nor_called_wrong():
    signed = replace(SENDER, proof="signature", signature=b"\x01" * 65)
    assert sender_proof_gap("record 0", signed) == UNDEFINED_SIGNATURE


def test_a_signature_that_is_claimed_and_absent_is_wrong():
    with pytest.raises(SenderProofError, match="the sender's signature"):
        sender_proof_gap("record 0", replace(SENDER, proof="signature", signature=None))
