"""Whoever changes evidence, or what a node says about a log, is found, and the check that finds it is the one that should."""

from __future__ import annotations

import json

import pytest

from tallystick.bundle import parse_bundle
from tallystick.errors import BundleError, ReceiptFormatError, SignatureError
from tallystick.keys import Wallet
from tallystick.receipts import SignedReceipt
from tallystick.verify import ChainMoved, Outcome, Status, Step, VerifyOptions, verify_bundle, verify_log
from tests.support.synthetic_log import AUDITOR, SyntheticLog, synthetic_record
from tests.support.tampering import Tampered, changed, kind_of, members, moved, reader_of

# The checks of which one must fail when this field of an event is told otherwise, or when the event is moved.
NAMED_BY = {
    "drop": {Step.INDEX_CONTINUITY},
    "repeat": {Step.INDEX_CONTINUITY},
    "swap": {Step.INDEX_CONTINUITY},
    "LogCreated.writer": {Step.INDEX_CONTINUITY},
    "WriterProposed.writer": {Step.INDEX_CONTINUITY},
    "WriterProposed.proposed": {Step.INDEX_CONTINUITY},
    "WriterRotated.previous": {Step.INDEX_CONTINUITY},
    "WriterRotated.writer": {Step.INDEX_CONTINUITY},
    "EpochOpened.epoch": {Step.INDEX_CONTINUITY},
    "EpochOpened.first_index": {Step.INDEX_CONTINUITY},
    "EpochOpened.wrap.encapsulation": {Step.DECRYPTION},
    "RecordAppended.index": {Step.INDEX_CONTINUITY},
    "RecordAppended.fields_root": {Step.ROOTS, Step.DECRYPTION},
    "RecordAppended.sealed.version": {Step.LEAVES, Step.ROOTS},
    "RecordAppended.sealed.flags": {Step.ROOTS},
    "RecordAppended.sealed.epoch": {Step.LEAVES, Step.ROOTS},
    "RecordAppended.sealed.ciphertext": {Step.ROOTS, Step.DECRYPTION},
    "RecordAppended.transactionHash": {Step.INDEX_CONTINUITY},
    "BatchAppended.batch": {Step.INDEX_CONTINUITY},
    "BatchAppended.first_index": {Step.INDEX_CONTINUITY},
    "BatchAppended.count": {Step.INDEX_CONTINUITY},
    "BatchAppended.root": {Step.ROOTS},
    "BatchAppended.head": {Step.HEADS},
    "BatchAppended.transactionHash": {Step.INDEX_CONTINUITY},
}
# Nothing that is proven depends on these: the transaction of an event that shares it with no other, which of a new writer and a new
# epoch came first, and whether the same proposal was made once more.
IMMATERIAL = {
    "LogCreated.transactionHash",
    "WriterProposed.transactionHash",
    "WriterRotated.transactionHash",
    "EpochOpened.transactionHash",
    "swap WriterRotated, EpochOpened",
    "repeat WriterProposed",
}


@pytest.fixture(scope="module")
def log() -> SyntheticLog:
    """Three batches in two epochs, with a new writer between them."""
    log = SyntheticLog()
    log.open_epoch()
    log.append_requests(3)
    log.append_requests(2)
    log.rotate_writer(Wallet(b"\x09" * 32))
    log.open_epoch()
    log.append_requests(2)
    return log


def name_of(lie: Tampered) -> str:
    if lie.field:
        return f"{lie.kind}.{lie.field}"
    return f"{lie.change} {lie.kind}" if f"{lie.change} {lie.kind}" in IMMATERIAL else lie.change


def test_the_log_itself_is_proven(log: SyntheticLog) -> None:
    verdict = verify_log(log.reader(), VerifyOptions(auditor_keys=[AUDITOR], receipts=log.receipts))
    assert verdict.outcome is Outcome.PROVEN
    assert {check.number for check in verdict.checks if check.status is not Status.PASS} == {Step.SENDER_PROOF}


def test_every_event_that_is_dropped_repeated_or_swapped_is_found_and_named(log: SyntheticLog) -> None:
    for lie in moved(log.node().events()):
        verdict = verify_log(reader_of(log, lie.events), VerifyOptions(auditor_keys=[AUDITOR]))
        if name_of(lie) in IMMATERIAL:
            assert verdict.outcome is Outcome.PROVEN
            continue
        assert verdict.outcome is Outcome.WRONG, f"{lie.change} {lie.kind}"
        assert NAMED_BY[lie.change] <= {failure.step for failure in verdict.failures}, f"{lie.change} {lie.kind}"


def test_every_field_of_every_event_that_is_changed_is_found_and_named(log: SyntheticLog) -> None:
    for lie in changed(log.node().events()):
        options = VerifyOptions(auditor_keys=[AUDITOR])
        if lie.field == "blockHash":
            with pytest.raises(ChainMoved, match="block"):
                verify_log(reader_of(log, lie.events), options)
            continue
        verdict = verify_log(reader_of(log, lie.events), options)
        if lie.field == "wrap.key_id":
            assert "not wrapped for this auditor" in verdict.check(Step.DECRYPTION).reasons[0].text
            continue
        if name_of(lie) in IMMATERIAL:
            assert verdict.outcome is Outcome.PROVEN
            continue
        assert verdict.outcome is Outcome.WRONG, name_of(lie)
        assert NAMED_BY[name_of(lie)] <= {failure.step for failure in verdict.failures}, name_of(lie)


