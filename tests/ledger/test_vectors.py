"""The frozen vectors of version 1: valid ones re-encode identically, invalid ones meet the kind of error that they name."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tallystick import errors
from tallystick.bundle import attester, parse_bundle
from tallystick.compression import DICTIONARY_V1
from tallystick.encoding import decode_record, encode_record, encode_value
from tallystick.ids import FieldsRoot, Head, LogId, Root, to_hex
from tallystick.keys import AuditorKey, EpochKey, unwrap_epoch_key
from tallystick.merkle import inclusion_path, leaf_hash, next_head, root_from_path, tree_root
from tallystick.receipts import SignedAdmission, SignedReceipt, admission_digest, receipt_digest
from tallystick.record import BlobRef
from tallystick.sealing import (
    DisclosedField,
    Disclosure,
    OpenedRecord,
    check_commitments,
    check_disclosure,
    open_blob,
    open_sealed,
    record_secret,
    seal,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "vectors" / "v1"


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


WRAP, DISCLOSURE, BLOB = (load("sealing.json")[part] for part in ("wrap", "disclosure", "blob"))


def raises(kinds: str) -> Any:
    return pytest.raises(tuple(getattr(errors, kind) for kind in kinds.split("|")))


def cases(name: str, group: str, label: str) -> Any:
    return pytest.mark.parametrize("case", load(name)[group], ids=lambda case: str(case[label]))


def test_the_generator_reproduces_every_frozen_file() -> None:
    spec = importlib.util.spec_from_file_location("make_vectors", ROOT / "scripts" / "make_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    rendered = generator.render()
    assert {name for name, text in rendered.items() if (FOLDER / name).read_text() != text} == set()
    assert set(rendered) == {path.name for path in FOLDER.glob("*.json")}


@cases("record.json", "valid", "name")
def test_a_valid_record_re_encodes_identically(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["encoded"])
    assert encode_record(decode_record(data)) == data


@cases("record.json", "invalid", "fault")
def test_an_invalid_record_is_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        decode_record(bytes.fromhex(case["encoded"]))


@cases("sealing.json", "valid", "name")
def test_a_sealed_record_opens_with_its_secret_and_its_epoch_key(case: dict[str, Any]) -> None:
    log_id, root = LogId(bytes.fromhex(case["log_id"])), FieldsRoot(bytes.fromhex(case["fields_root"]))
    key = EpochKey(log_id, case["epoch"], bytes.fromhex(case["epoch_key"]))
    assert record_secret(key, case["index"], bytes.fromhex(case["custody_nonce"])).hex() == case["secret"]
    sealed = bytes.fromhex(case["sealed"])
    opened = open_sealed(
        sealed, log_id=log_id, index=case["index"], fields_root=root, secret=bytes.fromhex(case["secret"])
    )
    check_commitments(opened, root)
    assert opened.record_bytes.hex() == case["record"]
    assert leaf_hash(log_id, case["index"], root, sealed).hex() == case["leaf"]


@cases("sealing.json", "valid", "name")
def test_a_valid_record_seals_to_the_frozen_bytes(case: dict[str, Any]) -> None:
    key = EpochKey(LogId(bytes.fromhex(case["log_id"])), case["epoch"], bytes.fromhex(case["epoch_key"]))
    record = decode_record(bytes.fromhex(case["record"]))
    sealed = seal(record, epoch_key=key, index=case["index"], custody_nonce=bytes.fromhex(case["custody_nonce"]))
    assert sealed.sealed.hex() == case["sealed"]
    assert sealed.fields_root.hex() == case["fields_root"]


@cases("sealing.json", "invalid", "fault")
def test_a_sealed_record_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    root = FieldsRoot(bytes.fromhex(case["fields_root"]))

    def opened() -> OpenedRecord:
        return open_sealed(
            bytes.fromhex(case["sealed"]),
            log_id=LogId(bytes.fromhex(case["log_id"])),
            index=case["index"],
            fields_root=root,
            secret=bytes.fromhex(case["secret"]),
        )

    if case["error"] == "commitments":
        with raises("OpenError"):
            check_commitments(opened(), root)
    else:
        with raises(case["error"]):
            opened()


def test_the_frozen_wrap_opens_for_its_auditor() -> None:
    case = WRAP
    auditor = AuditorKey.from_text(case["auditor_key"])
    assert auditor.public.to_text() == case["auditor_public"]
    assert auditor.key_id.hex() == case["key_id"]
    key = unwrap_epoch_key(bytes.fromhex(case["wrap"]), auditor, LogId(bytes.fromhex(case["log_id"])), case["epoch"])
    assert key.secret.hex() == case["epoch_key"]


@pytest.mark.parametrize("case", WRAP["invalid"], ids=lambda case: case["fault"])
def test_a_wrap_with_one_fault_does_not_open(case: dict[str, Any]) -> None:
    auditor, log_id = AuditorKey.from_text(WRAP["auditor_key"]), LogId(bytes.fromhex(WRAP["log_id"]))
    with raises(case["error"]):
        unwrap_epoch_key(bytes.fromhex(case["wrap"]), auditor, log_id, WRAP["epoch"])


def disclosure(case: dict[str, Any]) -> Disclosure:
    return Disclosure(
        fields={
            name: DisclosedField(
                field_bytes=bytes.fromhex(shown["field"]),
                salt=bytes.fromhex(shown["salt"]),
            )
            for name, shown in case["fields"].items()
        },
        commitments=[bytes.fromhex(one) for one in case["commitments"]],
    )


def test_the_frozen_disclosure_leads_to_its_fields_root() -> None:
    values = check_disclosure(disclosure(DISCLOSURE), FieldsRoot(bytes.fromhex(DISCLOSURE["fields_root"])))
    assert values["price"]["charge_micros"] == 875


@pytest.mark.parametrize("case", DISCLOSURE["invalid"], ids=lambda case: case["fault"])
def test_a_disclosure_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        check_disclosure(disclosure(case), FieldsRoot(bytes.fromhex(DISCLOSURE["fields_root"])))


def blob_ref(ref: dict[str, Any]) -> BlobRef:
    digest, sealed_digest = bytes.fromhex(ref["digest"]), bytes.fromhex(ref["sealed_digest"])
    return BlobRef(digest=digest, length=ref["length"], sealed_digest=sealed_digest)


def test_the_frozen_blob_opens_to_its_value() -> None:
    value = open_blob(bytes.fromhex(BLOB["ciphertext"]), blob_ref(BLOB["ref"]), bytes.fromhex(BLOB["secret"]))
    assert encode_value(value).hex() == BLOB["value"]


@pytest.mark.parametrize("case", BLOB["invalid"], ids=lambda case: case["fault"])
def test_a_blob_with_one_fault_does_not_open(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        open_blob(bytes.fromhex(case["ciphertext"]), blob_ref(case["ref"]), bytes.fromhex(case["secret"]))


def test_the_dictionary_is_the_frozen_one() -> None:
    assert load("sealing.json")["dictionary"] == DICTIONARY_V1.hex()


def test_the_frozen_leaves_and_heads() -> None:
    vectors = load("leaf.json")
    log_id = LogId(bytes.fromhex(vectors["log_id"]))
    for case in vectors["leaves"]:
        root, sealed = FieldsRoot(bytes.fromhex(case["fields_root"])), bytes.fromhex(case["sealed"])
        assert leaf_hash(log_id, case["index"], root, sealed).hex() == case["leaf"]
    for case in vectors["heads"]:
        before, root = Head(bytes.fromhex(case["previous"])), Root(bytes.fromhex(case["root"]))
        assert next_head(before, root, case["first_index"], case["count"]).hex() == case["head"]


@cases("tree.json", "valid", "size")
def test_a_frozen_tree_has_its_root_and_paths(case: dict[str, Any]) -> None:
    leaves = [bytes.fromhex(leaf) for leaf in case["leaves"]]
    assert tree_root(leaves).hex() == case["root"]
    for position, path in enumerate(case["paths"]):
        assert [part.hex() for part in inclusion_path(leaves, position)] == path


@cases("tree.json", "invalid", "fault")
def test_a_path_with_one_fault_does_not_lead_to_the_root(case: dict[str, Any]) -> None:
    path = [bytes.fromhex(part) for part in case["path"]]
    leaf, root = bytes.fromhex(case["leaf"]), case["root"]
    if case["error"] == "another root":
        assert root_from_path(leaf, case["position"], case["size"], path).hex() != root
    else:
        with raises(case["error"]):
            root_from_path(leaf, case["position"], case["size"], path)


def test_the_frozen_receipts_have_their_digests() -> None:
    receipt, admission = load("receipt.json")["valid"]
    signed = SignedReceipt.from_json(receipt["json"])
    assert receipt_digest(signed.domain, signed.receipt).hex() == receipt["digest"]
    assert signed.to_json() == receipt["json"]
    promised = SignedAdmission.from_json(admission["json"])
    assert admission_digest(promised.domain, promised.admission).hex() == admission["digest"]
    assert promised.to_json() == admission["json"]


@cases("receipt.json", "invalid", "fault")
def test_a_receipt_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        SignedReceipt.from_json(case["json"])


@cases("bundle.json", "valid", "name")
def test_a_frozen_bundle_reads_and_writes_back(case: dict[str, Any]) -> None:
    bundle = parse_bundle(case["file"].encode())
    assert bundle.to_bytes().decode() == case["file"]
    assert to_hex(attester(bundle)) == load("bundle.json")["writer"]


@cases("bundle.json", "invalid", "fault")
def test_a_bundle_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        parse_bundle(case["file"].encode())
