from dataclasses import replace

import pytest

from tallystick.errors import ReceiptFormatError
from tallystick.keys import Wallet
from tallystick.receipts import SignedReceipt, sign_admission, sign_receipt
from tallystick.record import Choice, Response
from tallystick.sealing import seal
from tallystick.verify import Outcome, Status, Step, VerifyOptions, verify_log
from tallystick.verify.receipt_checks import ADMISSION_CLOSED, HASHES_CLOSED, NOT_DUE
from tests.support.synthetic_log import ANCHOR_DEADLINE_S, AUDITOR, LOG, SyntheticLog

SOMEBODY = Wallet(b"\x0a" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    return log


def checked(log, *receipts, keys=(AUDITOR,)):
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=keys, receipts=receipts))
    return verdict, verdict.check(Step.RECEIPTS)


def failure(log, *receipts):
    verdict, check = checked(log, *receipts)
    assert verdict.outcome is Outcome.WRONG
    assert check.status is Status.FAIL
    return verdict.failures[0]


def resigned(log, signed, wallet=None, **changes):
    return sign_receipt(wallet or log.writer, signed.domain, replace(signed.receipt, **changes))


def test_receipts_that_the_log_keeps_hold(log):
    _, check = checked(log, *log.receipts)
    assert (check.status, check.held, check.not_covered) == (Status.PASS, 3, 0)


def test_two_receipts_for_one_record_are_both_checked(log):
    _, check = checked(log, log.receipts[1], log.receipts[1])
    assert check.held == 2


def test_a_receipt_by_somebody_else_is_named(log):
    found = failure(log, resigned(log, log.receipts[0], SOMEBODY))
    assert found.where == "receipt for record 0"
    assert "signature by the log's writer" in found.expected


def test_a_signature_that_is_none_is_named(log):
    signed = log.receipts[0]
    assert failure(log, replace(signed, signature=bytes(65))).found.startswith("v is 0")


def test_another_leaf_than_the_chain_s_is_named(log):
    assert "leaf" in failure(log, resigned(log, log.receipts[0], leaf=b"\x31" * 32)).expected


def test_a_record_anchored_after_its_deadline_is_named(log):
    block_time = log.blocks[-1].timestamp
    assert checked(log, resigned(log, log.receipts[0], anchor_by=block_time))[1].held == 1
    found = failure(log, resigned(log, log.receipts[0], anchor_by=block_time - 1))
    assert found.found == f"the block of {block_time}"


@pytest.mark.parametrize("name", ["request_hash", "response_hash"])
def test_another_request_or_response_than_the_record_s_is_named(log, name):
    found = failure(log, resigned(log, log.receipts[0], **{name: b"\x31" * 32}))
    assert name.replace("_", " ") in found.expected


def test_a_response_text_that_does_not_give_its_hash_is_named(log):
    record = log.request()
    other = replace(record, response=Response(choices=(Choice(index=0, text="other", finish_reason=None),)))
    log.append([other])
    assert "a response text whose hash is" in failure(log, log.receipts[-1]).found


def test_a_record_without_response_answers_to_the_hash_of_nothing(log):
    record = log.request()
    log.append([replace(record, response=None, http=replace(record.http, response_hash=None))])
    assert checked(log, log.receipts[-1])[1].held == 1


def test_a_closed_record_s_hashes_are_not_covered_and_the_rest_is(log):
    _, check = checked(log, log.receipts[0], keys=())
    assert (check.status, check.held) == (Status.PASS, 1)
    assert [reason.text for reason in check.reasons] == [HASHES_CLOSED]


def unanchored(log, **changes):
    record = log.request()
    return resigned(log, log.receipt(record, seal(record, epoch_key=log.epoch_key, index=log.size)), **changes)


def test_a_receipt_that_is_not_due_is_not_covered(log):
    _, check = checked(log, unanchored(log))
    assert check.status is Status.NOT_COVERED
    assert [reason.text for reason in check.reasons] == [NOT_DUE]


def test_a_receipt_that_is_due_and_not_kept_is_named(log):
    found = failure(log, unanchored(log, anchor_by=log.blocks[-1].timestamp - 1))
    assert found.where == "receipt for record 3"
    assert found.found.startswith("none in the log")


def test_a_forged_receipt_that_is_not_due_is_named(log):
    assert "writer" in failure(log, resigned(log, unanchored(log), SOMEBODY)).expected


def test_a_receipt_of_another_log_or_chain_is_not_about_this_log(log):
    signed = log.receipts[0]
    other_log = replace(signed, receipt=replace(signed.receipt, log_id=b"\x31" * 32))
    other_chain = replace(signed, domain=replace(signed.domain, chain_id=1))
    for receipt, words in ((other_log, "log_id"), (other_chain, "domain")):
        with pytest.raises(ReceiptFormatError, match=words):
            checked(log, receipt)


def test_each_receipt_must_be_by_the_writer_of_its_time(log):
    old = log.writer
    log.rotate_writer(SOMEBODY)
    log.append_requests(1)
    assert checked(log, *log.receipts)[1].held == 4
    assert failure(log, resigned(log, log.receipts[3], old)).where == "receipt for record 3"
    assert failure(log, resigned(log, log.receipts[0], SOMEBODY)).where == "receipt for record 0"


def test_an_admission_whose_record_stands_in_the_log_holds(log):
    _, check = checked(log, log.admission(log.records[1]))
    assert (check.status, check.held) == (Status.PASS, 1)


@pytest.mark.parametrize("name", ["sender_seq", "sender", "request_hash", "admitted_at"])
def test_an_admission_that_the_record_contradicts_is_named(log, name):
    signed = log.admission(log.records[1])
    value = getattr(signed.admission, name)
    other = value + 1 if isinstance(value, int) else bytes(len(value))
    found = failure(log, sign_admission(log.writer, log.domain, replace(signed.admission, **{name: other})))
    assert found.where.startswith("admission of ")
    assert "that was promised" in found.expected


def test_an_admission_that_was_never_recorded_is_named_once_it_is_due(log):
    admission = log.admission(log.request())
    assert [reason.text for reason in checked(log, admission)[1].reasons] == [NOT_DUE]
    log.open_epoch()
    log.blocks[-1].timestamp += ANCHOR_DEADLINE_S + 10
    assert failure(log, admission).expected.startswith("a record on the chain by")


def test_an_admission_may_be_of_a_record_that_was_not_opened(log):
    _, check = checked(log, log.admission(log.records[0]), keys=())
    assert [reason.text for reason in check.reasons] == [ADMISSION_CLOSED]


def test_a_receipt_is_signed_for_its_log_alone(log):
    assert isinstance(log.receipts[0], SignedReceipt)
    assert log.receipts[0].receipt.log_id == LOG
