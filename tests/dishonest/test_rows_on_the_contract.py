"""Some rows of docs/trust-model.md on the real contract: what the other tests take from a synthetic log holds there too."""

from dataclasses import replace

import pytest

from tallystick.receipts.signed import SignedReceipt
from tests.support.dishonest.contracts import SUCCESSOR, on_contract
from tests.support.dishonest.writers import answering
from tests.support.synthetic_log import STRANGER


@pytest.fixture(name="log")
def contract_log():
    """A log with one epoch and two honest records."""
    with on_contract() as log:
        yield log


def test_an_honest_log_on_the_contract_holds(auditor, log):
    record = log.request(3)
    (sealed,) = log.append([record])
    log.pass_the_promise()
    kept = [log.receipt(record, sealed), log.admission(record)]
    auditor.judge(log, kept=kept).finds_nothing()


def test_row_1_another_prompt_on_the_contract(auditor, log):
    log.append([replace(log.request(3), prompt={"messages": []})])
    auditor.judge(log).proves("request-binding", saying="record 2: prompt")


def test_row_4_another_answer_on_the_contract(auditor, log):
    given = log.request(3)
    (sealed,) = log.append([answering(given, "Something else")])
    receipt = log.receipt(given, sealed)
    told = SignedReceipt.sign(log.ledger.wallet, log.domain, replace(receipt.receipt, response_hash=b"\x12" * 32))
    auditor.judge(log, kept=[told]).proves("response-binding", saying="a response with the signed hash")


def test_row_12_an_admission_number_twice_on_the_contract(auditor, log):
    log.append([replace(log.request(3), admission_seq=2)])
    auditor.judge(log, closed=True).proves("completeness", saying="admission number 2 again")


def test_row_13_the_key_wrapped_for_somebody_else_on_the_contract(auditor, log):
    log.open_epoch([STRANGER])
    log.append([log.request(3)])
    auditor.judge(log).leaves_open("of epoch 2, whose key was not wrapped for", check="decryption")


def test_row_15_a_record_dropped_on_the_contract(auditor, log):
    log.append([log.request(4)])
    log.pass_the_promise()
    auditor.judge(log, closed=True).proves("completeness", saying="3 missing at")


def test_row_17_the_newest_withheld_on_the_contract(auditor, log):
    admission = log.admission(log.request(3))
    log.pass_the_promise()
    auditor.judge(log).finds_nothing(("completeness", "that nothing was admitted after number 2"))
    auditor.judge(log, kept=[admission]).proves("receipts", saying="a record on the chain by")


def test_row_18_a_second_receipt_on_the_contract(auditor, log):
    record = log.request(3)
    (sealed,) = log.append([record])
    honest = log.receipt(record, sealed)
    second = SignedReceipt.sign(log.ledger.wallet, log.domain, replace(honest.receipt, leaf=b"\x12" * 32))
    auditor.judge(log, kept=[second], closed=True).proves("receipts", saying="expected the receipt's leaf")


def test_row_22_void_numbers_on_the_contract(auditor, log):
    admission = log.admission(log.request(3))
    log.ledger.void(3, 5)
    log.pass_the_promise()
    auditor.judge(log).finds_nothing(("completeness", "that the writer declared lost, within 3 to 5"))
    auditor.judge(log, kept=[admission]).proves("receipts", saying="admission of number 3")


def test_row_37_admissions_that_a_new_writer_does_not_owe_on_the_contract(auditor, log):
    admission = log.admission(log.request(3))
    log.ledger.rotate(SUCCESSOR, 2)
    log.pass_the_promise()
    auditor.judge(log, kept=[admission]).leaves_open("under a number that did not bind it any more", check="receipts")