def test_without_a_key_every_changed_record_is_still_found(log: SyntheticLog) -> None:
    for lie in changed(log.node().events()):
        if lie.kind == "RecordAppended" and lie.field not in ("blockHash", "transactionHash"):
            assert verify_log(reader_of(log, lie.events), VerifyOptions()).outcome is Outcome.WRONG


def test_a_whole_batch_that_is_withheld_is_found(log: SyntheticLog) -> None:
    events = log.node().events()
    ends = [at for at, event in enumerate(events) if kind_of(event) == "BatchAppended"]
    for start, end in zip((2, *(at + 1 for at in ends)), ends, strict=False):
        verdict = verify_log(reader_of(log, events[:start] + events[end + 1 :]), VerifyOptions(auditor_keys=[AUDITOR]))
        assert verdict.outcome is Outcome.WRONG
        assert verdict.check(Step.INDEX_CONTINUITY).status is Status.FAIL


# For each member of a bundle, the check that must fail when one of its bytes is changed into another that still parses.
MEMBERS = {
    "attestation": Step.RECEIPTS,
    "evidence.anchor.batch": Step.RECEIPTS,
    "evidence.anchor.block_hash": Step.RECEIPTS,
    "evidence.anchor.block_number": Step.RECEIPTS,
    "evidence.anchor.block_time": Step.RECEIPTS,
    "evidence.anchor.count": Step.HEADS,
    "evidence.anchor.first_index": Step.HEADS,
    "evidence.anchor.head": Step.HEADS,
    "evidence.anchor.path": Step.ROOTS,
    "evidence.anchor.previous_head": Step.HEADS,
    "evidence.anchor.root": Step.ROOTS,
    "evidence.anchor.tx_hash": Step.RECEIPTS,
    "evidence.chain_id": Step.RECEIPTS,
    "evidence.epoch": Step.LEAVES,
    "evidence.fields_root": Step.LEAVES,
    "evidence.index": Step.LEAVES,
    "evidence.log_id": Step.LEAVES,
    "evidence.sealed": Step.LEAVES,
    "record_secret": Step.DECRYPTION,
    "disclosed.commitments": Step.FIELD_COMMITMENTS,
    "disclosed.fields.price.field": Step.FIELD_COMMITMENTS,
    "disclosed.fields.price.salt": Step.FIELD_COMMITMENTS,
}


def small_bundle(disclosed: bool = False) -> bytes:
    """Evidence of one of two short records."""
    log = SyntheticLog()
    log.open_epoch()
    log.append([synthetic_record(1, answer=""), synthetic_record(2, answer="")])
    return log.disclosed_bundle(1, ["price"]).to_bytes() if disclosed else log.bundle(1).to_bytes()


def judge(data: bytes) -> set[str]:
    """What is wrong with a bundle: members that the parser names, or checks that fail."""
    try:
        bundle = parse_bundle(data)
    except BundleError as error:
        return {error.path}
    verdict = verify_bundle(bundle)
    return {failure.name for failure in verdict.failures}


def other_case(data: bytes) -> list[bytes]:
    """The bundle with one letter in the other case, for each tenth letter."""
    letters = [at for at, byte in enumerate(data) if chr(byte).isalpha()]
    return [data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :] for at in letters[::10]]


@pytest.mark.parametrize("disclosed", [False, True])
def test_every_byte_of_a_bundle_that_is_changed_is_found_and_named(disclosed: bool) -> None:
    original = small_bundle(disclosed)
    assert judge(original) == set()
    names = {int(step): check.name for step, check in enumerate(verify_bundle(parse_bundle(original)).checks, start=1)}
    paths = [path.partition("[")[0] for path in members(original)]
    parsed: set[str] = set()
    for at, (byte, path) in enumerate(zip(original, paths, strict=True)):
        found = judge(original[:at] + bytes([byte ^ 1]) + original[at + 1 :])
        assert found, f"byte {at} of {path or 'the form'}"
        if path in MEMBERS and found <= set(names.values()):
            parsed.add(path)
            assert names[MEMBERS[path]] in found, f"byte {at} of {path}"
    # Members that were always refused by the parser would make the table above say nothing.
    assert parsed == {path for path in MEMBERS if path in paths}


def test_a_letter_of_a_bundle_in_the_other_case_is_found() -> None:
    assert all(map(judge, other_case(small_bundle())))


def test_every_byte_of_a_receipt_that_is_changed_is_found(log: SyntheticLog) -> None:
    original = json.dumps(log.receipts[2].to_json(), separators=(",", ":")).encode()
    accepted = []
    for at, byte in enumerate(original):
        data = original[:at] + bytes([byte ^ 1]) + original[at + 1 :]
        try:
            accepted.append(SignedReceipt.from_json(json.loads(data)))
        except (ReceiptFormatError, SignatureError, ValueError):
            continue
    assert accepted == []
