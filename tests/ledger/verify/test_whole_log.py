"""What an honest log proves, and what keeps a verdict from reading as proven although nobody did anything wrong."""

from dataclasses import replace

import pytest

from tallystick.chain.artifact import load_artifact
from tallystick.chain.faults import ContractMissing, EventsWithheld, LogMissing, OtherChain, OtherCode
from tallystick.chain.reader import LedgerReader
from tallystick.errors import ReceiptFormatError
from tallystick.heads import MODE_COMMIT
from tallystick.ids import Head, LogId
from tallystick.keys import Wallet
from tallystick.verify.log_walk import Standing
from tallystick.verify.verdict import CONTENT_STEPS, LEDGER_STEPS, Outcome, Status, Step
from tallystick.verify.whole_log import (
    DEFAULT_MAX_AGE_S,
    MAX_CLOCK_AHEAD_S,
    PROGRESS_RECORDS,
    VerifyOptions,
    default_max_age_s,
    verify_log,
)
from tests.support.synthetic_log import (
    AUDITOR,
    CONTRACT,
    KEEPER,
    STRANGER,
    TERMS,
    WRITER,
    SyntheticLog,
)

NEW_WRITER = Wallet(b"\x07" * 32)


def grown(*, auditors=(AUDITOR,)):
    """Two epochs, a new writer between them, void numbers, ten records."""
    log = SyntheticLog()
    log.open_epoch(auditors)
    log.append_requests(3)
    log.append_requests(2)
    log.rotate_writer(NEW_WRITER)
    log.open_epoch(auditors)
    log.append_requests(4)
    log.void(10, 20)
    log.append_requests(1)
    return log


def opened(log, **options):
    return verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], **options))


def blocking(verdict, step):
    return [reason.text for reason in verdict.check(step).reasons if reason.blocks]


def test_an_honest_log_is_proven_and_every_check_counts_what_it_computed():
    log = grown()
    messages = [*log.receipts, *map(log.admission, log.records[5:]), log.signed_head()]
    verdict = opened(log, messages=messages)
    assert verdict.failures == ()
    assert verdict.outcome is Outcome.PROVEN
    counts = {step: verdict.check(step).held for step in LEDGER_STEPS}
    assert counts == {
        Step.CONTRACT_CODE: 1,
        Step.INDEX_CONTINUITY: 8,
        Step.LEAVES: 10,
        Step.ROOTS: 4,
        Step.HEADS: 10,
        Step.AUTHORSHIP: 2,
        Step.COMPLETENESS: 10,
        Step.RECEIPTS: len(messages),
        Step.DECRYPTION: 10,
        Step.CANONICAL_ENCODING: 10,
        Step.FIELD_COMMITMENTS: 10,
        Step.REQUEST_BINDING: 10,
        Step.RESPONSE_BINDING: 10,
        Step.SEQUENCES: 10,
        Step.TIMES: 10,
        Step.PRICE_ARITHMETIC: 10,
        Step.SENDER_PROOF: 0,
    }
    subject = verdict.subject
    assert subject.writers == (WRITER.address, NEW_WRITER.address)
    assert (subject.keeper, subject.promise_s, subject.entries, subject.voided) == (KEEPER.address, 3600, 8, 11)


def test_without_a_key_structure_authorship_and_completeness_are_proven():
    verdict = verify_log(grown().reader(), VerifyOptions())
    assert verdict.outcome is Outcome.PROVEN
    assert all(verdict.check(step).status is Status.SKIPPED for step in CONTENT_STEPS)
    assert all(verdict.check(step).status is Status.PASS for step in LEDGER_STEPS if step <= Step.COMPLETENESS)


def test_a_log_of_the_wrong_key_is_not_proven():
    verdict = verify_log(grown().reader(), VerifyOptions(auditor_keys=[STRANGER]))
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.failures == ()
    assert verdict.check(Step.DECRYPTION).held == 0
    assert any("not wrapped for" in text for text in blocking(verdict, Step.DECRYPTION))


def test_an_epoch_that_is_not_wrapped_for_the_key_blocks_the_proof_and_is_named():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.open_epoch([STRANGER])
    log.append_requests(2)
    verdict = opened(log)
    assert verdict.outcome is Outcome.UNCHECKED
    assert (verdict.check(Step.DECRYPTION).status, verdict.check(Step.DECRYPTION).held) == (Status.IN_PART, 3)
    assert blocking(verdict, Step.DECRYPTION) == [f"of epoch 2, whose key was not wrapped for {AUDITOR.key_id.hex()}"]


