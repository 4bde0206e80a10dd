from dataclasses import replace

import pytest

from tallystick.errors import PriceArithmeticError, SenderProofError, TimesError
from tallystick.keys import Wallet
from tallystick.receipts.messages import Domain, sender_request
from tallystick.receipts.signed import sign_sender_request
from tallystick.record import SenderSignature
from tallystick.verify.field_checks import Window, check_device_time, check_price, check_sender_signature, check_times
from tests.support.synthetic_log import CHAIN_ID, CONTRACT, LOG, PROMISE_S, SKEW_S, START_S, synthetic_record

RECORD = synthetic_record(1)
TIME, PRICE, SENDER = RECORD.time, RECORD.price, RECORD.sender
US = 1_000_000
WINDOW = Window(batch_time=START_S + 1, promise=PROMISE_S, skew=SKEW_S, created_at=START_S - 10)
DOMAIN = Domain(chain_id=CHAIN_ID, contract=CONTRACT)
SIGNER = Wallet(b"\x21" * 32)


def test_times_in_order_hold():
    check_times("record 0", TIME, RECORD.id, WINDOW, None)
    check_times("record 0", replace(TIME, started_at=None), RECORD.id, WINDOW, None)
    check_times("record 0", TIME, None, None, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"started_at": TIME.admitted_at - 1},
        {"started_at": TIME.finished_at + 1},
        {"finished_at": TIME.admitted_at - 1, "started_at": None},
    ],
    ids=["started before", "started after", "finished before"],
)
def test_times_out_of_order_are_named(changed):
    with pytest.raises(TimesError, match=r"record 0.*<="):
        check_times("record 0", replace(TIME, **changed), None, None, None)


def test_work_that_was_accepted_before_may_start_before_its_own_record_is_admitted():
    early = replace(TIME, started_at=TIME.admitted_at - 5 * US)
    check_times("record 0", early, None, None, TIME.admitted_at - 5 * US)
    with pytest.raises(TimesError, match="the accepted record's admitted_at"):
        check_times("record 0", early, None, None, TIME.admitted_at - 5 * US + 1)


def test_a_record_may_end_within_the_skew_of_its_batch():
    latest = (WINDOW.batch_time + SKEW_S) * US
    check_times("record 0", replace(TIME, finished_at=latest), None, WINDOW, None)
    with pytest.raises(TimesError, match=r"within 60 s of its batch"):
        check_times("record 0", replace(TIME, finished_at=latest + 1), None, WINDOW, None)


def test_a_record_is_admitted_within_promise_and_skew_before_its_batch():
    late = WINDOW._replace(batch_time=START_S + PROMISE_S + SKEW_S, created_at=None)
    check_times("record 0", replace(TIME, admitted_at=START_S * US), None, late, None)
    with pytest.raises(TimesError, match=r"within 3600 \+ 60 s before its batch"):
        check_times("record 0", replace(TIME, admitted_at=START_S * US - 1), None, late, None)


def test_a_record_is_not_admitted_before_its_log_began():
    window = WINDOW._replace(created_at=START_S + SKEW_S)
    check_times("record 0", TIME, None, window, None)
    with pytest.raises(TimesError, match="after the log's creation"):
        check_times("record 0", TIME, None, window._replace(created_at=START_S + SKEW_S + 1), None)


def test_the_id_must_be_of_the_millisecond_of_admission():
    check_times("record 0", replace(TIME, admitted_at=TIME.admitted_at + 999), RECORD.id, None, None)
    with pytest.raises(TimesError, match="millisecond"):
        check_times("record 0", replace(TIME, admitted_at=TIME.admitted_at + 1000), RECORD.id, None, None)


def test_device_time_is_at_most_the_time_from_start_to_end():
    span = TIME.finished_at - TIME.started_at
    check_device_time("record 0", TIME, replace(PRICE, device_time_us=span))
    with pytest.raises(TimesError, match=f"at most {span}"):
        check_device_time("record 0", TIME, replace(PRICE, device_time_us=span + 1))


def test_without_a_start_there_is_no_device_time():
    never = replace(TIME, started_at=None)
    check_device_time("record 0", never, replace(PRICE, device_time_us=0))
    with pytest.raises(TimesError, match="at most 0"):
        check_device_time("record 0", never, replace(PRICE, device_time_us=1))


@pytest.mark.parametrize(
    ("price", "charge"),
    [
        (replace(PRICE, per_hour_micros=3_600_000_001, device_time_us=1), 2),
        (replace(PRICE, basis="tokens", rates={"output_tokens": 3, "images": 9}), 1),
        (replace(PRICE, basis="fixed", rates={"request": 500}), 500),
    ],
    ids=["device-time", "tokens", "fixed"],
)
def test_a_charge_that_follows_from_its_basis_holds_and_one_off_by_one_does_not(price, charge):
    check_price("record 0", replace(price, charge_micros=charge), RECORD.usage)
    for wrong in (charge - 1, charge + 1):
        with pytest.raises(PriceArithmeticError, match=f"a charge of {charge} micro-EUR") as caught:
            check_price("record 0", replace(price, charge_micros=wrong), RECORD.usage)
        assert caught.value.found == f"{wrong} micro-EUR"


def signed_sender(deadline=START_S, wallet=SIGNER):
    unsigned = SenderSignature(nonce=b"\x05" * 32, deadline=deadline, signature=bytes(65))
    asked = sender_request(LOG, RECORD.http, RECORD.request, unsigned)
    signature = replace(unsigned, signature=sign_sender_request(wallet, DOMAIN, asked))
    return replace(SENDER, address=SIGNER.address, proof="signature", signature=signature)


def check_sender(sender, request=RECORD.request):
    check_sender_signature("record 0", DOMAIN, LOG, RECORD.http, request, sender, TIME.admitted_at)


def test_a_request_that_its_sender_signed_holds():
    check_sender(signed_sender())


@pytest.mark.parametrize(
    ("sender", "request_", "expected"),
    [
        (signed_sender(), replace(RECORD.request, body=b"{}"), "a signature by the sender"),
        (signed_sender(wallet=Wallet(b"\x22" * 32)), RECORD.request, "a signature by the sender"),
        (replace(SENDER, proof="signature", signature=None), RECORD.request, "a signature by the sender"),
        (signed_sender(deadline=START_S - 1), RECORD.request, "the deadline that the sender signed"),
    ],
    ids=["another body", "another signer", "no signature", "past its deadline"],
)
def test_a_request_that_its_sender_did_not_sign_so_is_named(sender, request_, expected):
    with pytest.raises(SenderProofError, match=expected):
        check_sender(sender, request_)
