from dataclasses import replace

import pytest

from tallystick.chain import LedgerReader, LogMissing
from tallystick.encoding import encode_record
from tallystick.ids import LogId
from tallystick.merkle import MAX_BATCH_RECORDS
from tallystick.sealing import seal
from tallystick.verify import ChainMoved, Outcome, Status, Step, VerifyOptions, verify_log
from tallystick.verify.record_checks import CONTENT_STEPS, NO_KEY, NO_PRICE, NOT_ASKED, VAULT
from tallystick.verify.whole_log import DEFAULT_GRACE_S, PROGRESS_RECORDS
from tests.support.forgery import forge
from tests.support.synthetic_log import ALICE, AUDITOR, BOB, CONTRACT, STRANGER, SyntheticLog
from tests.support.tampering import kind_of, reader_of

WITH_KEY = VerifyOptions(auditor_keys=[AUDITOR])


def log_of(*batch_sizes):
    log = SyntheticLog()
    log.open_epoch()
    for size in batch_sizes:
        log.append_requests(size)
    return log


def verified(log, options=WITH_KEY):
    return verify_log(log.reader(), options)


def texts(check):
    return [reason.text for reason in check.reasons]


def only_failure(verdict):
    assert verdict.outcome is Outcome.WRONG
    (failure,) = verdict.failures
    return failure


def age(log, seconds):
    """Let the chain go on for a while."""
    log.open_epoch()
    log.blocks[-1].timestamp += seconds


def test_a_whole_log_is_proven_with_the_counts_of_what_was_computed():
    verdict = verified(log_of(3, 2))
    assert verdict.outcome is Outcome.PROVEN
    counts = {check.number: check.held for check in verdict.checks}
    assert counts == {1: 1, 2: 9, 3: 5, 4: 2, 5: 3, 6: 0, 7: 5, 8: 5, 9: 5, 10: 10, 11: 5, 12: 5, 13: 0}
    assert verdict.check(Step.RECEIPTS).status is Status.SKIPPED
    assert verdict.check(Step.SENDER_PROOF).status is Status.NOT_COVERED


def test_the_verdict_says_what_was_checked_against_what():
    log = log_of(3)
    subject = verified(log).subject
    block = log.blocks[-1]
    assert (subject.size, subject.batch_count, subject.head) == (3, 1, log.head)
    assert (subject.first_block, subject.head_block.number, subject.head_block.hash) == (0, block.number, block.hash)
    assert subject.auditor_key_ids == (AUDITOR.key_id,)
    assert subject.writer == log.writer.address


def test_a_log_without_records_is_proven_to_be_empty_and_claims_no_more():
    verdict = verified(SyntheticLog())
    assert verdict.outcome is Outcome.PROVEN
    assert {check.number for check in verdict.checks if check.status is Status.PASS} == {1, 2, 5}


def test_without_a_key_nothing_of_the_content_is_covered():
    verdict = verified(log_of(3), VerifyOptions())
    assert verdict.outcome is Outcome.PROVEN
    for step in (*CONTENT_STEPS, Step.SEQUENCE_COMPLETENESS):
        check = verdict.check(step)
        assert check.status is Status.NOT_COVERED
        assert texts(check) == [NO_KEY]
        assert check.not_covered == 3


def test_a_stranger_s_key_covers_nothing_and_the_epoch_is_named():
    check = verified(log_of(3), VerifyOptions(auditor_keys=[STRANGER])).check(Step.DECRYPTION)
    assert check.status is Status.NOT_COVERED
    assert texts(check) == ["of epoch 1, whose key was not wrapped for this auditor"]


def test_an_epoch_without_a_wrap_leaves_its_records_uncovered_and_the_rest_covered():
    log = log_of(2)
    log.open_epoch([STRANGER])
    log.append_requests(3)
    verdict = verified(log)
    check = verdict.check(Step.DECRYPTION)
    assert (check.status, check.held, check.not_covered) == (Status.PASS, 2, 3)
    both = verified(log, VerifyOptions(auditor_keys=[AUDITOR, STRANGER]))
    assert both.check(Step.DECRYPTION).held == 5


def test_a_record_in_vault_custody_is_intact_and_not_covered():
    log = log_of(1)
    record = log.request()
    log.append([record], lambda one: seal(record, epoch_key=log.epoch_key, index=one.index, custody_nonce=b"\x07" * 32))
    verdict = verified(log)
    assert verdict.check(Step.LEAVES).held == 2
    assert texts(verdict.check(Step.DECRYPTION)) == [VAULT]


def test_other_code_at_the_address_fails_and_the_walk_goes_on():
    reader = log_of(2).reader()
    reader.transport.code += b"\x00"
    verdict = verify_log(reader, WITH_KEY)
    failure = only_failure(verdict)
    assert failure.step == Step.CONTRACT_CODE
    assert verdict.check(Step.ROOTS).status is Status.PASS


def test_no_code_at_the_address_fails_and_nothing_else_is_claimed():
    reader = log_of(2).reader()
    reader.transport.code = b""
    verdict = verify_log(reader, WITH_KEY)
    assert only_failure(verdict).found == "no code"
    assert {check.status for check in verdict.checks[1:]} == {Status.NOT_COVERED, Status.SKIPPED}