def test_two_keys_that_open_the_log_between_them_prove_it_and_one_that_opens_nothing_does_not():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.open_epoch([STRANGER])
    log.append_requests(2)
    assert verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR, STRANGER])).outcome is Outcome.PROVEN
    verdict = verify_log(grown().reader(), VerifyOptions(auditor_keys=[AUDITOR, STRANGER]))
    assert verdict.outcome is Outcome.UNCHECKED
    assert "opens no epoch" in blocking(verdict, Step.DECRYPTION)[0]


def test_an_empty_log_proves_nothing():
    for log in (SyntheticLog(), SyntheticLog()):
        verdict = verify_log(log.reader(), VerifyOptions())
        assert verdict.outcome is Outcome.UNCHECKED
        log.open_epoch()
    assert blocking(opened(log), Step.INDEX_CONTINUITY) == ["of a log that holds no record"]


def test_a_range_that_holds_nothing_proves_nothing():
    verdict = opened(grown(), first_index=10)
    assert verdict.outcome is Outcome.UNCHECKED
    assert "holds no record" in blocking(verdict, Step.DECRYPTION)[0]


def test_a_range_is_all_that_was_asked_for():
    verdict = opened(grown(), first_index=2, last_index=4)
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.DECRYPTION).held == 3
    assert verdict.check(Step.LEAVES).held == 10
    assert any("only a part" in reason.text for reason in verdict.check(Step.SEQUENCES).reasons)


def test_a_log_of_roots_alone_is_not_proven_and_says_where_its_records_are():
    log = SyntheticLog(terms=replace(TERMS, mode=MODE_COMMIT))
    log.open_epoch()
    log.append_requests(3)
    for keys in ([], [AUDITOR]):
        verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=keys))
        assert verdict.outcome is Outcome.UNCHECKED
        assert verdict.failures == ()
        assert (verdict.check(Step.HEADS).held, verdict.check(Step.LEAVES).held) == (4, 0)
        assert "roots alone" in blocking(verdict, Step.COMPLETENESS)[0]


def test_vault_records_block_the_proof_until_their_erasure_is_shown():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    log.append([log.request()], vault=b"\x11" * 32)
    verdict = opened(log)
    assert verdict.outcome is Outcome.UNCHECKED
    assert "vault" in blocking(verdict, Step.DECRYPTION)[0]
    verdict = opened(log, messages=[log.erasure(2)])
    assert verdict.failures == ()
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.erased == 1
    assert any("erased, intact" in reason.text for reason in verdict.check(Step.DECRYPTION).reasons)


@pytest.mark.parametrize("wrong", ["another leaf", "another signer", "an open record"])
def test_an_erasure_that_is_not_the_writers_for_this_record_excuses_nothing(wrong):
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    log.append([log.request()], vault=b"\x11" * 32)
    erasure = log.erasure(1 if wrong == "an open record" else 2)
    if wrong == "another leaf":
        log.sealed[2] = log.sealed[1]
        erasure = log.erasure(2)
        erasure = replace(erasure, erasure=replace(erasure.erasure, index=2))
    if wrong == "another signer":
        log.writer = NEW_WRITER
        erasure = log.erasure(2)
    assert opened(log, messages=[erasure]).outcome is Outcome.UNCHECKED


def test_a_log_is_judged_as_of_a_block():
    log = grown()
    verdict = opened(log, at_block=3)
    assert verdict.outcome is Outcome.PROVEN
    assert (verdict.subject.size, verdict.check(Step.LEAVES).held) == (5, 5)


@pytest.mark.parametrize(
    ("age", "max_age", "outcome"),
    [(600, 600, Outcome.PROVEN), (601, 600, Outcome.UNCHECKED), (10**6, None, Outcome.PROVEN),
     (-MAX_CLOCK_AHEAD_S, 600, Outcome.PROVEN), (-MAX_CLOCK_AHEAD_S - 1, None, Outcome.UNCHECKED)],
)  # fmt: skip
def test_an_old_block_or_one_in_the_future_is_not_taken_for_the_present(age, max_age, outcome):
    log = grown()
    now = log.blocks[-1].timestamp + age
    verdict = opened(log, now_s=now, max_age_s=max_age)
    assert verdict.outcome is outcome
    assert verdict.failures == ()
    assert verdict.subject.age_s == age
    assert opened(log, now_s=now, max_age_s=max_age, at_block=8).outcome is Outcome.PROVEN


