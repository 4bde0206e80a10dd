from dataclasses import replace

import pytest

from tallystick.bundle import Bundle, parse_bundle, sign_evidence
from tallystick.errors import ChainRejected
from tallystick.keys import Wallet
from tallystick.record import FIELD_NAMES
from tallystick.verify import NodeBehind, OtherChain, Outcome, Status, Step, verify_bundle
from tallystick.verify.bundle_checks import CLOSED, OFFLINE, ONE_RECORD, UNANCHORED, UNKNOWN_WRITER
from tallystick.verify.receipt_checks import HASHES_CLOSED, NOT_DUE
from tests.support.synthetic_log import SyntheticLog

SOMEBODY = Wallet(b"\x0a" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.append_requests(5)
    return log


def attested(log, bundle, **changes):
    """The evidence changed, and attested by the writer all the same."""
    evidence = replace(bundle.evidence, **changes)
    return replace(bundle, evidence=evidence, attestation=sign_evidence(log.writer, evidence))


def anchored(log, bundle, **changes):
    return attested(log, bundle, anchor=replace(bundle.evidence.anchor, **changes))


def steps(verdict):
    return {failure.step for failure in verdict.failures}


def texts(verdict, step):
    return [reason.text for reason in verdict.check(step).reasons]


def test_a_bundle_is_proven_by_itself_and_says_what_was_not_compared(log):
    verdict = verify_bundle(log.bundle(4))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.head_block is None
    assert verdict.check(Step.CONTRACT_CODE).status is Status.NOT_COVERED
    for step in (Step.ROOTS, Step.HEADS):
        assert texts(verdict, step) == [OFFLINE]
    assert texts(verdict, Step.RECEIPTS) == [UNKNOWN_WRITER]
    assert texts(verdict, Step.SEQUENCE_COMPLETENESS) == [ONE_RECORD]


def test_a_bundle_is_proven_against_a_node(log):
    verdict = verify_bundle(log.bundle(4), log.node())
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.head_block.number == log.blocks[-1].number
    not_passed = {check.number for check in verdict.checks if check.status is not Status.PASS}
    assert not_passed == {Step.SEQUENCE_COMPLETENESS, Step.SENDER_PROOF}
    assert all(not check.not_covered for check in verdict.checks if check.number <= Step.PRICE_ARITHMETIC)


def test_each_check_counts_what_it_computed(log):
    alone, with_node = verify_bundle(log.bundle(4)), verify_bundle(log.bundle(4), log.node())
    once = dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 11, 12), 1)
    assert {check.number: check.held for check in alone.checks if check.held} == once | {6: 3}
    assert {check.number: check.held for check in with_node.checks if check.held} == once | {
        1: 1,
        2: 2,
        4: 2,
        5: 2,
        6: 4,
    }


def refusing_state(log):
    """A node that serves no state."""
    node = log.node()
    answer = node.call

    def call(method, params):
        if method == "eth_call":
            raise ChainRejected(-32000, "no state")
        return answer(method, params)

    node.call = call
    return node


def test_a_node_without_state_cannot_be_the_judge(log):
    with pytest.raises(ChainRejected, match="no state"):
        verify_bundle(log.bundle(4), refusing_state(log))


def test_other_code_that_answers_nothing_is_named(log):
    node = refusing_state(log)
    node.code += b"\x00"
    assert steps(verify_bundle(log.bundle(4), node)) == {Step.CONTRACT_CODE}


def test_every_record_of_a_log_has_evidence_that_holds(log):
    node = log.node()
    for index in range(log.size):
        assert verify_bundle(parse_bundle(log.bundle(index).to_bytes()), node).outcome is Outcome.PROVEN


def test_a_bundle_without_secret_proves_the_anchor_and_opens_nothing(log):
    verdict = verify_bundle(log.bundle(4, secret=False))
    assert verdict.outcome is Outcome.PROVEN
    for step in (Step.DECRYPTION, Step.CANONICAL_ENCODING, Step.TIME_ORDER):
        assert texts(verdict, step) == [CLOSED]
    assert HASHES_CLOSED in texts(verdict, Step.RECEIPTS)


