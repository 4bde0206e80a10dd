"""Rows 12 to 19 and 21 to 26 of docs/trust-model.md: what a writer does with the log, its epochs, and what it signs."""

from dataclasses import replace

from tallystick.heads import derive_log_id
from tallystick.ids import to_hex
from tallystick.keys import Wallet, wrap_epoch_key
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedReceipt
from tallystick.record import State
from tests.support.dishonest.clients import told
from tests.support.dishonest.writers import answering, append_with_blobs, begun, pass_the_promise
from tests.support.largest_record import noise
from tests.support.synthetic_log import ALICE, AUDITOR, CHAIN_ID, CONTRACT, PROMISE_S, STRANGER, TERMS

VAULT = b"\x0f" * 32


def test_row_12_two_records_with_one_id(auditor):
    log = begun()
    record = log.request()
    log.append([record, replace(log.request(), id=record.id, time=record.time)])
    auditor.judge(log).proves("sequences", saying="an id that no record before has")


def test_row_12_two_records_with_one_admission_number(auditor):
    log = begun()
    log.append([log.request(), replace(log.request(), admission_seq=3)])
    auditor.judge(log, closed=True).proves("completeness", saying="admission number 3 again")


def test_row_13_the_key_wrapped_for_somebody_else_only(auditor):
    log = begun()
    log.open_epoch([STRANGER])
    log.append_requests(1)
    auditor.judge(log).leaves_open("of epoch 2, whose key was not wrapped for", check="decryption")


def test_row_14_garbage_in_the_place_of_a_wrap(auditor):
    log = begun()
    wrap = wrap_epoch_key(log.epoch_key, AUDITOR.public)
    log.open_epoch(wraps=wrap[:8] + noise(len(wrap) - 8, "no wrap"))
    log.append_requests(1)
    auditor.judge(log).leaves_open("of epoch 2, whose wrap does not open", check="decryption")


def test_row_15_a_record_that_was_dropped(auditor):
    log = begun()
    dropped = log.request()
    log.append_requests(1)
    kept = [log.admission(dropped), told(log, dropped, log.seal(dropped, log.size - 1))]
    auditor.judge(log, closed=True).finds_nothing(("completeness", "3 missing so far: not due yet"))
    auditor.judge(log, kept=[kept[1]], closed=True).proves("receipts", saying="expected the receipt's leaf")
    pass_the_promise(log)
    auditor.judge(log, closed=True).proves("completeness", saying="3 missing at")
    judged = auditor.judge(log, kept=[kept[0]], closed=True)
    judged.proves("completeness", "receipts", saying="none in the log")


def test_row_16_a_record_that_was_dropped_beside_one_that_was_erased(auditor):
    log = begun()
    log.append([log.request()], vault=VAULT)
    log.request()
    log.append_requests(1)
    pass_the_promise(log)
    erasures = auditor.write(log.erasure(2))
    auditor.judge(log, "--erasures", erasures).proves("completeness", "sequences", saying="4 missing")
    auditor.judge(log, closed=True).proves("completeness", saying="4 missing")


def test_row_17_the_newest_record_withheld_for_ever(auditor):
    log = begun()
    admission = log.admission(log.request())
    pass_the_promise(log)
    auditor.judge(log).finds_nothing(("completeness", "claimed, not proven: that nothing was admitted after number 2"))
    auditor.judge(log, kept=[admission]).proves("receipts", saying="expected a record on the chain by")


def test_row_18_a_second_receipt_for_one_index(auditor):
    log = begun()
    other = answering(log.records[1], "Something else")
    second = told(log, other, log.seal(other, 1))
    auditor.judge(log).finds_nothing()
    auditor.judge(log, kept=[second], closed=True).proves("receipts", saying="expected the receipt's leaf")
    both = auditor.judge(log, kept=[log.receipts[1], second])
    both.proves("receipts", saying="two receipts for record 1")


