from dataclasses import replace

import pytest

from tallystick.bundle.evidence import sign_evidence
from tallystick.bundle.reading import parse_bundle
from tallystick.chain.events import WRITER_ROTATED
from tallystick.chain.faults import EventsWithheld, NodeBehind, OtherChain, OtherCode
from tallystick.errors import BundleError, Party
from tallystick.ids import to_hex
from tallystick.keys import Wallet
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import FIELD_NAMES
from tallystick.verify.bundle_checks import CLOSED, ONE_RECORD, UNANCHORED, verify_bundle
from tallystick.verify.receipt_checks import NOT_DUE
from tallystick.verify.verdict import Outcome, Status, Step
from tallystick.verify.vouching import NOBODY, Vouch
from tests.support.synthetic_log import PROMISE_S, WRITER, SyntheticLog

SOMEBODY = Wallet(b"\x0a" * 32)
NEW_WRITER = Wallet(b"\x07" * 32)
KNOWN = Vouch(how="for the test", log_known=True)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.append_requests(5)
    return log


def judged(bundle, node=None, vouch=KNOWN, **options):
    return verify_bundle(bundle, node, vouch=vouch, **options)


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


# -- whose log is it


def test_a_bundle_is_proven_offline_where_somebody_says_whose_log_it_is(log):
    verdict = judged(log.bundle(4))
    assert verdict.failures == ()
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.vouched == "for the test"
    assert verdict.check(Step.CONTRACT_CODE).status is Status.SKIPPED
    assert texts(verdict, Step.COMPLETENESS) == texts(verdict, Step.SEQUENCES) == [ONE_RECORD]


@pytest.mark.parametrize("online", [False, True])
def test_a_bundle_whose_log_nobody_vouches_for_proves_nothing(log, online):
    verdict = judged(log.bundle(4), log.node() if online else None, vouch=None)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert NOBODY.text in texts(verdict, Step.AUTHORSHIP)


def test_a_bundle_whose_writer_was_named_is_proven(log):
    named = Vouch(how="named", log_known=False, named=(WRITER.address,))
    assert judged(log.bundle(4), vouch=named).outcome is Outcome.PROVEN
    other = Vouch(how="named", log_known=False, named=(SOMEBODY.address,))
    verdict = judged(log.bundle(4), vouch=other)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


@pytest.mark.parametrize("online", [False, True])
def test_a_writer_that_was_named_must_have_signed_also_where_the_log_is_known(log, online):
    node = log.node() if online else None
    other = replace(KNOWN, named=(SOMEBODY.address,))
    verdict = judged(log.bundle(4), node, vouch=other)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert judged(log.bundle(4), node, vouch=replace(KNOWN, named=(WRITER.address,))).outcome is Outcome.PROVEN


def test_a_strangers_bundle_about_somebodys_log_proves_nothing_and_accuses_nobody(log):
    bundle = log.bundle(4, receipt=False)
    forged = replace(bundle, attestation=sign_evidence(SOMEBODY, bundle.evidence))
    for vouch in (None, KNOWN):
        verdict = judged(forged, vouch=vouch)
        assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())
    assert judged(forged, log.node()).outcome is Outcome.UNCHECKED


def test_a_writer_that_the_keeper_named_later_is_known_by_the_chain_or_by_who_remembers_it(log):
    log.rotate_writer(NEW_WRITER)
    log.open_epoch()
    log.append_requests(1)
    bundle = log.bundle(8)
    assert judged(bundle).outcome is Outcome.UNCHECKED
    assert judged(bundle, log.node()).outcome is Outcome.PROVEN
    remembered = replace(KNOWN, writers=(WRITER.address, NEW_WRITER.address))
    assert judged(bundle, vouch=remembered).outcome is Outcome.PROVEN


def test_what_an_unknown_maker_says_wrongly_accuses_the_file_and_not_the_writer(log):
    wrong = log.request()
    log.append([replace(wrong, price=replace(wrong.price, charge_micros=1))])
    assert judged(log.bundle(8)).accused == (Party.WRITER,)
    assert judged(log.bundle(8), vouch=None).accused == (Party.MAKER,)


# -- one change at a time


