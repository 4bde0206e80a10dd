"""A writer with the real keys who writes what is not so: each lie is named by one check, and the writer is who is accused."""

from dataclasses import replace

import pytest

from tallystick.chain.reader import LedgerReader
from tallystick.encoding import encode_record
from tallystick.errors import Party
from tallystick.ids import new_record_id
from tallystick.keys import Wallet, wrap_epoch_key
from tallystick.merkle import leaf_hash
from tallystick.receipts.messages import Domain, sender_request
from tallystick.receipts.signed import sign_sender_request
from tallystick.record import RecordTime, Response, SenderSignature, State
from tallystick.tasks import chat_output
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.forgery import forge
from tests.support.synthetic_log import (
    ALICE,
    AUDITOR,
    BLOCK_TIME_S,
    BOB,
    CHAIN_ID,
    CONTRACT,
    CPU,
    GRACE_S,
    LOG,
    PROMISE_S,
    SKEW_S,
    START_S,
    SyntheticLog,
    synthetic_record,
)

US = 1_000_000
GPU = replace(CPU, kind="gpu", uuid="GPU-1")
SIGNER = Wallet(b"\x21" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    return log


def judged(log, messages=(), **options):
    return verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], messages=messages, **options))


def found(log, *messages):
    """What a log is proven wrong of: the step and place of each failure, all of which accuse the writer."""
    verdict = judged(log, messages)
    assert verdict.outcome is (Outcome.WRONG if verdict.failures else Outcome.PROVEN)
    assert {failure.accused for failure in verdict.failures} <= {Party.WRITER}
    return [(Step(failure.step), failure.where) for failure in verdict.failures]


def append_changed(log, **changes):
    log.append([replace(log.request(), **changes)])


# -- one record, by itself


def test_another_charge(log):
    record = log.request()
    log.append([replace(record, price=replace(record.price, charge_micros=record.price.charge_micros + 1))])
    assert found(log) == [(Step.PRICE_ARITHMETIC, "record 2")]


def test_another_prompt(log):
    append_changed(log, prompt={"messages": [{"role": "user", "content": "something else"}]})
    assert found(log) == [(Step.REQUEST_BINDING, "record 2: prompt")]


def test_another_parameter(log):
    record = log.request()
    log.append([replace(record, parameters={**record.parameters, "temperature": 0.1})])
    assert found(log) == [(Step.REQUEST_BINDING, "record 2: parameters.temperature")]


def test_a_parameter_left_out(log):
    append_changed(log, parameters={"top_p": 1.0})
    assert {step for step, _ in found(log)} == {Step.REQUEST_BINDING}


def test_instructions_that_nobody_gave(log):
    record = log.request()
    log.append([replace(record, instructions=replace(record.instructions, system="lie"))])
    assert found(log) == [(Step.REQUEST_BINDING, "record 2: instructions.system")]


def test_another_path_than_the_requests(log):
    record = log.request()
    log.append([replace(record, http=replace(record.http, path="/v1/other"))])
    assert found(log) == [(Step.REQUEST_BINDING, "record 2: http.path")]


def test_a_request_that_its_reader_cannot_read(log):
    record = log.request()
    log.append([replace(record, request=replace(record.request, body=b"{"))])
    assert found(log) == [(Step.REQUEST_BINDING, "record 2")]


def test_another_model_than_the_one_asked_for(log):
    record = log.request()
    log.append([replace(record, model=replace(record.model, id="another-model"))])
    assert found(log) == [(Step.REQUEST_BINDING, "record 2: model.id")]


def test_a_prompt_without_a_request_is_not_proven_and_not_wrong(log):
    append_changed(log, request=None)
    verdict = judged(log)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert verdict.check(Step.REQUEST_BINDING).blocks


def test_a_reader_that_is_not_known_is_not_proven_and_not_wrong(log):
    record = log.request()
    log.append([replace(record, request=replace(record.request, reader="chat/other/9"))])
    verdict = judged(log)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


def test_times_years_back(log):
    long_ago = (START_S - 5 * 31_536_000) * US
    record = synthetic_record(3, admitted_us=long_ago, sender_seq=2)
    log.admitted = 3
    log.append([record])
    assert found(log) == [(Step.TIMES, "record 2")]


def test_a_record_before_the_logs_creation(log):
    log.admitted = 3
    log.append([synthetic_record(3, admitted_us=(START_S - SKEW_S) * US - 1_000, sender_seq=2)])
    assert found(log) == [(Step.TIMES, "record 2")]