def test_row_19_a_second_log_for_some_clients(auditor):
    log = begun()
    second = begun(terms=replace(TERMS, salt=b"\x01" * 32))
    assert second.log_id == derive_log_id(CHAIN_ID, CONTRACT, second.terms)
    receipt = second.receipts[0]
    auditor.judge(log, kept=[receipt]).leaves_open(f"is of the log {to_hex(second.log_id)}")
    auditor.judge_file(receipt, log=second).leaves_open("whose log this is was not checked", check="authorship")
    auditor.judge_file(receipt, known=log.log_id).leaves_open(f"the file is about {to_hex(second.log_id)}")


def test_row_21_blobs_that_nobody_can_have(auditor, tmp_path):
    log = begun()
    blobs = append_with_blobs(log)
    judged = auditor.judge(log)
    for blob in blobs:
        judged.leaves_open(f"lies in the blob {to_hex(blob.ref.sealed_digest)}, record 2", check="request-binding")
    folder = tmp_path / "blobs"
    folder.mkdir()
    for blob in blobs:
        (folder / blob.ref.sealed_digest.hex()).write_bytes(blob.ciphertext)
    auditor.judge(log, "--blobs", folder).finds_nothing()


def test_row_22_numbers_declared_void_that_it_knows(auditor):
    log = begun()
    known = log.request()
    log.void(3, 4)
    log.append_requests(1)
    pass_the_promise(log)
    judged = auditor.judge(log)
    judged.finds_nothing(("completeness", "that the writer declared lost, within 3 to 4: they excuse no receipt"))
    assert judged.documents[0]["subject"]["voided"] == 2
    auditor.judge(log, kept=[log.admission(known)]).proves("receipts", saying="admission of number 3: expected")


def test_row_23_a_number_that_came_later_than_promised(auditor):
    log = begun()
    late = log.request()
    log.append_requests(1)
    admission = log.admission(late)
    pass_the_promise(log)
    log.append([late])
    receipt = log.receipts[-1]
    auditor.judge(log, closed=True).proves("completeness", saying="admission number 3, later")
    judged = auditor.judge(log, kept=[receipt, admission], closed=True)
    judged.proves("completeness", "receipts", saying="as promised, found the batch of")


def test_row_24_a_receipt_that_promises_more_than_the_log(auditor):
    log = begun()
    honest = log.receipts[1].receipt
    longer = SignedReceipt.sign(log.writer, log.domain, replace(honest, anchor_by=honest.issued_at + PROMISE_S + 1))
    auditor.judge(log, kept=[longer], closed=True).proves("receipts", saying=f"found {PROMISE_S + 1} s")
    admitted = log.admission(log.records[1]).admission
    slack = SignedAdmission.sign(
        log.writer, log.domain, replace(admitted, record_by=admitted.admitted_at + PROMISE_S + 1)
    )
    auditor.judge(log, kept=[slack], closed=True).proves("receipts", saying=f"found {PROMISE_S + 1} s")


def accepted(log):
    """The record of long work that was taken on."""
    record = log.request(ALICE)
    time = replace(record.time, started_at=None, due_by=record.time.admitted_at + 60_000_000)
    return replace(record, state=State.ACCEPTED, time=time, price=None, response=None, usage=None)


def test_row_25_work_that_was_accepted_and_never_ended(auditor):
    log = begun()
    log.append([accepted(log)])
    auditor.judge(log).finds_nothing(("sequences", "accepted and not ended, not due yet"))
    pass_the_promise(log)
    auditor.judge(log).proves("sequences", saying="a record that ends it")


def test_row_26_an_erasure_without_a_statement(auditor):
    log = begun()
    log.append([log.request()], vault=VAULT)
    auditor.judge(log).leaves_open("in vault custody", check="decryption")
    statement = log.erasure(2)
    auditor.judge(log, "--erasures", auditor.write(statement)).finds_nothing(("decryption", "erased, intact"))
    forged = SignedErasure.sign(Wallet(b"\x66" * 32), log.domain, statement.erasure)
    auditor.judge(log, "--erasures", auditor.write(forged)).leaves_open("who never was this log's writer")
