"""Logs, nodes and files made to mislead: each claim here was once false."""

from dataclasses import replace

import pytest

from tallystick.bundle import Bundle, sign_evidence
from tallystick.keys import Wallet
from tallystick.receipts import sign_receipt
from tallystick.sealing import seal
from tallystick.verify import Outcome, Step, VerifyOptions, verify_bundle, verify_log
from tallystick.verify.receipt_checks import NOT_DUE
from tests.support.synthetic_log import AUDITOR, START_S, SyntheticLog

NEXT_WRITER = Wallet(b"\x09" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    return log


def steps(verdict):
    return {failure.step for failure in verdict.failures}


def promised(log, bundle, **changes):
    """The bundle with another promise in its receipt, attested and signed by the writer all the same."""
    receipt = sign_receipt(log.writer, log.domain, replace(bundle.evidence.receipt.receipt, **changes))
    evidence = replace(bundle.evidence, receipt=receipt)
    return Bundle(evidence=evidence, attestation=sign_evidence(log.writer, evidence))


def test_a_record_anchored_too_late_is_named_by_a_bundle_from_before_its_anchor(log):
    late = promised(log, log.bundle(0, anchored=False), anchor_by=START_S + 1)
    assert steps(verify_bundle(late, log.node())) == {Step.RECEIPTS}


def test_a_bundle_from_before_its_anchor_outlives_its_writer(log):
    early = log.bundle(0, anchored=False)
    log.rotate_writer(NEXT_WRITER)
    assert verify_bundle(early, log.node()).outcome is Outcome.PROVEN


def straddling(log):
    """A receipt and an admission of one writer, a bundle of both times, and the record that the next writer anchors."""
    record = log.request()
    sealed = seal(record, epoch_key=log.epoch_key, index=log.size)
    receipt, admission, writer = log.receipt(record, sealed), log.admission(record), log.writer
    log.rotate_writer(NEXT_WRITER)
    log.append([record])
    log.receipts[-1] = receipt
    evidence = log.bundle(sealed.index).evidence
    return receipt, admission, Bundle(evidence=evidence, attestation=sign_evidence(writer, evidence))


def test_what_a_writer_promised_is_kept_by_the_next_one(log):
    receipt, admission, bundle = straddling(log)
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=[receipt, admission]))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.RECEIPTS).held == 2
    assert verify_bundle(bundle, log.node()).outcome is Outcome.PROVEN


def test_a_promise_that_is_not_due_outlives_its_writer(log):
    record = log.request()
    receipt = log.receipt(record, seal(record, epoch_key=log.epoch_key, index=log.size))
    log.rotate_writer(NEXT_WRITER)
    verdict = verify_log(log.reader(), VerifyOptions(receipts=[receipt]))
    assert verdict.outcome is Outcome.PROVEN
    assert [reason.text for reason in verdict.check(Step.RECEIPTS).reasons] == [NOT_DUE]


def test_what_a_writer_signs_after_its_time_binds_nobody(log):
    old = log.writer
    log.rotate_writer(NEXT_WRITER)
    log.append_requests(1)
    forged = sign_receipt(old, log.domain, log.receipts[-1].receipt)
    assert steps(verify_log(log.reader(), VerifyOptions(receipts=[forged]))) == {Step.RECEIPTS}