def test_a_log_that_the_contract_does_not_have_cannot_be_checked():
    node = log_of(1).node()
    with pytest.raises(LogMissing):
        verify_log(LedgerReader(node, CONTRACT, LogId(b"\x99" * 32)), WITH_KEY)


def test_bytes_that_are_not_canonical_are_named_by_record_and_check():
    log = log_of(1)
    record = log.request()
    log.append(
        [record], lambda one: forge(record, log.epoch_key, one.index, record_bytes=encode_record(record) + b"\x00")
    )
    verdict = verified(log)
    failure = only_failure(verdict)
    assert (failure.step, failure.where) == (Step.CANONICAL_ENCODING, "record 1")
    assert verdict.check(Step.TIME_ORDER).not_covered == 1


def test_a_fields_root_of_another_record_is_named():
    log = log_of(1)
    record = log.request()
    log.append([record], lambda one: forge(record, log.epoch_key, one.index, fields_root=b"\x31" * 32))
    failure = only_failure(verified(log))
    assert (failure.step, failure.where) == (Step.FIELD_COMMITMENTS, "record 1")


def test_a_record_sealed_in_another_epoch_than_the_open_one_is_named():
    log = log_of(1)
    record = log.request()
    header = bytes((1, 0)) + (7).to_bytes(4, "big")
    log.append([record], lambda one: forge(record, log.epoch_key, one.index, header=header))
    failure = next(f for f in verified(log).failures if f.step == Step.LEAVES)
    assert (failure.where, failure.found) == ("record 1", "epoch 7")


@pytest.mark.parametrize(
    ("step", "change"),
    [
        (Step.PRICE_ARITHMETIC, lambda r: replace(r, price=replace(r.price, charge_micros=r.price.charge_micros + 1))),
        (Step.TIME_ORDER, lambda r: replace(r, time=replace(r.time, finished_at=r.time.finished_at + 20_000_000))),
        (Step.TIME_ORDER, lambda r: replace(r, time=replace(r.time, started_at=r.time.admitted_at - 1))),
        (Step.SENDER_PROOF, lambda r: replace(r, sender=replace(r.sender, proof="signature"))),
    ],
)
def test_a_false_field_is_named_by_record_and_check(step, change):
    log = log_of(2)
    log.append([change(log.request())])
    failure = only_failure(verified(log))
    assert (failure.step, failure.where) == (step, "record 2")


def test_a_record_without_a_price_is_not_covered_by_the_price_check():
    log = log_of(1)
    log.append([replace(log.request(), price=None)])
    check = verified(log).check(Step.PRICE_ARITHMETIC)
    assert (check.status, check.held, texts(check)) == (Status.PASS, 1, [NO_PRICE])


def test_a_missing_number_is_a_failure_once_its_time_is_over_and_is_named():
    log = log_of(2)
    log.append([log.request(ALICE, skip=1)])
    age(log, DEFAULT_GRACE_S + 10)
    verdict = verified(log)
    found = {(failure.step, failure.where, failure.found) for failure in verdict.failures}
    assert found == {
        (Step.SEQUENCE_COMPLETENESS, "the log: admission_seq", "3 missing"),
        (Step.SEQUENCE_COMPLETENESS, "sender 0xA1A1a1a1A1A1A1A1A1a1a1a1a1a1A1A1a1A1a1a1: sender_seq", "2 missing"),
    }


def test_a_missing_number_that_may_still_be_on_its_way_is_named_and_not_covered():
    log = log_of(2)
    log.append([log.request(ALICE, skip=1)])
    verdict = verified(log)
    check = verdict.check(Step.SEQUENCE_COMPLETENESS)
    assert verdict.outcome is Outcome.PROVEN
    assert texts(check)[0] == "the log: admission_seq 3 missing so far: may still be on its way"
    assert verified(log, replace(WITH_KEY, grace_s=0)).outcome is Outcome.WRONG


def test_numbers_out_of_order_are_complete_once_all_came():
    log = log_of(1)
    first, second = log.request(ALICE), log.request(BOB)
    log.append([second])
    log.append([first])
    assert verified(log, replace(WITH_KEY, grace_s=0)).check(Step.SEQUENCE_COMPLETENESS).status is Status.PASS


def test_a_number_that_two_records_have_is_named():
    log = log_of(2)
    record = log.request(ALICE)
    log.append([record, replace(record, admission_seq=record.admission_seq + 1)])
    failure = only_failure(verified(log))
    assert failure.where == "record 3"
    assert failure.found == "sender_seq 2 of 0xA1A1a1a1A1A1A1A1A1a1a1a1a1a1A1A1a1A1a1a1 again"


def test_a_missing_number_may_lie_in_a_record_that_was_not_opened():
    log = log_of(2)
    log.open_epoch([STRANGER])
    log.append_requests(1)
    log.open_epoch()
    log.append_requests(2)
    age(log, DEFAULT_GRACE_S + 10)
    verdict = verified(log)
    assert verdict.outcome is Outcome.PROVEN
    assert all(
        "may be in a record that could not be opened" in text
        for text in texts(verdict.check(Step.SEQUENCE_COMPLETENESS))
    )


