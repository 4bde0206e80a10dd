"""Rows 27 and on of docs/trust-model.md: what else a writer could think of."""

from dataclasses import replace

import pytest

from tallystick.heads import MODE_COMMIT
from tallystick.ids import Head
from tallystick.keys import EpochKey, Wallet, wrap_epoch_key
from tallystick.merkle import leaf_hash
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import State, charge_micros
from tests.support.dishonest.clients import answer, told
from tests.support.dishonest.writers import answering, asking, begun, pass_the_promise, signed_by_its_sender
from tests.support.forgery import forge
from tests.support.synthetic_log import ALICE, AUDITOR, LOG, STRANGER, TERMS


def test_row_27_another_key_wrapped_than_the_records_are_sealed_with(auditor):
    log = begun()
    other = EpochKey(log.log_id, 2, b"\x99" * 32)
    log.open_epoch(wraps=wrap_epoch_key(other, AUDITOR.public))
    log.append_requests(1)
    auditor.judge(log).proves("decryption", saying="a sealed record that opens with its epoch's key")


def test_row_27_the_right_key_for_one_auditor_and_another_for_the_next(auditor):
    log, key = begun(), begun().open_epoch()
    wrong = EpochKey(log.log_id, 2, b"\x99" * 32)
    log.open_epoch(wraps=wrap_epoch_key(key, AUDITOR.public) + wrap_epoch_key(wrong, STRANGER.public))
    log.append_requests(1)
    auditor.judge(log, "--from", 2).finds_nothing()
    judged = auditor.judge(log, "--from", 2, key=auditor.write_key(STRANGER))
    judged.proves("decryption", saying="a sealed record that opens with its epoch's key")


def test_row_28_no_model_for_an_answer(auditor):
    log = begun()
    log.append([replace(log.request(), model=None)])
    auditor.judge(log).finds_nothing(("response-binding", "claimed, not proven: that no model gave the answer"))


def test_row_29_neither_request_nor_prompt(auditor):
    log = begun()
    asked = log.request()
    log.append([replace(asked, request=None, prompt=None)])
    auditor.judge(log).finds_nothing(("request-binding", "claimed, not proven: that this is what was asked"))
    auditor.judge(log, kept=[log.admission(asked)]).proves("request-binding", saying="found 0x" + "00" * 32)


def test_row_30_a_prompt_without_its_request(auditor):
    log = begun()
    log.append([replace(log.request(), request=None)])
    auditor.judge(log).leaves_open("that hold a prompt and no request", check="request-binding")


@pytest.mark.parametrize("reader", ["chat/openai/9", "\x1b[32mproven"])
def test_row_31_a_reader_that_nobody_has(auditor, reader):
    log = begun()
    record = log.request()
    log.append([replace(record, request=replace(record.request, reader=reader))])
    auditor.judge(log).leaves_open("which this release does not know", check="request-binding")


def test_row_31_a_reader_that_reads_less(auditor):
    log = begun()
    record = log.request()
    log.append([replace(record, request=replace(record.request, reader="download/tallystick/1"), prompt=None)])
    auditor.judge(log).proves("request-binding", saying="a request that download/tallystick/1 can read")


def test_row_32_a_signed_request_recorded_twice(auditor):
    log = begun()
    first = signed_by_its_sender(log, log.request(ALICE))
    second = replace(signed_by_its_sender(log, log.request(ALICE)), request=first.request)
    second = replace(second, prompt=first.prompt, parameters=first.parameters, sender=first.sender, sender_seq=2)
    log.append([replace(first, sender_seq=1), second])
    auditor.judge(log).proves("sequences", saying="a nonce that its sender has not used before")


def test_row_33_another_number_in_clear_than_in_the_record(auditor):
    log = begun()
    record = log.request()
    hidden = replace(record, admission_seq=99)
    header = log.seal(record, 2).sealed[:25]
    log.append([hidden], lambda sealed: forge(hidden, log.epoch_key, sealed.index, header=header))
    auditor.judge(log).proves("request-binding", saying="99 in the record")


def garbled(sealed):
    """What nobody can open, under the leaf that follows from it."""
    data = sealed.sealed[:-1] + bytes([sealed.sealed[-1] ^ 1])
    return replace(sealed, sealed=data, leaf=leaf_hash(LOG, sealed.index, sealed.fields_root, data))


def test_row_34_a_record_that_does_not_open(auditor):
    log = begun()
    log.append([log.request()], garbled)
    auditor.judge(log).proves("decryption", saying="a sealed record that opens with its epoch's key")


def test_row_34_other_fields_under_the_root(auditor):
    log = begun()
    record = log.request()
    log.append([record], lambda sealed: forge(record, log.epoch_key, sealed.index, fields_root=b"\x31" * 32))
    auditor.judge(log).proves("field-commitments", saying="fields that give the root in the leaf")


def test_row_35_an_erasure_of_what_it_does_not_like_to_show(auditor):
    log = begun()
    record = log.request()
    log.append([record], vault=b"\x0f" * 32)
    erasures = auditor.write(log.erasure(2))
    judged = auditor.judge(log, "--erasures", erasures)
    judged.finds_nothing(("decryption", "erased, intact"))
    assert judged.documents[0]["subject"]["erased"] == 1
    opened = auditor.judge_file(log.bundle(2).to_bytes(), known=log.log_id)
    opened.finds_nothing()
    assert opened.documents[0]["checks"][8]["held"] == 1