def test_a_disclosure_is_checked_as_far_as_it_goes(log):
    verdict = verify_bundle(log.disclosed_bundle(4, ["price", "time", "id"]))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.disclosed == ("price", "time", "id")
    held = {check.number for check in verdict.checks if check.held}
    assert {Step.FIELD_COMMITMENTS, Step.TIME_ORDER, Step.PRICE_ARITHMETIC} <= held
    assert verdict.check(Step.DECRYPTION).status is Status.NOT_COVERED
    assert texts(verdict, Step.SENDER_PROOF) == ["whose field sender is not shown"]


def test_all_fields_disclosed_are_all_checked(log):
    verdict = verify_bundle(log.disclosed_bundle(4, FIELD_NAMES))
    assert verdict.outcome is Outcome.PROVEN
    assert HASHES_CLOSED not in texts(verdict, Step.RECEIPTS)


def test_a_disclosed_field_of_another_record_is_named(log):
    own, other = log.disclosed_bundle(4, ["price"]), log.disclosed_bundle(5, ["price"])
    verdict = verify_bundle(replace(own, disclosed=other.disclosed))
    assert [(f.step, f.where) for f in verdict.failures] == [(Step.FIELD_COMMITMENTS, "record 4, field commitments")]
    verdict = verify_bundle(replace(own, disclosed=replace(own.disclosed, fields=other.disclosed.fields)))
    assert [(f.step, f.where) for f in verdict.failures] == [(Step.FIELD_COMMITMENTS, "record 4, field price")]


def test_the_secret_of_another_record_is_named(log):
    verdict = verify_bundle(replace(log.bundle(4), record_secret=log.bundle(5).record_secret))
    assert steps(verdict) == {Step.DECRYPTION}


def test_an_attestation_by_somebody_else_is_named(log):
    bundle = log.bundle(4)
    verdict = verify_bundle(replace(bundle, attestation=sign_evidence(SOMEBODY, bundle.evidence)))
    assert [(f.step, f.where) for f in verdict.failures] == [(Step.RECEIPTS, "attestation")]


def test_a_bundle_signed_throughout_by_somebody_else_is_caught_by_a_node(log):
    log.writer, writer = SOMEBODY, log.writer
    receipt = log.receipt(log.records[4], log.sealed[4])
    evidence = replace(log.bundle(4).evidence, receipt=receipt)
    bundle = Bundle(
        evidence=evidence, attestation=sign_evidence(SOMEBODY, evidence), record_secret=log.sealed[4].secret
    )
    log.writer = writer
    assert verify_bundle(bundle).outcome is Outcome.PROVEN
    assert steps(verify_bundle(bundle, log.node())) == {Step.RECEIPTS}


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (Step.INDEX_CONTINUITY, {"first_index": 5}),
        (Step.INDEX_CONTINUITY, {"first_index": 0, "count": 3}),
        (Step.ROOTS, {"root": b"\x31" * 32}),
        (Step.ROOTS, {"path": ()}),
        (Step.HEADS, {"head": b"\x31" * 32}),
        (Step.HEADS, {"previous_head": b"\x31" * 32}),
        (Step.HEADS, {"count": 0}),
        (Step.RECEIPTS, {"block_time": 2**40}),
    ],
)
def test_an_anchor_that_contradicts_itself_is_named_even_if_attested(log, step, changes):
    assert step in steps(verify_bundle(anchored(log, log.bundle(4), **changes)))


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (Step.INDEX_CONTINUITY, {"batch": 0}),
        (Step.INDEX_CONTINUITY, {"batch": 2}),
        (Step.INDEX_CONTINUITY, {"batch": 9}),
        (Step.HEADS, {"block_number": 2}),
        (Step.HEADS, {"block_hash": b"\x31" * 32}),
        (Step.HEADS, {"tx_hash": b"\x31" * 32}),
        (Step.TIME_ORDER, {"block_time": 1_760_000_001}),
    ],
)
def test_an_anchor_that_the_chain_contradicts_is_named(log, step, changes):
    bundle = anchored(log, log.bundle(4), **changes)
    assert step in steps(verify_bundle(bundle, log.node()))