def test_the_age_of_a_block_says_something_only_where_blocks_come_by_the_clock():
    assert default_max_age_s(1) == DEFAULT_MAX_AGE_S
    assert default_max_age_s(73_571) is None


def test_another_chain_contract_or_log_than_was_asked_for_accuses_nobody():
    log = grown()
    with pytest.raises(OtherChain):
        opened(log, chain_id=1)
    node = log.node()
    with pytest.raises(LogMissing):
        verify_log(LedgerReader(node, CONTRACT, LogId(bytes(32))), VerifyOptions())
    node.code = b"\x60\x00"
    with pytest.raises(OtherCode):
        verify_log(LedgerReader(node, CONTRACT, log.log_id), VerifyOptions())
    node.code = b""
    with pytest.raises(ContractMissing):
        verify_log(LedgerReader(node, CONTRACT, log.log_id), VerifyOptions())


def test_other_code_than_was_trusted_accuses_nobody():
    log = grown()
    assert opened(log, code_hash=load_artifact().code_hash).outcome is Outcome.PROVEN
    with pytest.raises(OtherCode):
        opened(log, code_hash=bytes(32))


def test_another_first_writer_than_was_named_is_not_proven():
    log = grown()
    assert opened(log, writers=[WRITER.address]).outcome is Outcome.PROVEN
    verdict = opened(log, writers=[NEW_WRITER.address])
    assert verdict.outcome is Outcome.UNCHECKED
    assert "written by" in blocking(verdict, Step.AUTHORSHIP)[0]


def test_a_log_that_the_evidence_named_and_nobody_else_is_not_proven():
    verdict = opened(grown(), vouched=False)
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.check(Step.AUTHORSHIP).status is Status.IN_PART


def test_a_log_that_was_verified_before_goes_on_from_there():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    seen = Standing(log.entries, log.head)
    assert opened(log, seen=seen).outcome is Outcome.PROVEN
    log.append_requests(2)
    assert opened(log, seen=seen).outcome is Outcome.PROVEN
    assert opened(log, seen=Standing(0, Head(log.log_id))).outcome is Outcome.PROVEN


def test_a_log_that_does_not_pass_through_what_was_verified_is_proven_wrong():
    log = grown()
    verdict = opened(log, seen=Standing(3, Head(bytes(32))))
    assert verdict.outcome is Outcome.WRONG
    assert [failure.step for failure in verdict.failures] == [Step.HEADS]


def test_a_node_that_shows_less_than_was_verified_accuses_nobody():
    log = grown()
    verdict = opened(log, seen=Standing(log.entries + 1, Head(bytes(32))))
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.failures == ()


def test_a_node_that_cuts_its_answers_is_asked_again_and_named_if_it_stays_short():
    log = grown()
    node = log.node()
    node.max_events = 2
    assert verify_log(LedgerReader(node, CONTRACT, log.log_id), VerifyOptions()).outcome is Outcome.PROVEN
    node.max_events = 0
    with pytest.raises(EventsWithheld, match="the synthetic node"):
        verify_log(LedgerReader(node, CONTRACT, log.log_id), VerifyOptions())


def test_a_node_without_the_transactions_leaves_the_author_open():
    log = grown()
    node = log.node()
    node.transactions = {}
    verdict = verify_log(LedgerReader(node, CONTRACT, log.log_id), VerifyOptions())
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.check(Step.AUTHORSHIP).status is Status.NOT_COVERED


def test_a_receipt_of_another_log_is_refused_before_anything_is_read():
    log, other = grown(), SyntheticLog(terms=replace(TERMS, salt=b"\x01" * 32))
    other.open_epoch()
    other.append_requests(1)
    with pytest.raises(ReceiptFormatError, match="this is the log"):
        opened(log, messages=other.receipts)


def test_progress_is_told_from_time_to_time_and_at_the_end():
    log = grown()
    told = []
    verify_log(log.reader(), VerifyOptions(), lambda done, total: told.append((done, total)))
    assert told == [(0, 10), (10, 10)]
    assert PROGRESS_RECORDS > 10