def test_no_changed_byte_of_a_bundle_is_proven(log):
    data = log.bundle(4).to_bytes()
    for at in range(0, len(data), 11):
        changed = bytearray(data)
        changed[at] = ord("1") if changed[at] != ord("1") else ord("2")
        try:
            verdict = judged(parse_bundle(bytes(changed)))
        except BundleError:
            continue
        assert verdict.outcome is not Outcome.PROVEN, data[at - 40 : at + 20]


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (Step.INDEX_CONTINUITY, {"first_index": 5}),
        (Step.INDEX_CONTINUITY, {"first_index": 0, "count": 3}),
        (Step.ROOTS, {"root": b"\x31" * 32}),
        (Step.ROOTS, {"path": ()}),
        (Step.HEADS, {"head": b"\x31" * 32}),
        (Step.HEADS, {"previous_head": b"\x31" * 32}),
        (Step.HEADS, {"entry": 9}),
        (Step.HEADS, {"count": 0}),
        (Step.RECEIPTS, {"block_time": 2**40}),
    ],
)
def test_an_anchor_that_contradicts_itself_is_named_even_if_attested(log, step, changes):
    verdict = judged(anchored(log, log.bundle(4), **changes))
    assert step in steps(verdict)
    assert verdict.outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (Step.INDEX_CONTINUITY, {"batch": 0}),
        (Step.INDEX_CONTINUITY, {"batch": 9}),
        (Step.HEADS, {"block_number": 2}),
        (Step.HEADS, {"block_hash": b"\x31" * 32}),
        (Step.HEADS, {"tx_hash": b"\x31" * 32}),
        (Step.TIMES, {"block_time": 1_760_000_001}),
    ],
)
def test_an_anchor_that_the_writers_own_batch_contradicts_is_named(log, step, changes):
    verdict = judged(anchored(log, log.bundle(4), **changes), log.node())
    assert step in steps(verdict)
    assert verdict.accused == (Party.WRITER,)


def test_another_epoch_than_the_batches_is_named(log):
    assert Step.HEADS in steps(judged(attested(log, log.bundle(4), epoch=2)))


def test_evidence_that_the_chain_does_not_hold_at_its_index_is_named(log):
    other = SyntheticLog()
    other.open_epoch()
    other.append_requests(8)
    bundle = other.bundle(4, anchored=False, receipt=False)
    verdict = judged(bundle, log.node())
    assert steps(verdict) == {Step.LEAVES}
    assert verdict.outcome is Outcome.WRONG


# -- the receipt


def changed_receipt(log, bundle, **changes):
    receipt = SignedReceipt.sign(log.writer, log.domain, replace(bundle.evidence.receipt.receipt, **changes))
    return attested(log, bundle, receipt=receipt)


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (Step.RECEIPTS, {"leaf": b"\x01" * 32}),
        (Step.RECEIPTS, {"index": 5}),
        (Step.RECEIPTS, {"admission_seq": 99}),
        (Step.RECEIPTS, {"sender": b"\x01" * 20}),
        (Step.RECEIPTS, {"anchor_by": 2**40}),
        (Step.RECEIPTS, {"anchor_by": 1_760_000_001}),
        (Step.REQUEST_BINDING, {"request_hash": b"\x01" * 32}),
        (Step.RESPONSE_BINDING, {"response_hash": b"\x01" * 32}),
    ],
)
def test_a_receipt_that_is_not_the_records_is_named_once(log, step, changes):
    verdict = judged(changed_receipt(log, log.bundle(4), **changes))
    assert [failure.step for failure in verdict.failures] == [step]
    assert verdict.outcome is Outcome.WRONG


def test_a_bundle_without_a_receipt_is_proven_and_says_so(log):
    verdict = judged(log.bundle(4, receipt=False))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.RECEIPTS).status is verdict.check(Step.RESPONSE_BINDING).status is Status.SKIPPED


def test_a_receipt_by_a_stranger_in_an_attested_bundle_is_left_open(log):
    bundle = log.bundle(4)
    receipt = SignedReceipt.sign(SOMEBODY, log.domain, bundle.evidence.receipt.receipt)
    verdict = judged(attested(log, bundle, receipt=receipt))
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


def test_a_record_that_never_came_is_proof_once_it_is_overdue(log):
    log.append_requests(1)
    bundle = log.bundle(8, anchored=False)
    node = log.node()
    node.blocks.pop()
    verdict = judged(bundle, node)
    assert verdict.outcome is Outcome.PROVEN
    assert NOT_DUE in texts(verdict, Step.RECEIPTS)
    node.blocks[-1] = replace(node.blocks[-1], timestamp=node.blocks[-1].timestamp + PROMISE_S + 10)
    assert steps(judged(bundle, node)) == {Step.RECEIPTS}


# -- what is opened and shown


def test_every_record_of_a_log_has_evidence_that_holds(log):
    node = log.node()
    for index in range(log.size):
        assert judged(parse_bundle(log.bundle(index).to_bytes()), node).outcome is Outcome.PROVEN


