import pytest

from tallystick import errors
from tallystick.errors import HeadsError, LeavesError, ModelDigestError, Party, PriceArithmeticError, ReceiptsError
from tallystick.verify.tally import MAX_FAILURES_REPORTED, MAX_REASONS_REPORTED, Tally
from tallystick.verify.verdict import LEDGER_STEPS, BundleSubject, Gap, Outcome, Status, Step
from tests.support.synthetic_log import CHAIN_ID, CONTRACT, LOG

SUBJECT = BundleSubject(
    chain_id=CHAIN_ID,
    contract=CONTRACT,
    log_id=LOG,
    index=0,
    signer=None,
    vouched=None,
    disclosed=(),
    opened=False,
    head_block=None,
)
MISSING = Gap("for want of a key", "a key")


def verdict(tally, steps=LEDGER_STEPS, *, grounded=True):
    return tally.verdict(SUBJECT, steps, grounded=grounded)


def holds(*_):
    pass


def fails(*_):
    raise HeadsError("batch 0", "one head", "another")


def test_the_checks_are_numbered_and_named_as_their_errors_are():
    checks = verdict(Tally(), tuple(Step)).checks
    (of_a_step,) = errors.VerificationError.__subclasses__()
    failures = [error("here", "this", "that") for error in of_a_step.__subclasses__()]
    assert [check.number for check in checks] == list(range(1, 20))
    assert [check.name for check in checks] == [failure.name for failure in failures]
    assert [failure.step for failure in failures] == [int(step) for step in Step]


def test_a_log_or_bundle_by_itself_is_seventeen_checks():
    assert [check.number for check in verdict(Tally()).checks] == list(range(1, 18))


def test_a_check_that_computed_nothing_never_passes():
    found = verdict(Tally())
    assert {check.status for check in found.checks} == {Status.NOT_COVERED}
    assert found.outcome is Outcome.UNCHECKED
    assert found.checks[0].reasons[0].text == "there was nothing to check"


def test_nothing_is_proven_while_something_that_was_asked_for_could_not_be_computed():
    tally = Tally()
    tally.held[Step.DECRYPTION] = 7
    tally.block(Step.DECRYPTION, MISSING, 2)
    found = verdict(tally)
    check = found.check(Step.DECRYPTION)
    assert found.outcome is Outcome.UNCHECKED
    assert (check.status, check.held, check.not_covered, check.blocks) == (Status.IN_PART, 7, 2, True)
    assert [(reason.text, reason.remedy) for reason in check.reasons] == [("for want of a key", "a key")]


def test_what_nobody_could_compute_takes_nothing_from_the_proof():
    tally = Tally()
    tally.held[Step.HEADS] = 1
    tally.note(Step.SENDER_PROOF, "the operator's word", 4)
    found = verdict(tally)
    assert found.outcome is Outcome.PROVEN
    check = found.check(Step.SENDER_PROOF)
    assert (check.status, check.not_covered, check.blocks) == (Status.NOT_COVERED, 4, False)


def test_a_check_that_was_not_asked_for_is_skipped_with_its_reason():
    tally = Tally()
    tally.skip(Step.RECEIPTS, "no receipt was given")
    check = verdict(tally).check(Step.RECEIPTS)
    assert check.status is Status.SKIPPED
    assert [reason.text for reason in check.reasons] == ["no receipt was given"]


def test_one_failure_outweighs_everything_that_held():
    tally = Tally()
    tally.held[Step.HEADS] = 1000
    assert not tally.hold(Step.HEADS, fails)
    assert tally.hold(Step.HEADS, holds, 1, 2)
    assert verdict(tally).check(Step.HEADS).status is Status.FAIL


@pytest.mark.parametrize(
    ("failure", "grounded", "outcome"),
    [
        (HeadsError("entry 0", "", ""), True, Outcome.UNCHECKED),
        (PriceArithmeticError("record 0", "", ""), True, Outcome.WRONG),
        (PriceArithmeticError("record 0", "", ""), False, Outcome.UNCHECKED),
        (ReceiptsError("two receipts", "", "", signed=True), False, Outcome.WRONG),
        (ModelDigestError("folder", "", ""), False, Outcome.WRONG),
        (HeadsError("batch 0", "", "", Party.MAKER), False, Outcome.WRONG),
    ],
    ids=["a node", "the writer", "the writer, by a node's word", "the writer, by its signatures", "a folder", "a file"],
)
def test_somebody_is_proven_wrong_only_by_what_binds_him(failure, grounded, outcome):
    tally = Tally()
    tally.held[Step.HEADS] = 1
    tally.fail(failure)
    found = verdict(tally, tuple(Step), grounded=grounded)
    assert found.outcome is outcome
    assert found.accused == ((failure.accused,) if outcome is Outcome.WRONG else ())


def test_where_nobody_says_who_the_writer_is_its_failures_are_somebody_elses():
    tally = Tally()
    tally.writer_is = Party.MAKER
    tally.fail(PriceArithmeticError("record 0", "", ""))
    assert verdict(tally).accused == (Party.MAKER,)


def test_failures_come_in_the_order_of_the_checks_then_of_their_finding():
    tally = Tally()
    for failure in (PriceArithmeticError("a", "", ""), LeavesError("b", "", ""), LeavesError("c", "", "")):
        tally.fail(failure)
    assert [failure.where for failure in verdict(tally).failures] == ["b", "c", "a"]


def test_failures_beyond_the_bound_are_counted_and_not_kept():
    tally = Tally()
    for number in range(MAX_FAILURES_REPORTED + 5):
        tally.fail(PriceArithmeticError(f"record {number}", "", ""))
    found = verdict(tally)
    assert len(found.failures) == MAX_FAILURES_REPORTED
    assert found.failures_found == found.check(Step.PRICE_ARITHMETIC).failed == MAX_FAILURES_REPORTED + 5
    assert found.proven_found == ((Party.WRITER, MAX_FAILURES_REPORTED + 5),)


def test_reasons_beyond_the_bound_are_counted_together():
    tally = Tally()
    for number in range(MAX_REASONS_REPORTED + 5):
        tally.block(Step.DECRYPTION, Gap(f"reason {number}", "a key"))
        tally.note(Step.SENDER_PROOF, f"reason {number}")
    for step in (Step.DECRYPTION, Step.SENDER_PROOF):
        check = verdict(tally).check(step)
        assert check.not_covered == MAX_REASONS_REPORTED + 5
        assert len(check.reasons) == MAX_REASONS_REPORTED + 1
        assert check.reasons[-1].count == 5


def test_the_outcomes_have_the_exit_codes_of_grep():
    assert [outcome.exit_code for outcome in (Outcome.PROVEN, Outcome.WRONG, Outcome.UNCHECKED)] == [0, 1, 2]