def test_more_device_time_than_the_request_took(log):
    record = log.request()
    price = replace(record.price, device_time_us=97_200_000_000, charge_micros=33_750_000)
    log.append([replace(record, price=price)])
    assert found(log) == [(Step.TIMES, "record 2")]


def test_another_number_than_the_header_says(log):
    record = log.request()
    log.append([record], lambda sealed: replace_number(log, sealed, record))
    assert found(log) == [(Step.REQUEST_BINDING, "record 2")]


def replace_number(log, sealed, record):
    inside = replace(record, admission_seq=record.admission_seq + 5)
    honest = forge(record, log.epoch_key, sealed.index)
    lie = forge(inside, log.epoch_key, sealed.index, header=honest.sealed[:25])
    return replace(lie, request_hash=sealed.request_hash, response_hash=sealed.response_hash)


def test_bytes_that_are_no_record(log):
    record = log.request()
    garbage = encode_record(record)[:-1] + b"\xff"
    log.append([record], lambda sealed: forge(record, log.epoch_key, sealed.index, record_bytes=garbage))
    assert found(log)[0] == (Step.CANONICAL_ENCODING, "record 2")


def test_a_fields_root_that_is_not_the_records(log):
    record = log.request()
    log.append([record], lambda sealed: forge(record, log.epoch_key, sealed.index, fields_root=b"\x12" * 32))
    assert found(log) == [(Step.FIELD_COMMITMENTS, "record 2")]


def test_a_record_that_does_not_open(log):
    record = log.request()

    def spoilt(sealed):
        header = bytes([0x20]) + sealed.sealed[1:9] + bytes(16)
        return replace(forge(record, log.epoch_key, sealed.index), sealed=header + sealed.sealed[25:])

    sealed = spoilt(log.seal(record, log.size))
    leafed = replace(sealed, leaf=leaf_of(sealed))
    log.append_sealed([leafed])
    assert found(log)[0] == (Step.DECRYPTION, "record 2")


def leaf_of(sealed):
    return leaf_hash(LOG, sealed.index, sealed.fields_root, sealed.sealed)


def signed(record, *, nonce=b"\x05" * 32, wallet=SIGNER):
    unsigned = SenderSignature(nonce=nonce, deadline=START_S + 10_000, signature=bytes(65))
    asked = sender_request(LOG, record.http, record.request, unsigned)
    domain = Domain(chain_id=CHAIN_ID, contract=CONTRACT)
    signature = replace(unsigned, signature=sign_sender_request(wallet, domain, asked))
    return replace(record, sender=replace(record.sender, proof="signature", signature=signature))


def test_a_sender_who_signed_is_proven(log):
    log.append([signed(log.request(SIGNER.address))])
    assert found(log) == []
    assert judged(log).check(Step.SENDER_PROOF).held == 1


def test_another_sender_than_the_one_who_signed(log):
    log.append([signed(log.request(SIGNER.address), wallet=Wallet(b"\x22" * 32))])
    assert found(log) == [(Step.SENDER_PROOF, "record 2")]


def test_a_signed_request_used_twice(log):
    log.append([signed(log.request(SIGNER.address))])
    log.append([signed(log.request(SIGNER.address))])
    assert found(log) == [(Step.SEQUENCES, "record 3: sender.signature.nonce")]


# -- the numbers, in clear


def test_a_dropped_record_is_named_once_it_is_overdue(log):
    log.withhold(BOB)
    log.append_requests(1)
    assert found(log) == []
    log.idle(GRACE_S - BLOCK_TIME_S)
    assert found(log) == []
    log.idle(1)
    assert found(log) == [(Step.COMPLETENESS, "the log: admission numbers")]


def test_a_dropped_record_beside_an_erased_one_is_not_excused_by_it(log):
    log.withhold(BOB)
    log.append([log.request()], vault=b"\x11" * 32)
    log.idle(GRACE_S + 1)
    assert found(log, log.erasure(2)) == [(Step.COMPLETENESS, "the log: admission numbers")]


def test_a_missing_number_is_found_without_a_key(log):
    log.request()
    log.append_requests(1)
    log.idle(GRACE_S + 1)
    verdict = verify_log(log.reader(), VerifyOptions())
    assert verdict.outcome is Outcome.WRONG
    assert [failure.name for failure in verdict.failures] == ["completeness"]


