import dataclasses
import json

import pytest
import rfc8785

from tallystick.bundle.evidence import Bundle, attester, evidence_digest, sign_evidence
from tallystick.bundle.reading import MAX_BUNDLE_BYTES, parse_bundle
from tallystick.errors import BundleError, DisclosureError, EncodingError, OpenError, RecordError, SignatureError
from tallystick.hashing import keccak256
from tallystick.heads import derive_log_id
from tallystick.ids import LogId
from tallystick.receipts.messages import bundle_digest
from tallystick.sealing import check_commitments, check_disclosure, open_sealed, seal
from tests.support.largest_record import largest_record
from tests.support.vectors.bundles import bundles, formattings
from tests.support.vectors.cast import DOMAIN, EPOCH_KEY, KEEPER, SENDER, WRITER, flipped, stream

FILES = {name: bundle.to_bytes() for name, bundle in bundles().items()}
WITH_SECRET = FILES["with the record's secret"]
DISCLOSED = FILES["with three fields disclosed"]


def prove(data: bytes) -> None:
    """Every check that a file can meet on its own: what a verifier does first."""
    bundle = parse_bundle(data)
    evidence = bundle.evidence
    if attester(bundle) != WRITER.address:
        raise BundleError("attestation", "is not the writer's")
    if bundle.record_secret is not None:
        opened = open_sealed(
            evidence.sealed,
            log_id=evidence.log_id,
            index=evidence.index,
            epoch=evidence.epoch,
            fields_root=evidence.fields_root,
            secret=bundle.record_secret,
        )
        check_commitments(opened, evidence.fields_root)
    if bundle.disclosed is not None:
        check_disclosure(bundle.disclosed, evidence.fields_root)


def edited(data: bytes, path: str, value: object) -> bytes:
    """The file with one member changed."""
    document = json.loads(data)
    *parents, last = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return rfc8785.dumps(document)


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_a_bundle_is_read_proved_and_written_back(data):
    prove(data)
    assert parse_bundle(data).to_bytes() == data


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_proves_the_same_in_any_formatting(name):
    for formatted in formattings(FILES[name].decode()).values():
        prove(formatted)
        assert parse_bundle(formatted).to_bytes() == FILES[name]


# The attested part of a file with disclosed fields is that of the other file, byte for byte.
@pytest.mark.parametrize(
    ("data", "end"),
    [(WITH_SECRET, len(WITH_SECRET)), (DISCLOSED, DISCLOSED.index(b'"evidence"'))],
    ids=["secret", "disclosed"],
)
def test_every_changed_byte_of_a_canonical_file_is_found(data, end):
    for at in range(end):
        # The lowest bit keeps nearly every digit a digit, so that most changes are of values and not of form.
        with pytest.raises((BundleError, SignatureError, OpenError, EncodingError, RecordError, DisclosureError)):
            prove(flipped(data, at))


def test_every_removed_and_doubled_byte_of_a_canonical_file_is_found():
    data = FILES["sealed"]
    for at in range(0, len(data), 3):
        for changed in (data[:at] + data[at + 1 :], data[:at] + data[at : at + 1] + data[at:]):
            with pytest.raises((BundleError, SignatureError)):
                prove(changed)


def test_the_attestation_covers_the_canonical_evidence_and_that_is_what_was_read():
    bundle = parse_bundle(WITH_SECRET)
    content = keccak256(rfc8785.dumps(json.loads(WITH_SECRET)["evidence"]))
    assert evidence_digest(bundle.evidence) == bundle_digest(DOMAIN, content)
    assert attester(bundle) == WRITER.address


def test_an_attestation_tells_who_signed_it_and_not_who_may():
    bundle = parse_bundle(WITH_SECRET)
    forged = dataclasses.replace(bundle, attestation=sign_evidence(SENDER, bundle.evidence))
    assert attester(forged) == SENDER.address
    with pytest.raises(BundleError, match="attestation"):
        prove(forged.to_bytes())


def test_a_later_writer_may_attest_what_an_earlier_one_gave_a_receipt_for():
    bundle = parse_bundle(WITH_SECRET)
    later = dataclasses.replace(bundle, attestation=sign_evidence(KEEPER, bundle.evidence))
    assert attester(parse_bundle(later.to_bytes())) == KEEPER.address


