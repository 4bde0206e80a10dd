"""What was written in format 2 stays verifiable: a log that was kept, run again on a real EVM, and its bundles, messages and keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tallystick.bundle.reading import parse_bundle
from tallystick.evidence_files import recognise
from tallystick.ids import parse_address, to_hex
from tallystick.keys import AuditorKey
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tallystick.verify.bundle_checks import verify_bundle
from tallystick.verify.verdict import Outcome, Status
from tallystick.verify.vouching import Vouch
from tallystick.verify.whole_log import VerifyOptions, verify_log
from tests.support.artefacts import FOLDER, KeptLog, blob, kept_log, secret

BUNDLES = ("bundle.json", "bundle-disclosed.json", "bundle-next-writer.json")
MESSAGES = (
    ("receipt.json", SignedReceipt),
    ("admission.json", SignedAdmission),
    ("head.json", SignedHead),
    ("erasure.json", SignedErasure),
)
FROZEN = "52a176b075179bfdf591176b53fd2774217d2d23b0221b41986281a09e0954eb"
"""Over every file's name and bytes. It never changes: a difference is a defect, or an artefact of another version in the wrong folder."""


@pytest.fixture(scope="module")
def kept() -> Iterator[KeptLog]:
    with kept_log() as log:
        yield log


def messages() -> list[SignedReceipt | SignedAdmission | SignedHead | SignedErasure]:
    return [kind.from_json(json.loads((FOLDER / name).read_bytes())) for name, kind in MESSAGES]


def options(**changes: object) -> VerifyOptions:
    wanted = {"auditor_keys": [AuditorKey(secret("auditor_seed"))], "messages": messages(), "blobs": blob, **changes}
    return VerifyOptions(**wanted)  # type: ignore[arg-type]


def test_not_a_byte_of_what_was_kept_has_changed() -> None:
    digest = hashlib.sha256()
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        digest.update(path.relative_to(FOLDER).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    assert digest.hexdigest() == FROZEN


def test_the_log_comes_back_under_its_head(kept: KeptLog) -> None:
    state = kept.reader.log_state()
    document = kept.document
    assert (state.size, state.entries, to_hex(state.head)) == (document["size"], document["entries"], document["head"])


def test_the_whole_log_is_proven(kept: KeptLog) -> None:
    verdict = verify_log(kept.reader, options())
    assert (verdict.outcome, verdict.failures) == (Outcome.PROVEN, ())


def test_without_the_blob_the_log_is_not_proven(kept: KeptLog) -> None:
    assert verify_log(kept.reader, options(blobs=lambda _digest: None)).outcome is Outcome.UNCHECKED


def test_without_the_erasure_the_erased_record_is_not_checked(kept: KeptLog) -> None:
    shown = [one for one in messages() if not isinstance(one, SignedErasure)]
    assert verify_log(kept.reader, options(messages=shown)).outcome is Outcome.UNCHECKED


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_proven_against_the_log(kept: KeptLog, name: str) -> None:
    bundle = parse_bundle((FOLDER / name).read_bytes())
    writers = tuple(parse_address(writer) for writer in kept.document["writers"])
    vouch = Vouch(how="kept with the log", log_known=True, writers=writers)
    assert verify_bundle(bundle, kept.transport, vouch=vouch).outcome is Outcome.PROVEN
    assert verify_bundle(bundle, vouch=vouch).outcome is Outcome.PROVEN
    assert verify_bundle(bundle).outcome is Outcome.UNCHECKED


def test_a_disclosure_shows_what_it_discloses_and_opens_nothing_else(kept: KeptLog) -> None:
    bundle = parse_bundle((FOLDER / "bundle-disclosed.json").read_bytes())
    assert bundle.disclosed is not None
    assert set(bundle.disclosed.fields) == {"model", "gpu", "price"}
    verdict = verify_bundle(bundle, vouch=Vouch(how="kept with the log", log_known=True))
    assert {check.name: check.status for check in verdict.checks}["decryption"] is not Status.PASS


@pytest.mark.parametrize("name", [*BUNDLES, *(name for name, _ in MESSAGES)])
def test_each_file_is_recognised(name: str) -> None:
    assert recognise((FOLDER / name).read_bytes()) is not None