def test_row_36_a_number_of_a_sender_left_out(auditor):
    log = begun()
    record = log.request(ALICE)
    log.append([replace(record, sender_seq=record.sender_seq + 1)])
    pass_the_promise(log)
    auditor.judge(log).proves("sequences", saying="every number once")


def test_row_37_a_new_writer_named_so_that_admissions_do_not_bind(auditor):
    log = begun()
    admission = log.admission(log.request())
    log.rotate_writer(Wallet(b"\x07" * 32), last_admission=2)
    pass_the_promise(log)
    auditor.judge(log, kept=[admission]).leaves_open("under a number that did not bind it any more", check="receipts")


def test_row_38_numbers_given_out_again_after_they_were_void(auditor):
    log = begun()
    log.void(3, 9)
    log.append([replace(log.request(), admission_seq=5)])
    auditor.judge(log, closed=True).proves("completeness", saying="admission number 5, which is void")


def test_row_39_a_signed_head_that_the_log_does_not_pass_through(auditor):
    log = begun()
    other = log.signed_head(head=Head(b"\x41" * 32))
    auditor.judge(log, "--head", auditor.write(other), closed=True).proves("receipts", saying="the log to pass through")
    auditor.judge(log, "--head", auditor.write(log.signed_head()), closed=True).finds_nothing()


def test_row_40_a_receipt_dated_to_when_it_was_not_the_writer(auditor):
    log = begun()
    other = answering(log.records[1], "Something else")
    honest = told(log, other, log.seal(other, 1)).receipt
    dated = SignedReceipt.sign(log.writer, log.domain, replace(honest, issued_at=1, anchor_by=2))
    auditor.judge(log, kept=[dated]).leaves_open("when it was not this log's writer", check="receipts")


def test_row_41_times_off_by_less_than_the_promise(auditor):
    log = begun()
    log.idle(1_000)
    asked = log.request()
    time = asked.time
    earlier = replace(time, admitted_at=time.admitted_at - 600_000_000)
    moved = replace(asked, time=earlier, id=((earlier.admitted_at // 1000).to_bytes(6, "big") + asked.id[6:]))
    log.append([moved])
    auditor.judge(log).finds_nothing(("times", "claimed, not proven"))
    auditor.judge(log, kept=[log.admission(asked)]).proves("receipts", saying="the time of admission")


def test_row_42_more_tokens_than_there_were(auditor):
    log = begun()
    record = log.request()
    usage = {"input_tokens": 9, "output_tokens": 80_000}
    price = replace(record.price, basis="tokens", per_hour_micros=0, rates={"output_tokens": 2_000_000})
    price = replace(price, charge_micros=charge_micros(price, usage))
    log.append([replace(record, usage=usage, price=price)])
    auditor.judge(log).finds_nothing(("price-arithmetic", "claimed, not proven: the price"))


def test_row_43_a_log_of_roots_alone(auditor):
    log = begun(terms=replace(TERMS, mode=MODE_COMMIT))
    auditor.judge(log).leaves_open("the sealed records are with the operator")


def test_row_44_a_bundle_of_a_record_that_the_log_does_not_have(auditor):
    log = begun()
    shadow = begun()
    shadow.append([shadow.request()])
    log.append([answering(log.request(), "Something else")])
    forged = shadow.bundle(2).to_bytes()
    offline = auditor.judge_file(forged, known=log.log_id)
    offline.finds_nothing(("contract-code", "not compared with the contract: no chain node was asked"))
    judged = auditor.judge_file(forged, log=log, known=log.log_id)
    assert judged.exit_code == 1
    assert judged.accused == {"the log's writer"}


def test_row_45_another_request_in_all_that_is_signed(auditor):
    log = begun()
    asked = log.request()
    recorded = asking(asked, "Something else")
    (sealed,) = log.append([recorded])
    kept = [log.admission(recorded), log.receipts[-1]]
    auditor.judge(log, kept=kept).finds_nothing()
    came = answer(recorded, receipt=kept[1], admission=kept[0], sealed=sealed)
    sent = auditor.write(asked.request.body)
    auditor.judge_file(came, log=log, known=log.log_id).finds_nothing()
    judged = auditor.judge_file(came, "--request", sent, log=log, known=log.log_id)
    judged.leaves_open("that is not what the admission was signed for", check="request-binding")


def test_row_46_a_request_that_nobody_sent(auditor):
    log = begun()
    sent = log.request(ALICE)
    log.append(
        [sent, replace(log.request(ALICE), request=sent.request, prompt=sent.prompt, parameters=sent.parameters)]
    )
    kept = [log.receipts[2], log.admission(sent)]
    auditor.judge(log, kept=kept).finds_nothing(
        ("sender-proof", "claimed, not proven: that this sender asked"),
        ("request-binding", "claimed, not proven: that this is what was asked"),
    )
    assert (
        log.records[3].sender_seq == sent.sender_seq + 1
    )  # the next admission of this sender shows that one came between


def test_row_47_work_that_is_due_in_years(auditor):
    log = begun()
    record = log.request(ALICE)
    due_by = record.time.admitted_at + 100 * 365 * 86_400 * 1_000_000
    time = replace(record.time, started_at=None, due_by=due_by)
    log.append([replace(record, state=State.ACCEPTED, time=time, price=None, response=None, usage=None)])
    pass_the_promise(log)
    auditor.judge(log).finds_nothing(("sequences", "accepted and not ended, not due yet"))