def test_a_strangers_forged_bundle_leads_to_the_stranger():
    stranger, bundle = SENDER, parse_bundle(FILES["without a receipt"])
    forged = dataclasses.replace(bundle, attestation=sign_evidence(stranger, bundle.evidence))
    read = parse_bundle(forged.to_bytes())
    assert read.evidence.terms.writer == WRITER.address
    assert attester(read) == stranger.address


def test_a_stranger_cannot_put_another_writer_under_the_same_log():
    bundle = parse_bundle(FILES["without a receipt"])
    terms = dataclasses.replace(bundle.evidence.terms, writer=SENDER.address)
    evidence = dataclasses.replace(bundle.evidence, terms=terms)
    forged = dataclasses.replace(bundle, evidence=evidence, attestation=sign_evidence(SENDER, evidence))
    with pytest.raises(BundleError, match="log_id"):
        parse_bundle(forged.to_bytes())


def test_a_holder_may_take_the_secret_out_without_breaking_the_attestation():
    bundle = dataclasses.replace(parse_bundle(WITH_SECRET), record_secret=None)
    assert bundle.to_bytes() == FILES["sealed"]
    prove(bundle.to_bytes())


def test_neither_secret_nor_sealed_bytes_show_in_a_repr():
    bundle = parse_bundle(WITH_SECRET)
    assert repr(bundle.record_secret) not in repr(bundle)
    assert len(repr(bundle)) < 4000


HASHES = ["0x" + "11" * 32] * 22
GPU = {"field": "0x", "salt": "0x" + "11" * 32}
FAULTS = [
    ("format", "tallystick/bundle/v1", "format"),
    ("format", 1, "format"),
    ("format", KeyError, "format"),
    ("attestation", "0x00", "attestation"),
    ("attestation", KeyError, "attestation"),
    ("attestation", None, "attestation"),
    ("colour", "red", "colour"),
    ("record_secret", "0x" + "11" * 31, "record_secret"),
    ("record_secret", "0x" + "AA" * 32, "record_secret"),
    ("record_secret", None, "record_secret"),
    ("evidence", [], "evidence"),
    ("evidence.colour", "red", "colour"),
    ("evidence.index", -1, "evidence.index"),
    ("evidence.index", True, "evidence.index"),
    ("evidence.index", "40", "evidence.index"),
    ("evidence.index", 40.5, "evidence.index"),
    ("evidence.epoch", 2**32, "evidence.epoch"),
    ("evidence.chain_id", None, "evidence.chain_id"),
    ("evidence.contract", "0x" + "1" * 39, "evidence.contract"),
    ("evidence.contract", "0x" + "aB" * 20, "evidence.contract"),
    ("evidence.log_id", "0x", "evidence.log_id"),
    ("evidence.log_id", "0x" + "11" * 32, "evidence.log_id"),
    ("evidence.fields_root", 7, "evidence.fields_root"),
    ("evidence.sealed", "0xabc", "evidence.sealed"),
    ("evidence.sealed", "0x" + "ab" * 122_922, "evidence.sealed"),
    ("evidence.receipt", {}, "evidence.receipt"),
    ("evidence.receipt", KeyError, "evidence.receipt"),
    ("evidence.receipt.receipt.index", 41, "evidence.receipt"),
    ("evidence.anchor", 1, "evidence.anchor"),
    ("evidence.anchor", KeyError, "evidence.anchor"),
    ("evidence.anchor.entry", KeyError, "evidence.anchor.entry"),
    ("evidence.anchor.count", 1025, "evidence.anchor.count"),
    ("evidence.anchor.path", ["0x00"], "path"),
    ("evidence.anchor.path", ["0x" + "11" * 32] * 11, "path"),
    ("evidence.anchor.path", "0x", "path"),
    ("evidence.anchor.root", KeyError, "root"),
    ("evidence.terms", KeyError, "evidence.terms"),
    ("evidence.terms", None, "evidence.terms"),
    ("evidence.terms.keeper", KeyError, "evidence.terms.keeper"),
    ("evidence.terms.writer", "0x" + "00" * 20, "evidence.terms.writer"),
    ("evidence.terms.salt", "0x00", "evidence.terms.salt"),
    ("evidence.terms.format", 1, "evidence.terms.format"),
    ("evidence.terms.mode", 0, "evidence.terms.mode"),
    ("evidence.terms.mode", True, "evidence.terms.mode"),
    ("evidence.terms.promise", 59, "evidence.terms.promise"),
    ("evidence.terms.skew", 3601, "evidence.terms.skew"),
    ("disclosed", {}, "disclosed"),
    ("disclosed", {"commitments": HASHES, "fields": {}}, "disclosed.fields"),
    ("disclosed", {"commitments": HASHES, "fields": []}, "disclosed.fields"),
    ("disclosed", {"commitments": HASHES[1:], "fields": {"gpu": GPU}}, "disclosed.commitments"),
    ("disclosed", {"commitments": [*HASHES, HASHES[0]], "fields": {"gpu": GPU}}, "disclosed.commitments"),
    ("disclosed", {"commitments": "0x", "fields": {"gpu": GPU}}, "disclosed.commitments"),
    ("disclosed", {"fields": {"gpu": GPU}}, "disclosed.commitments"),
    ("disclosed", [], "disclosed"),
    ("disclosed", {"commitments": HASHES, "fields": {"colour": GPU}}, "disclosed.fields"),
    ("disclosed", {"commitments": HASHES, "fields": {"gpu": {**GPU, "salt": "0x"}}}, "salt"),
    ("disclosed", {"commitments": HASHES, "fields": {"gpu": {**GPU, "path": []}}}, "path"),
]