def test_more_missing_numbers_than_closed_records_are_a_failure():
    log = log_of(2)
    log.open_epoch([STRANGER])
    log.append_requests(1)
    log.open_epoch()
    log.append([log.request(ALICE, skip=1)])
    age(log, DEFAULT_GRACE_S + 10)
    assert verified(log).check(Step.SEQUENCE_COMPLETENESS).status is Status.FAIL


def test_a_range_opens_only_its_records_and_checks_the_structure_as_a_whole():
    verdict = verified(log_of(3, 3), replace(WITH_KEY, first_index=2, last_index=3))
    assert verdict.check(Step.LEAVES).held == 6
    assert verdict.check(Step.DECRYPTION).held == 2
    assert verdict.check(Step.DECRYPTION).reasons[0].text == NOT_ASKED
    assert verdict.check(Step.DECRYPTION).not_covered == 4
    assert verdict.check(Step.SEQUENCE_COMPLETENESS).status is Status.NOT_COVERED
    assert (verdict.subject.opened_from, verdict.subject.opened_to) == (2, 3)


def test_a_repetition_inside_a_range_is_still_a_failure():
    log = log_of(2)
    record = log.request(ALICE)
    log.append([record, replace(record, sender_seq=record.sender_seq + 1)])
    assert only_failure(verified(log, replace(WITH_KEY, first_index=2))).step == Step.SEQUENCE_COMPLETENESS


def test_a_log_is_judged_as_of_the_block_that_was_asked_for():
    log = log_of(3, 2)
    earlier = log.blocks[-2]
    verdict = verified(log, replace(WITH_KEY, at_block=earlier.number))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.size == 3
    assert verdict.subject.head_block.number == earlier.number


def test_a_chain_that_moves_during_the_walk_cannot_be_judged():
    reader = log_of(2).reader()

    def moving(done, total):
        if done == total:
            reader.transport.blocks[-1] = replace(reader.transport.blocks[-1], hash=b"\x0e" * 32)

    with pytest.raises(ChainMoved, match="the chain moved"):
        verify_log(reader, WITH_KEY, moving)


def test_block_times_that_go_back_are_named():
    log = log_of(1, 1)
    log.blocks[-1].timestamp = log.blocks[-2].timestamp - 1
    failure = next(f for f in verified(log).failures if f.where.startswith("block"))
    assert failure.step == Step.TIME_ORDER


def test_blocks_of_one_time_are_in_order():
    log = log_of(1, 1)
    log.blocks[-1].timestamp = log.blocks[-2].timestamp
    assert not [failure for failure in verified(log).failures if failure.where.startswith("block")]


def test_two_batches_in_one_block_are_two_batches():
    log = log_of(2, 3)
    log.merge_last_blocks()
    verdict = verified(log)
    assert verdict.outcome is Outcome.PROVEN
    assert (verdict.check(Step.ROOTS).held, verdict.check(Step.DECRYPTION).held) == (2, 5)


def test_a_batch_may_have_as_many_records_as_a_tree_has_leaves():
    verdict = verified(log_of(MAX_BATCH_RECORDS), VerifyOptions())
    assert (verdict.outcome, verdict.check(Step.LEAVES).held) == (Outcome.PROVEN, MAX_BATCH_RECORDS)


def test_more_records_than_a_tree_has_leaves_are_named_where_a_batch_s_end_is_withheld():
    log = log_of(MAX_BATCH_RECORDS // 2, MAX_BATCH_RECORDS // 2 + 1)
    events = log.node().events()
    first_end = next(at for at, event in enumerate(events) if kind_of(event) == "BatchAppended")
    told = events[:first_end] + events[first_end + 1 :]
    verdict = verify_log(reader_of(log, told), VerifyOptions())
    assert verdict.outcome is Outcome.WRONG
    assert {failure.step for failure in verdict.failures} == {Step.INDEX_CONTINUITY}


def test_each_record_that_does_not_open_may_hold_one_missing_number_and_no_more():
    log = log_of(2)
    broken = log.request(ALICE)
    log.append([broken], lambda one: forge(broken, log.epoch_key, one.index, record_bytes=b"\xa0"))
    log.append([log.request(ALICE)])
    age(log, DEFAULT_GRACE_S + 10)
    assert verified(log).check(Step.SEQUENCE_COMPLETENESS).status is Status.PASS
    log.append([log.request(ALICE, skip=1)])
    age(log, DEFAULT_GRACE_S + 10)
    assert verified(log).check(Step.SEQUENCE_COMPLETENESS).status is Status.FAIL


def test_progress_is_told_now_and_then_and_at_the_end():
    told = []
    verify_log(log_of(300, 300).reader(), VerifyOptions(), lambda done, total: told.append((done, total)))
    assert told == [(0, 600), (PROGRESS_RECORDS, 600), (2 * PROGRESS_RECORDS, 600), (600, 600)]
