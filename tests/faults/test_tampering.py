"""Whoever changes one byte of evidence proves nothing with it, and the check that finds it is the one that should.

What a node can change of a log is in tests/ledger/verify/test_lying_node.py.
"""

from __future__ import annotations

import json

import pytest

from tallystick.bundle.reading import parse_bundle
from tallystick.errors import BundleError, ReceiptFormatError, SignatureError
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.verdict import Outcome, Step
from tallystick.verify.vouching import Vouch
from tests.support.synthetic_log import SyntheticLog, synthetic_record
from tests.support.tampering import members

KNOWN = Vouch(how="for the test", log_known=True)
NOBODYS = None
"""Only the attestation covers it, so a change leaves evidence that nobody vouches for: nothing is proven, and nobody accused."""

# For each member of a bundle, the check that must fail when one of its bytes is changed into another that still parses.
MEMBERS = {
    "attestation": NOBODYS,
    "evidence.anchor.batch": NOBODYS,
    "evidence.anchor.block_hash": NOBODYS,
    "evidence.anchor.block_number": NOBODYS,
    "evidence.anchor.block_time": NOBODYS,
    "evidence.anchor.count": Step.HEADS,
    "evidence.anchor.entry": Step.HEADS,
    "evidence.anchor.first_index": Step.HEADS,
    "evidence.anchor.head": Step.HEADS,
    "evidence.anchor.path": Step.ROOTS,
    "evidence.anchor.previous_head": Step.HEADS,
    "evidence.anchor.root": Step.ROOTS,
    "evidence.anchor.tx_hash": NOBODYS,
    "evidence.epoch": Step.HEADS,
    "evidence.fields_root": Step.ROOTS,
    "evidence.index": Step.ROOTS,
    "evidence.sealed": Step.ROOTS,
    "record_secret": Step.DECRYPTION,
    "disclosed.commitments": Step.FIELD_COMMITMENTS,
    "disclosed.fields.price.field": Step.FIELD_COMMITMENTS,
    "disclosed.fields.price.salt": Step.FIELD_COMMITMENTS,
}
# Where any change contradicts the rest of the document, so that it is refused before anything is checked.
REFUSED = ("evidence.chain_id", "evidence.contract", "evidence.log_id", "evidence.terms", "evidence.receipt", "format")


@pytest.fixture(scope="module")
def log() -> SyntheticLog:
    """Two short records in one batch."""
    log = SyntheticLog()
    log.open_epoch()
    log.append([synthetic_record(1, answer=""), synthetic_record(2, answer="")])
    return log


def bundle_of(log: SyntheticLog, disclosed: bool) -> bytes:
    """Evidence of the second record, opened whole or in one field."""
    return log.disclosed_bundle(1, ["price"]).to_bytes() if disclosed else log.bundle(1).to_bytes()


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    """The document with one bit changed."""
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


@pytest.mark.parametrize("disclosed", [False, True])
def test_every_byte_of_a_bundle_that_is_changed_is_found_and_named(log: SyntheticLog, disclosed: bool) -> None:
    original = bundle_of(log, disclosed)
    assert verify_bundle(parse_bundle(original), vouch=KNOWN).outcome is Outcome.PROVEN
    paths = [path.partition("[")[0] for path in members(original)]
    parsed: set[str] = set()
    for at, path in enumerate(paths):
        try:
            bundle = parse_bundle(flipped(original, at))
        except BundleError:
            continue
        assert path in MEMBERS, f"byte {at} of {path or 'the form'} was accepted"
        parsed.add(path)
        verdict = verify_bundle(bundle, vouch=KNOWN)
        assert verdict.outcome is not Outcome.PROVEN, f"byte {at} of {path}"
        if MEMBERS[path] is not NOBODYS:
            assert verdict.outcome is Outcome.WRONG, f"byte {at} of {path}"
            assert MEMBERS[path] in {failure.step for failure in verdict.failures}, f"byte {at} of {path}"
    # Members that were always refused would make the table above say nothing.
    assert parsed == {path for path in MEMBERS if path in paths}
    assert {path for path in paths if path.startswith(REFUSED)} | parsed == set(paths) - {""}


def test_a_letter_of_a_bundle_in_the_other_case_is_refused(log: SyntheticLog) -> None:
    original = bundle_of(log, disclosed=False)
    letters = [at for at, byte in enumerate(original) if chr(byte).isalpha()]
    for at in letters[::10]:
        with pytest.raises(BundleError):
            parse_bundle(flipped(original, at, bit=0x20))


@pytest.mark.parametrize("kind", ["receipt", "admission", "head", "erasure"])
def test_every_byte_of_what_the_writer_signed_that_is_changed_is_refused(log: SyntheticLog, kind: str) -> None:
    signed = {
        "receipt": lambda: log.receipts[1],
        "admission": lambda: log.admission(synthetic_record(3)),
        "head": log.signed_head,
        "erasure": lambda: log.erasure(1),
    }[kind]()
    reader = {
        "receipt": SignedReceipt,
        "admission": SignedAdmission,
        "head": SignedHead,
        "erasure": SignedErasure,
    }[kind]
    original = json.dumps(signed.to_json(), separators=(",", ":")).encode()
    assert reader.from_json(json.loads(original)) == signed
    for at in range(len(original)):
        with pytest.raises((ReceiptFormatError, SignatureError, ValueError)):
            reader.from_json(json.loads(flipped(original, at)))