@pytest.mark.parametrize(("path", "value", "named"), FAULTS, ids=lambda value: str(value)[:32])
def test_a_file_with_one_fault_is_refused_by_the_members_name(path, value, named):
    with pytest.raises(BundleError) as caught:
        parse_bundle(edited(WITH_SECRET, path, value))
    assert named in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"\xef\xbb\xbf\xef\xbb\xbf" + WITH_SECRET,
        WITH_SECRET + b"x", WITH_SECRET.replace(b'"index":40', b'"index":40.0'), WITH_SECRET.replace(b'"index":40', b'"index":4e1'),
        WITH_SECRET.replace(b'"index":40', b'"index":NaN'), WITH_SECRET.replace(b'"index":40', b'"index":' + b"9" * 5000),
        WITH_SECRET.replace(b"0x", b"0X", 1), WITH_SECRET[:-1] + b',"\\ud83c":{}}', WITH_SECRET[:-1] + b',"disclosed":{"\\udf3f":{}}}',
        b"[" * 100_000, WITH_SECRET[:-1] + b',"evidence":{}}', b'{"a":' * 5000, WITH_SECRET.decode().encode("utf-16"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_one_strict_document_is_refused(data):
    with pytest.raises(BundleError) as caught:
        parse_bundle(data)
    str(caught.value).encode()


def test_a_file_larger_than_any_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr("tallystick.strict_json.json.loads", None)
    with pytest.raises(BundleError, match=str(MAX_BUNDLE_BYTES)):
        parse_bundle(b" " * (MAX_BUNDLE_BYTES + 1))


def test_a_bundle_of_the_largest_record_fits_the_bound():
    sealed = seal(largest_record(), epoch_key=EPOCH_KEY, index=2**53 - 1, random=stream("largest"))
    small = parse_bundle(DISCLOSED)
    evidence = dataclasses.replace(small.evidence, sealed=sealed.sealed)
    large = Bundle(
        evidence=evidence, attestation=small.attestation, record_secret=sealed.secret, disclosed=small.disclosed
    )
    assert len(large.to_bytes()) < MAX_BUNDLE_BYTES // 2
    assert parse_bundle(large.to_bytes()) == large


def test_a_number_that_json_cannot_hold_is_refused_on_writing():
    bundle = parse_bundle(WITH_SECRET)
    evidence = dataclasses.replace(bundle.evidence, index=2**60)
    with pytest.raises(BundleError):
        dataclasses.replace(bundle, evidence=evidence).to_bytes()


def test_the_evidence_names_the_log_that_its_terms_lead_to():
    evidence = parse_bundle(WITH_SECRET).evidence
    assert evidence.log_id == derive_log_id(DOMAIN.chain_id, DOMAIN.contract, evidence.terms) != LogId(bytes(32))