def test_a_bundle_without_secret_proves_its_place_and_opens_nothing(log):
    verdict = judged(log.bundle(4, secret=False))
    assert verdict.outcome is Outcome.PROVEN
    assert texts(verdict, Step.DECRYPTION) == texts(verdict, Step.TIMES) == [CLOSED]


def test_a_bundle_from_before_its_batch_says_so(log):
    verdict = judged(log.bundle(4, anchored=False))
    assert verdict.outcome is Outcome.PROVEN
    assert texts(verdict, Step.ROOTS) == [UNANCHORED]


def test_a_disclosure_is_checked_as_far_as_it_goes(log):
    verdict = judged(log.disclosed_bundle(4, ["price", "time", "id"]))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.subject.disclosed == ("price", "time", "id")
    held = {check.number for check in verdict.checks if check.held}
    assert {Step.FIELD_COMMITMENTS, Step.TIMES, Step.PRICE_ARITHMETIC} <= held
    assert verdict.check(Step.REQUEST_BINDING).status is Status.SKIPPED


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_each_field_alone_can_be_disclosed(log, name):
    assert judged(log.disclosed_bundle(4, [name])).outcome is Outcome.PROVEN


def test_all_fields_disclosed_are_all_checked_but_for_what_needs_the_secret(log):
    verdict = judged(log.disclosed_bundle(4, FIELD_NAMES))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.REQUEST_BINDING).held == 1


def test_a_disclosed_field_of_another_record_is_the_holders_doing(log):
    own, other = log.disclosed_bundle(4, ["price"]), log.disclosed_bundle(5, ["price"])
    verdict = judged(replace(own, disclosed=other.disclosed))
    assert [(f.step, f.where) for f in verdict.failures] == [(Step.FIELD_COMMITMENTS, "record 4, field commitments")]
    verdict = judged(replace(own, disclosed=replace(own.disclosed, fields=other.disclosed.fields)))
    assert [(f.step, f.where) for f in verdict.failures] == [(Step.FIELD_COMMITMENTS, "record 4, field price")]
    assert verdict.accused == (Party.MAKER,)


def test_the_secret_of_another_record_is_the_holders_doing(log):
    verdict = judged(replace(log.bundle(4), record_secret=log.bundle(5).record_secret))
    assert steps(verdict) == {Step.DECRYPTION}
    assert verdict.accused == (Party.MAKER,)


# -- nodes that cannot judge


def test_a_node_of_another_chain_or_contract_or_that_is_behind_cannot_judge(log):
    bundle = log.bundle(4)
    node = log.node()
    node.chain_id = 1
    with pytest.raises(OtherChain):
        judged(bundle, node)
    node = log.node()
    node.code += b"\x00"
    with pytest.raises(OtherCode):
        judged(bundle, node)
    node = log.node()
    node.blocks.pop()
    with pytest.raises(NodeBehind):
        judged(bundle, node)


def test_a_node_that_withholds_the_batch_is_named(log):
    node = log.node()
    node.max_events = 0
    with pytest.raises(EventsWithheld):
        judged(log.bundle(4), node)


def test_a_node_that_shows_another_root_accuses_nobody(log):
    node = log.node()
    node.batches[1] = replace(node.batches[1], root=b"\x31" * 32)
    verdict = judged(log.bundle(4), node)
    assert verdict.outcome is Outcome.UNCHECKED
    assert {failure.accused for failure in verdict.failures} == {Party.NODE}


def test_a_node_without_the_batches_transaction_leaves_it_open(log):
    node = log.node()
    node.transactions = {}
    verdict = judged(log.bundle(4), node)
    assert (verdict.outcome, verdict.failures) == (Outcome.UNCHECKED, ())


def test_a_writer_that_a_node_invents_is_nobody_whoever_signed_the_evidence():
    """A stranger's bundle, and a node that plays along: it shows the stranger as a writer whom the keeper never named."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    log.rotate_writer(SOMEBODY, by=SOMEBODY)
    log.open_epoch()
    log.append_requests(1)
    verdict = judged(log.bundle(2), log.node())
    assert verdict.outcome is Outcome.UNCHECKED
    assert {failure.accused for failure in verdict.failures} == {Party.NODE}
    node = log.node()
    for block in node.blocks:  # and now without the event of that
        block.events = [event for event in block.events if event["topics"][0] != to_hex(WRITER_ROTATED)]
    assert judged(log.bundle(2), node).outcome is Outcome.UNCHECKED


def test_a_node_that_shows_another_first_writer_accuses_nobody(log):
    node = log.node()
    node.spans[0] = replace(node.spans[0], writer=SOMEBODY.address)
    verdict = judged(log.bundle(4), node)
    assert verdict.outcome is Outcome.UNCHECKED
    assert {failure.accused for failure in verdict.failures} == {Party.NODE}
