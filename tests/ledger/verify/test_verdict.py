from tallystick.errors import HeadsError, LeavesError, PriceArithmeticError
from tallystick.verify import BundleSubject, Outcome, Status, Step
from tallystick.verify.verdict import MAX_FAILURES_REPORTED, MAX_REASONS_REPORTED, STEP_ERRORS, Tally
from tests.support.synthetic_log import CHAIN_ID, CONTRACT, LOG

SUBJECT = BundleSubject(
    chain_id=CHAIN_ID, contract=CONTRACT, log_id=LOG, index=0, signer=None, disclosed=(), opened=False, head_block=None
)


def holds(*_):
    pass


def fails(*_):
    raise HeadsError("batch 0", "one head", "another")


def test_the_checks_are_numbered_and_named_as_their_errors_are():
    verdict = Tally().verdict(SUBJECT, tuple(Step))
    assert [check.number for check in verdict.checks] == list(range(1, 16))
    assert [check.name for check in verdict.checks] == [error.NAME for error in STEP_ERRORS]
    assert [error.STEP for error in STEP_ERRORS] == [int(step) for step in Step]


def test_a_log_or_bundle_by_itself_is_thirteen_checks():
    assert [check.number for check in Tally().verdict(SUBJECT).checks] == list(range(1, 14))


def test_nothing_is_proven_while_a_check_that_was_asked_for_computed_nothing():
    tally = Tally()
    tally.held[Step.HEADS] = 1
    asked = (Step.MODEL_DIGEST,)
    assert tally.verdict(SUBJECT, tuple(Step), asked).outcome is Outcome.UNCHECKED
    tally.held[Step.MODEL_DIGEST] = 1
    assert tally.verdict(SUBJECT, tuple(Step), asked).outcome is Outcome.PROVEN


def test_a_check_that_computed_nothing_never_passes():
    verdict = Tally().verdict(SUBJECT)
    assert {check.status for check in verdict.checks} == {Status.NOT_COVERED}
    assert verdict.outcome is Outcome.UNCHECKED
    assert verdict.checks[0].reasons[0].text == "there was nothing to check"


def test_a_check_that_was_not_asked_for_is_skipped_with_its_reason():
    tally = Tally()
    tally.skip(Step.RECEIPTS, "no receipt was given")
    check = tally.verdict(SUBJECT).check(Step.RECEIPTS)
    assert check.status is Status.SKIPPED
    assert [reason.text for reason in check.reasons] == ["no receipt was given"]


def test_one_item_that_holds_passes_and_what_was_not_covered_is_counted_beside_it():
    tally = Tally()
    assert tally.hold(Step.HEADS, holds, 1, 2)
    tally.uncover(Step.HEADS, "for a reason", 3)
    tally.uncover(Step.HEADS, "for a reason")
    check = tally.verdict(SUBJECT).check(Step.HEADS)
    assert (check.status, check.held, check.failed, check.not_covered) == (Status.PASS, 1, 0, 4)
    assert [(reason.text, reason.count) for reason in check.reasons] == [("for a reason", 4)]


def test_one_failure_outweighs_everything_that_held():
    tally = Tally()
    tally.held[Step.HEADS] = 1000
    assert not tally.hold(Step.HEADS, fails)
    verdict = tally.verdict(SUBJECT)
    assert verdict.check(Step.HEADS).status is Status.FAIL
    assert verdict.outcome is Outcome.WRONG
    assert verdict.failures[0].found == "another"


def test_failures_come_in_the_order_of_the_checks_then_of_their_finding():
    tally = Tally()
    for failure in (PriceArithmeticError("a", "", ""), LeavesError("b", "", ""), LeavesError("c", "", "")):
        tally.fail(failure)
    assert [failure.where for failure in tally.verdict(SUBJECT).failures] == ["b", "c", "a"]


def test_failures_beyond_the_bound_are_counted_and_not_kept():
    tally = Tally()
    for number in range(MAX_FAILURES_REPORTED + 5):
        tally.fail(LeavesError(f"record {number}", "", ""))
    verdict = tally.verdict(SUBJECT)
    assert len(verdict.failures) == MAX_FAILURES_REPORTED
    assert verdict.failures_found == verdict.check(Step.LEAVES).failed == MAX_FAILURES_REPORTED + 5


def test_reasons_beyond_the_bound_are_counted_together():
    tally = Tally()
    for number in range(MAX_REASONS_REPORTED + 5):
        tally.uncover(Step.DECRYPTION, f"reason {number}")
    check = tally.verdict(SUBJECT).check(Step.DECRYPTION)
    assert check.not_covered == MAX_REASONS_REPORTED + 5
    assert len(check.reasons) == MAX_REASONS_REPORTED + 1
    assert check.reasons[-1].count == 5


def test_the_outcomes_have_the_exit_codes_of_grep():
    assert [outcome.exit_code for outcome in (Outcome.PROVEN, Outcome.WRONG, Outcome.UNCHECKED)] == [0, 1, 2]