def test_evidence_of_a_log_that_another_chain_forked_is_caught_by_a_node(log):
    fork = SyntheticLog()
    fork.open_epoch()
    fork.append_requests(3)
    fork.append([fork.request() for _ in range(5)])
    assert verify_bundle(fork.bundle(4)).outcome is Outcome.PROVEN
    assert {Step.ROOTS, Step.HEADS} <= steps(verify_bundle(fork.bundle(4), log.node()))


def test_an_epoch_other_than_the_header_s_is_named(log):
    assert steps(verify_bundle(attested(log, log.bundle(4), epoch=2))) == {Step.LEAVES}


def test_a_receipt_for_another_record_is_named(log):
    verdict = verify_bundle(attested(log, log.bundle(4), receipt=log.receipts[5]))
    assert {Step.LEAVES, Step.RECEIPTS} <= steps(verdict)


def test_a_node_of_another_chain_cannot_be_the_judge(log):
    node = log.node()
    node.chain_id = 1
    with pytest.raises(OtherChain, match="chain 1"):
        verify_bundle(log.bundle(4), node)


def test_a_node_that_is_behind_cannot_be_the_judge(log):
    node = log.node()
    node.blocks.pop()
    with pytest.raises(NodeBehind, match="block"):
        verify_bundle(log.bundle(4), node)


def test_a_contract_without_the_log_is_named(log):
    elsewhere = attested(log, log.bundle(4), log_id=b"\x99" * 32)
    verdict = verify_bundle(elsewhere, log.node())
    assert any(failure.found == "no such log" for failure in verdict.failures)


def test_an_address_without_code_is_named(log):
    node = log.node()
    node.code = b""
    assert steps(verify_bundle(log.bundle(4), node)) == {Step.CONTRACT_CODE}


def test_the_writer_of_the_batch_s_time_counts_not_the_newest(log):
    bundle = log.bundle(4)
    log.rotate_writer(SOMEBODY)
    assert verify_bundle(bundle, log.node()).outcome is Outcome.PROVEN


def test_a_bundle_from_before_its_anchor_says_so(log):
    verdict = verify_bundle(log.bundle(4, anchored=False))
    assert verdict.outcome is Outcome.PROVEN
    for step in (Step.INDEX_CONTINUITY, Step.ROOTS, Step.HEADS):
        assert texts(verdict, step) == [UNANCHORED]


def test_a_bundle_from_before_its_anchor_is_held_against_the_record_on_the_chain(log):
    verdict = verify_bundle(log.bundle(4, anchored=False), log.node())
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.LEAVES).held == 2


def test_a_bundle_whose_record_became_another_on_the_chain_is_named(log):
    fork = SyntheticLog()
    fork.open_epoch()
    fork.append([fork.request() for _ in range(8)])
    verdict = verify_bundle(fork.bundle(4, anchored=False), log.node())
    assert steps(verdict) == {Step.LEAVES}


def test_a_bundle_without_anchor_is_late_only_after_its_deadline(log):
    early = log.bundle(4, anchored=False)
    node = log.node()
    del node.blocks[3:]
    waiting = verify_bundle(early, node)
    assert waiting.outcome is Outcome.PROVEN
    assert NOT_DUE in texts(waiting, Step.RECEIPTS)
    deadline = early.evidence.receipt.receipt.anchor_by
    node.blocks[-1] = replace(node.blocks[-1], timestamp=deadline)
    assert verify_bundle(early, node).outcome is Outcome.PROVEN
    node.blocks[-1] = replace(node.blocks[-1], timestamp=deadline + 1)
    assert steps(verify_bundle(early, node)) == {Step.RECEIPTS}
