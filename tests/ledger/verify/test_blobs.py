"""Records whose large fields stand outside them: proven with the blobs, named without them, never half believed."""

from dataclasses import replace
from random import Random

import pytest

from tallystick.encoding import encode_record
from tallystick.record import Response
from tallystick.tasks import chat_output
from tallystick.verify import record_checks
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.record_checks import RecordChecks
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.vouching import Vouch
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.memory_peak import MIB, peak_below
from tests.support.synthetic_log import AUDITOR, SyntheticLog

KNOWN = Vouch(how="for the test", log_known=True)
LETTERS = "".join(chr(code) for code in range(0x4E00, 0x5E00))


@pytest.fixture(scope="module")
def log():
    """The second record's answer is too long for one transaction, and does not compress."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(1)
    answer = "".join(Random(7).choices(LETTERS, k=120_000))
    log.append([replace(log.request(), response=Response(outputs=(chat_output(answer, "stop"),)))])
    assert len(log.sealed[1].blobs) == 1
    return log


def blobs_of(log):
    held = {blob.ref.sealed_digest: blob.ciphertext for blob in log.sealed[1].blobs}
    return held.get


def judged(log, blobs, *messages):
    return verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], blobs=blobs, messages=messages))


def test_with_the_blobs_the_record_is_proven_as_a_whole(log):
    verdict = judged(log, blobs_of(log), *log.receipts)
    assert verdict.failures == ()
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.RESPONSE_BINDING).held == 2


def test_a_blob_that_nobody_shows_is_named_and_the_proof_is_open(log):
    verdict = judged(log, lambda _: None, *log.receipts)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    (reason,) = [reason for reason in verdict.check(Step.RESPONSE_BINDING).reasons if reason.blocks]
    assert log.sealed[1].blobs[0].ref.sealed_digest.hex() in reason.text
    assert "record 1" in reason.text
    assert "tallystick fetch" in reason.remedy


def test_a_blob_that_is_another_is_not_taken_for_it(log):
    verdict = judged(log, lambda digest: blobs_of(log)(digest) + b"\x00")
    assert [(failure.name, failure.where) for failure in verdict.failures] == [
        ("response-binding", "record 1, blob of the response")
    ]


def test_a_bundle_with_its_blobs_is_proven_and_without_them_left_open(log):
    assert verify_bundle(log.bundle(1), vouch=KNOWN, blobs=blobs_of(log)).outcome is Outcome.PROVEN
    verdict = verify_bundle(log.bundle(1), vouch=KNOWN)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


def test_another_answer_in_a_blob_than_the_receipt_was_given_for_is_named(log):
    receipt = log.receipts[1]
    other = log.receipt(log.records[1], replace(log.sealed[1], response_hash=b"\x01" * 32))
    assert receipt != other
    verdict = judged(log, blobs_of(log), other)
    assert {failure.name for failure in verdict.failures} == {"response-binding"}


def test_records_are_decoded_few_at_a_time_where_they_are_large(monkeypatch):
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(7)
    size = max(len(encode_record(record)) for record in log.records)
    monkeypatch.setattr(record_checks, "CHUNK_BYTES", 2 * size)
    parts = []
    decode = RecordChecks._decode

    def counted(checks, records):
        parts.append(len(records))
        return decode(checks, records)

    monkeypatch.setattr(RecordChecks, "_decode", counted)
    assert judged(log, lambda _: None).check(Step.TIMES).held == 7
    assert parts == [2, 2, 2, 1]
    monkeypatch.setattr(record_checks, "CHUNK_BYTES", 1)
    parts.clear()
    assert judged(log, lambda _: None).check(Step.TIMES).held == 7
    assert parts == [1] * 7


def test_a_dishonest_record_of_empty_lists_is_opened_in_bounded_memory():
    log = SyntheticLog()
    log.open_epoch()
    log.append([replace(log.request(), prompt={"p": [[]] * 40_000})])
    reader = log.reader()
    with peak_below(12 * MIB):
        verdict = verify_log(reader, VerifyOptions(auditor_keys=[AUDITOR]))
    assert verdict.check(Step.DECRYPTION).held == 1