def test_a_number_that_comes_too_late(log):
    late = log.request(BOB)
    log.append_requests(1)
    log.idle(GRACE_S)
    log.append([replace(late, id=late.id)])
    steps = {step for step, _ in found(log)}
    assert Step.COMPLETENESS in steps
    assert steps <= {Step.COMPLETENESS, Step.SEQUENCES, Step.TIMES}


def test_a_number_that_comes_twice(log):
    record = log.request()
    again = replace(log.request(), admission_seq=record.admission_seq)
    log.append([record, again])
    assert found(log) == [(Step.COMPLETENESS, "record 3")]


def test_a_number_after_it_was_declared_void(log):
    log.void(3, 5)
    record = log.request()
    log.append([replace(record, admission_seq=4)])
    assert found(log) == [(Step.COMPLETENESS, "record 2")]


def test_void_numbers_are_counted_and_excuse_no_admission(log):
    lost = log.request(BOB)
    admission = log.admission(lost)
    log.void(3, 5)
    log.append_requests(1)
    assert found(log) == []
    assert judged(log).subject.voided == 3
    log.idle(PROMISE_S + 60)
    assert found(log, admission) == [(Step.RECEIPTS, "admission of number 3")]


# -- the senders' numbers, ids, accepted work, devices


def test_a_senders_number_left_out(log):
    record = log.request(ALICE)
    log.append([replace(record, sender_seq=record.sender_seq + 1)])
    assert found(log) == []
    log.idle(GRACE_S + 1)
    assert [step for step, _ in found(log)] == [Step.SEQUENCES]


def test_a_senders_number_again(log):
    record = log.request(ALICE)
    log.append([replace(record, sender_seq=1)])
    assert found(log) == [(Step.SEQUENCES, "record 2")]


def test_after_void_numbers_a_senders_numbers_go_on_above_them(log):
    log.void(3, 50)
    log.append_requests(2)
    log.idle(GRACE_S + 1)
    assert found(log) == []


def test_a_senders_numbers_that_were_lost_with_the_journal_are_not_called_missing_but_more_than_were_lost_are(log):
    held = log.request(ALICE)
    log.append([replace(held, sender_seq=held.sender_seq + 2)])
    log.void(4, 4)
    log.append_requests(1)
    log.idle(GRACE_S + 1)
    assert found(log) == [(Step.SEQUENCES, "the senders' numbers")]


def test_a_record_id_twice(log):
    record = log.request()
    log.append([replace(record, id=log.records[0].id, time=log.records[0].time)])
    assert found(log) == [(Step.SEQUENCES, "record 2")]


def accept(log, due_in_s=100):
    record = log.request(ALICE)
    admitted = record.time.admitted_at
    time = RecordTime(admitted_at=admitted, started_at=None, finished_at=admitted, due_by=admitted + due_in_s * US)
    accepted = replace(record, state=State.ACCEPTED, time=time, response=None, price=None, usage=None)
    log.append([accepted])
    return accepted


def end(log, accepted, **changes):
    record = log.request(ALICE)
    started = accepted.time.admitted_at + 1
    time = replace(record.time, started_at=started)
    log.append([replace(record, follows=accepted.id, time=time, **changes)])


def test_accepted_work_that_ends_in_time_is_whole(log):
    accepted = accept(log)
    log.delay_s += 50
    end(log, accepted)
    log.idle(GRACE_S + 1000)
    assert found(log) == []


def test_accepted_work_that_never_ends(log):
    accept(log, due_in_s=100)
    log.idle(90)
    assert found(log) == []
    log.idle(PROMISE_S + 100)
    assert [step for step, _ in found(log)] == [Step.SEQUENCES]


def test_accepted_work_that_ends_too_late(log):
    accepted = accept(log)
    log.delay_s += PROMISE_S + 200
    end(log, accepted)
    assert found(log) == [(Step.SEQUENCES, "record 3: follows")]


def test_work_that_ends_twice(log):
    accepted = accept(log)
    end(log, accepted)
    end(log, accepted)
    assert found(log) == [(Step.SEQUENCES, "record 4: follows")]


def accept_signed(log):
    record = signed(log.request(SIGNER.address))
    admitted = record.time.admitted_at
    time = RecordTime(admitted_at=admitted, started_at=None, finished_at=admitted, due_by=admitted + 100 * US)
    accepted = replace(record, state=State.ACCEPTED, time=time, response=None, price=None, usage=None)
    log.append([accepted])
    return accepted


