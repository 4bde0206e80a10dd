"""Receipts, admissions, heads and erasures against a log that is honest otherwise."""

from dataclasses import replace

import pytest

from tallystick.keys import Wallet
from tallystick.receipts.signed import SignedAdmission, SignedHead, SignedReceipt
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.synthetic_log import AUDITOR, PROMISE_S, SKEW_S, WRITER, SyntheticLog

NEW_WRITER = Wallet(b"\x07" * 32)
STRANGER = Wallet(b"\x66" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    return log


def judged(log, *messages, keys=(AUDITOR,)):
    return verify_log(log.reader(), VerifyOptions(auditor_keys=keys, messages=messages))


def failures(log, *messages):
    return [(failure.name, failure.where, failure.signed) for failure in judged(log, *messages).failures]


def changed_receipt(log, of, wallet=WRITER, **changes):
    return SignedReceipt.sign(wallet, log.domain, replace(log.receipts[of].receipt, **changes))


def changed_admission(log, index, wallet=WRITER, **changes):
    return SignedAdmission.sign(wallet, log.domain, replace(log.admission(log.records[index]).admission, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"leaf": b"\x01" * 32}, {"admission_seq": 9}, {"sender": b"\x01" * 20}],
    ids=["leaf", "number", "sender"],
)
def test_a_receipt_that_is_not_its_records(log, changes):
    assert failures(log, changed_receipt(log, 1, **changes)) == [("receipts", "receipt for record 1", False)]


def test_a_receipt_whose_batch_came_late_by_a_second(log):
    time = log.batches[0].block.timestamp
    assert failures(log, changed_receipt(log, 1, anchor_by=time)) == []
    assert failures(log, changed_receipt(log, 1, anchor_by=time - 1)) == [("receipts", "receipt for record 1", False)]


def test_a_receipt_whose_record_never_came(log):
    receipt = changed_receipt(log, 1, index=9, admission_seq=9)
    verdict = judged(log, receipt)
    assert verdict.failures == ()
    assert any("not due" in reason.text for reason in verdict.check(Step.RECEIPTS).reasons)
    log.idle(PROMISE_S + 10)
    assert failures(log, receipt) == [("receipts", "receipt for record 9", False)]


def test_an_admission_whose_number_never_came(log):
    admission = log.admission(log.request())
    assert failures(log, admission) == []
    log.idle(PROMISE_S + 10)
    assert failures(log, admission) == [("receipts", "admission of number 4", False)]


def test_a_promise_beyond_the_logs_is_proof_by_itself(log):
    issued = log.receipts[1].receipt.issued_at
    assert failures(log, changed_receipt(log, 1, anchor_by=issued + PROMISE_S)) == []
    assert failures(log, changed_receipt(log, 1, anchor_by=issued + PROMISE_S + 1)) == [
        ("receipts", "receipt for record 1", True)
    ]
    admitted = log.records[1].time.admitted_at // 1_000_000
    assert failures(log, changed_admission(log, 1, record_by=admitted + PROMISE_S + 1)) == [
        ("receipts", "admission of number 2", True)
    ]


def test_a_receipt_that_is_given_twice_is_one_receipt(log):
    assert judged(log, log.receipts[1], log.receipts[1]).check(Step.RECEIPTS).held == 1


def test_two_admissions_of_one_number_contradict_each_other(log):
    other = changed_admission(log, 1, request_hash=b"\x01" * 32)
    assert ("receipts", "two admissions of number 2", True) in failures(log, log.admission(log.records[1]), other)


def test_a_receipt_and_an_admission_of_one_number_must_agree(log):
    admission = changed_admission(log, 1, sender=b"\x01" * 20)
    assert ("receipts", "what was signed under the number 2", True) in failures(log, log.receipts[1], admission)
    late = changed_receipt(log, 1, anchor_by=log.admission(log.records[1]).admission.record_by + 1)
    assert ("receipts", "what was signed under the number 2", True) in failures(
        log, late, log.admission(log.records[1])
    )


def test_what_a_stranger_signed_proves_nothing_and_accuses_nobody(log):
    for message in (
        changed_receipt(log, 1, STRANGER, leaf=b"\x01" * 32),
        changed_admission(log, 1, STRANGER, sender=b"\x01" * 20),
        SignedHead.sign(STRANGER, log.domain, replace(log.signed_head().head, head=b"\x01" * 32)),
    ):
        verdict = judged(log, message)
        assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
        assert "never was this log's writer" in verdict.check(Step.RECEIPTS).reasons[0].text


def test_what_a_writer_signed_binds_the_log_after_it_was_replaced(log):
    wrong = changed_receipt(log, 1, leaf=b"\x01" * 32)
    log.rotate_writer(NEW_WRITER)
    log.open_epoch()
    log.append_requests(1)
    assert failures(log, wrong) == [("receipts", "receipt for record 1", False)]


def test_a_retired_writer_can_sign_for_nothing_that_came_after_it(log):
    log.rotate_writer(NEW_WRITER)
    rotated = log.blocks[-1].timestamp
    log.open_epoch()
    log.append_requests(1)
    number = log.records[-1].admission_seq
    for changes in (
        {"issued_at": rotated, "anchor_by": rotated, "admission_seq": number, "index": 3, "leaf": b"\x01" * 32},
        {"issued_at": rotated + SKEW_S + 1, "anchor_by": rotated + SKEW_S + 1, "leaf": b"\x01" * 32},
    ):
        verdict = judged(log, changed_receipt(log, 1, WRITER, **changes))
        assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


def test_hashes_are_left_open_where_the_record_was_not_opened(log):
    verdict = judged(log, log.receipts[1], log.admission(log.records[1]), keys=())
    assert verdict.outcome is Outcome.PROVEN
    check = verdict.check(Step.RECEIPTS)
    assert (check.held, check.not_covered) == (2, 2)


def test_a_head_on_the_way_holds_and_one_ahead_of_the_node_is_left_open(log):
    head = log.signed_head()
    log.append_requests(1)
    assert judged(log, head).outcome is Outcome.PROVEN
    verdict = judged(log, log.signed_head(entries=log.entries + 1))
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert failures(log, log.signed_head(size=99)) == [("receipts", f"head of {log.entries} entries", False)]


def test_a_head_of_nothing_is_the_logs_identifier(log):
    assert judged(log, log.signed_head(entries=0, size=0, head=log.log_id)).outcome is Outcome.PROVEN
    assert failures(log, log.signed_head(entries=0, size=0, head=b"\x01" * 32)) != []
