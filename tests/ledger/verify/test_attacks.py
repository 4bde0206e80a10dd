"""Logs, nodes and files made to mislead: each claim here was once false."""

import json
import sys
from dataclasses import replace

import pytest

from tallystick.bundle import Bundle, parse_bundle, sign_evidence
from tallystick.chain import LedgerReader, MalformedAnswer
from tallystick.errors import BundleError
from tallystick.keys import Wallet
from tallystick.receipts import response_hash, sign_receipt
from tallystick.record import Choice, Response
from tallystick.sealing import seal
from tallystick.verify import ChainMoved, Outcome, Step, VerifyOptions, find_record, verify_bundle, verify_log
from tallystick.verify.receipt_checks import NOT_DUE, TEXT_IN_BLOB
from tests.support.synthetic_log import AUDITOR, CONTRACT, LOG, START_S, SyntheticLog, SyntheticNode

NEXT_WRITER = Wallet(b"\x09" * 32)


@pytest.fixture
def log():
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(2)
    return log


def steps(verdict):
    return {failure.step for failure in verdict.failures}


def promised(log, bundle, **changes):
    """The bundle with another promise in its receipt, attested and signed by the writer all the same."""
    receipt = sign_receipt(log.writer, log.domain, replace(bundle.evidence.receipt.receipt, **changes))
    evidence = replace(bundle.evidence, receipt=receipt)
    return Bundle(evidence=evidence, attestation=sign_evidence(log.writer, evidence))


def test_a_record_anchored_too_late_is_named_by_a_bundle_from_before_its_anchor(log):
    late = promised(log, log.bundle(0, anchored=False), anchor_by=START_S + 1)
    assert steps(verify_bundle(late, log.node())) == {Step.RECEIPTS}


def test_a_bundle_from_before_its_anchor_outlives_its_writer(log):
    early = log.bundle(0, anchored=False)
    log.rotate_writer(NEXT_WRITER)
    assert verify_bundle(early, log.node()).outcome is Outcome.PROVEN


def straddling(log):
    """A receipt and an admission of one writer, a bundle of both times, and the record that the next writer anchors."""
    record = log.request()
    sealed = seal(record, epoch_key=log.epoch_key, index=log.size)
    receipt, admission, writer = log.receipt(record, sealed), log.admission(record), log.writer
    log.rotate_writer(NEXT_WRITER)
    log.append([record])
    log.receipts[-1] = receipt
    evidence = log.bundle(sealed.index).evidence
    return receipt, admission, Bundle(evidence=evidence, attestation=sign_evidence(writer, evidence))


def test_what_a_writer_promised_is_kept_by_the_next_one(log):
    receipt, admission, bundle = straddling(log)
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=[receipt, admission]))
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.check(Step.RECEIPTS).held == 2
    assert verify_bundle(bundle, log.node()).outcome is Outcome.PROVEN


def test_a_promise_that_is_not_due_outlives_its_writer(log):
    record = log.request()
    receipt = log.receipt(record, seal(record, epoch_key=log.epoch_key, index=log.size))
    log.rotate_writer(NEXT_WRITER)
    verdict = verify_log(log.reader(), VerifyOptions(receipts=[receipt]))
    assert verdict.outcome is Outcome.PROVEN
    assert [reason.text for reason in verdict.check(Step.RECEIPTS).reasons] == [NOT_DUE]


def test_what_a_writer_signs_after_its_time_binds_nobody(log):
    old = log.writer
    log.rotate_writer(NEXT_WRITER)
    log.append_requests(1)
    forged = sign_receipt(old, log.domain, log.receipts[-1].receipt)
    assert steps(verify_log(log.reader(), VerifyOptions(receipts=[forged]))) == {Step.RECEIPTS}


def test_an_answer_that_was_left_out_of_its_record_is_named(log):
    record = log.request()
    log.append([replace(record, response=None)])
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=[log.receipts[-1]]))
    assert steps(verdict) == {Step.RECEIPTS}
    assert steps(verify_bundle(log.bundle(2))) == {Step.RECEIPTS}


def test_an_answer_that_is_not_disclosed_is_not_called_left_out(log):
    assert verify_bundle(log.disclosed_bundle(0, ["http"])).outcome is Outcome.PROVEN


def test_an_answer_in_a_blob_is_not_said_to_have_been_compared(log):
    text = "word " * 6_000
    answer = Response(choices=(Choice(index=0, text=text, finish_reason="stop"),))
    record = log.request()
    http = replace(record.http, response_hash=response_hash([text.encode()]))
    log.append([replace(record, response=answer, http=http)])
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=[log.receipts[-1]]))
    assert verdict.outcome is Outcome.PROVEN
    for one in (
        verdict,
        verify_bundle(log.bundle(2), log.node()),
        verify_bundle(log.disclosed_bundle(2, ["http", "response"])),
    ):
        assert TEXT_IN_BLOB in [reason.text for reason in one.check(Step.RECEIPTS).reasons]


class TwoFacedNode(SyntheticNode):
    """A node that shows one record to who asks for it by index, and another to who reads the block."""

    shown_by_index: dict[str, object]

    def _logs(self, query):
        found = super()._logs(query)
        return (
            [self.shown_by_index]
            if len(query["topics"]) == 3 and query["topics"][2] == "0x" + bytes(32).hex()
            else found
        )


def test_a_node_that_shows_one_record_in_two_ways_is_not_believed(log):
    other = SyntheticLog()
    other.open_epoch()
    other.append([other.request(skip=7)])
    node = TwoFacedNode(log.node().blocks, log.batches)
    node.shown_by_index = other.blocks[2].events[0] | {"transactionHash": log.blocks[2].events[0]["transactionHash"]}
    with pytest.raises(MalformedAnswer, match="two ways"):
        find_record(LedgerReader(node, CONTRACT, LOG), 0, [AUDITOR])


class MovingNode(SyntheticNode):
    """A node whose newest block is replaced while it is asked."""

    def _logs(self, query):
        self.blocks[-1] = replace(self.blocks[-1], hash=b"\x0e" * 32)
        return super()._logs(query)


def test_a_chain_that_moves_while_a_bundle_is_held_against_it_cannot_be_judged(log):
    bundle = log.bundle(0)
    log.open_epoch()
    with pytest.raises(ChainMoved, match="the chain moved"):
        verify_bundle(bundle, MovingNode(log.node().blocks, log.batches))


def test_a_bundle_with_a_time_that_json_cannot_hold_is_refused(log):
    bundle = log.bundle(0)
    receipt = sign_receipt(log.writer, log.domain, replace(bundle.evidence.receipt.receipt, anchor_by=2**53))
    document = json.loads(bundle.to_bytes())
    document["evidence"]["receipt"] = receipt.to_json()
    with pytest.raises(BundleError, match="no canonical form"):
        parse_bundle(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_a_bundle_that_nests_deep_is_refused_whatever_the_recursion_limit_is():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # as some libraries set it: then the JSON parser overruns the stack
    try:
        with pytest.raises(BundleError, match="nests too deep"):
            parse_bundle(b"[" * 500_000)
    finally:
        sys.setrecursionlimit(limit)