def test_the_end_of_work_may_repeat_the_nonce_of_its_request(log):
    accepted = accept_signed(log)
    log.append([replace(signed(log.request(SIGNER.address)), follows=accepted.id)])
    assert found(log) == []


def test_the_end_of_work_does_not_free_the_nonce_of_its_request(log):
    accepted = accept_signed(log)
    log.append([replace(signed(log.request(SIGNER.address)), follows=accepted.id)])
    log.append([signed(log.request(SIGNER.address))])
    assert found(log) == [(Step.SEQUENCES, "record 4: sender.signature.nonce")]


def test_the_end_of_work_may_not_repeat_the_nonce_of_another_request(log):
    log.append([signed(log.request(SIGNER.address), nonce=b"\x06" * 32)])
    accepted = accept_signed(log)
    log.append([replace(signed(log.request(SIGNER.address), nonce=b"\x06" * 32), follows=accepted.id)])
    assert found(log) == [(Step.SEQUENCES, "record 4: sender.signature.nonce")]


def test_the_end_of_work_that_nobody_accepted(log):
    record = log.request()
    log.append([replace(record, follows=new_record_id(START_S * US, bytes))])
    assert found(log) == [(Step.SEQUENCES, "record 2: follows")]


def test_the_end_of_somebody_elses_work(log):
    accepted = accept(log)
    record = log.request(BOB)
    log.append([replace(record, follows=accepted.id)])
    assert found(log) == [(Step.SEQUENCES, "record 3: follows")]


def test_work_that_started_before_it_was_accepted(log):
    accepted = accept(log)
    record = log.request(ALICE)
    time = replace(record.time, started_at=accepted.time.admitted_at - 1)
    log.append([replace(record, follows=accepted.id, time=time)])
    assert found(log) == [(Step.TIMES, "record 3")]


def test_one_device_that_worked_more_than_it_existed(log):
    first = log.request(ALICE)
    others = [replace(log.request(ALICE), time=first.time, id=first.id[:-1] + bytes([n])) for n in range(2)]
    log.append([replace(record, gpu=GPU) for record in (first, *others)])
    assert found(log) == [(Step.TIMES, "device 'GPU-1'")]


# -- epochs


def test_a_wrap_for_the_auditor_that_does_not_open_is_left_open_and_accuses_nobody(log):
    wrap = wrap_epoch_key(log.epoch_key, AUDITOR.public)
    log.open_epoch(wraps=wrap[:-1] + bytes([wrap[-1] ^ 1]))
    log.append_requests(1)
    verdict = judged(log)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    (reason,) = [reason.text for reason in verdict.check(Step.DECRYPTION).reasons if reason.blocks]
    assert reason.startswith("of epoch 2, whose wrap does not open")


# -- what was promised


def test_another_answer_than_the_receipt_was_given_for(log):
    record = log.request()
    honest = log.seal(record, log.size)
    log.append([replace(record, response=Response(outputs=(chat_output("another", "stop"),)))])
    receipt = log.receipt(record, replace(honest, leaf=log.sealed[2].leaf))
    assert found(log, receipt) == [(Step.RESPONSE_BINDING, "record 2, receipt for record 2")]


def test_another_request_than_the_one_that_was_admitted(log):
    record = log.request()
    admission = log.admission(replace(record, request=replace(record.request, salt=bytes(16))))
    log.append([record])
    assert found(log, admission) == [(Step.REQUEST_BINDING, "record 2, admission of number 3")]


def test_another_sender_than_the_one_who_was_admitted(log):
    record = log.request(ALICE)
    admission = log.admission(replace(record, sender=replace(record.sender, address=BOB)))
    log.append([record])
    assert found(log, admission) == [(Step.RECEIPTS, "admission of number 3")]


def test_a_second_receipt_for_one_index_is_proof_whatever_a_node_says(log):
    first = log.receipts[1]
    second = log.receipt(log.records[1], replace(log.sealed[1], leaf=b"\x77" * 32))
    node = log.node()
    node.transactions = {}
    reader = LedgerReader(node, CONTRACT, log.log_id)
    verdict = verify_log(reader, VerifyOptions(messages=[first, second]))
    assert verdict.outcome is Outcome.WRONG
    assert verdict.accused == (Party.WRITER,)
    assert "two receipts for record 1" in {failure.where for failure in verdict.failures}


def test_a_head_that_the_log_does_not_pass_through(log):
    head = log.signed_head(head=b"\x33" * 32)
    assert found(log, head) == [(Step.RECEIPTS, f"head of {log.entries} entries")]
