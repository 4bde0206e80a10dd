"""The frozen vectors of version 2: valid ones re-encode identically, invalid ones meet the kind of error that they name.

`test_vectors_messages` has those of signed messages, bundles, bindings and trust files.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tallystick import errors
from tallystick.binding import record_request_hash, response_digest, response_hash
from tallystick.chain.packing import PackingError, pack_records, unpack_records
from tallystick.compression import DICTIONARY_V2
from tallystick.encoding import decode_record, encode_record
from tallystick.hashing import keccak256
from tallystick.heads import EntryKind, LogTerms, derive_log_id, epoch_body, next_head
from tallystick.ids import FieldsRoot, Head, LogId, parse_address, to_hex
from tallystick.keys import AuditorKey, AuditorPublicKey, EpochKey, Wallet, unwrap_epoch_key
from tallystick.merkle import inclusion_path, leaf_hash, root_from_path, tree_root
from tallystick.record import BlobRef, Response
from tallystick.sealing import (
    DisclosedField,
    Disclosure,
    OpenedRecord,
    check_commitments,
    check_disclosure,
    decrypt_blob,
    open_large_field,
    open_sealed,
    padme,
    record_secret,
    response_salt,
    seal,
    sealed_header,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "vectors" / "v2"


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


DISCLOSURE, BLOB = (load("sealing.json")[part] for part in ("disclosure", "blob"))
WRAP = load("key.json")["wrap"]
KINDS_ELSEWHERE = {"PackingError": PackingError}


def raises(kinds: str) -> Any:
    return pytest.raises(KINDS_ELSEWHERE.get(kinds) or getattr(errors, kinds))


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


def opened(case: dict[str, Any]) -> OpenedRecord:
    return open_sealed(
        bytes.fromhex(case["sealed"]),
        log_id=LogId(bytes.fromhex(case["log_id"])),
        index=case["index"],
        epoch=case["epoch"],
        fields_root=FieldsRoot(bytes.fromhex(case["fields_root"])),
        secret=bytes.fromhex(case["secret"]),
    )


@cases("sealing.json", "valid", "name")
def test_a_sealed_record_opens_with_its_secret_and_its_epoch_key(case: dict[str, Any]) -> None:
    log_id, root = LogId(bytes.fromhex(case["log_id"])), FieldsRoot(bytes.fromhex(case["fields_root"]))
    key = EpochKey(log_id, case["epoch"], bytes.fromhex(case["epoch_key"]))
    sealed, vault = bytes.fromhex(case["sealed"]), bytes.fromhex(case["vault"])
    header = sealed_header(sealed)
    assert (header.nonce.hex(), header.vault) == (case["nonce"], bool(vault))
    assert record_secret(key, case["index"], header.nonce, vault).hex() == case["secret"]
    check_commitments(opened(case), root)
    assert opened(case).record_bytes.hex() == case["record"]
    assert leaf_hash(log_id, case["index"], root, sealed).hex() == case["leaf"]


@cases("sealing.json", "valid", "name")
def test_the_hashes_of_a_frozen_receipt_follow_from_its_record(case: dict[str, Any]) -> None:
    record = opened(case).record
    outputs = record.response.outputs if isinstance(record.response, Response) else ()
    digest = response_digest(record.error, outputs)
    assert response_hash(response_salt(bytes.fromhex(case["secret"])), digest).hex() == case["response_hash"]
    assert not isinstance(record.request, BlobRef)
    assert record_request_hash(record.http, record.request).hex() == case["request_hash"]


@cases("sealing.json", "valid", "name")
def test_a_valid_record_seals_to_the_frozen_bytes(case: dict[str, Any]) -> None:
    key = EpochKey(LogId(bytes.fromhex(case["log_id"])), case["epoch"], bytes.fromhex(case["epoch_key"]))
    record = decode_record(bytes.fromhex(case["record"]))
    fresh, vault = bytes.fromhex(case["fresh"]), bytes.fromhex(case["vault"])
    sealed = seal(record, epoch_key=key, index=case["index"], random=lambda _: fresh, vault=vault)
    assert sealed.sealed.hex() == case["sealed"]
    assert sealed.fields_root.hex() == case["fields_root"]


@cases("sealing.json", "invalid", "fault")
def test_a_sealed_record_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    if case["error"] == "commitments":
        with raises("OpenError"):
            check_commitments(opened(case), FieldsRoot(bytes.fromhex(case["fields_root"])))
    else:
        with raises(case["error"]):
            opened(case)


def test_the_frozen_paddings() -> None:
    assert [[length, padme(length)] for length, _ in load("sealing.json")["padme"]] == load("sealing.json")["padme"]


@pytest.mark.parametrize("case", load("key.json")["wallets"], ids=["writer", "sender"])
def test_a_frozen_wallet_has_its_address_and_writes_its_line_again(case: dict[str, Any]) -> None:
    wallet = Wallet.from_text(case["line"])
    assert wallet.secret.hex() == case["private_key"]
    assert to_hex(wallet.address) == case["address"]
    assert wallet.to_text() == case["line"]


def test_the_frozen_auditor_s_keys_follow_from_the_seed() -> None:
    case = load("key.json")["auditor"]
    auditor = AuditorKey.from_text(case["line"])
    assert auditor == AuditorKey(bytes.fromhex(case["seed"]))
    assert auditor.public == AuditorPublicKey(
        bytes.fromhex(case["mlkem768_public"]), bytes.fromhex(case["x25519_public"])
    )
    assert AuditorPublicKey.from_text(case["public_line"]) == auditor.public
    assert auditor.key_id.hex() == case["key_id"]
    assert (auditor.to_text(), auditor.public.to_text()) == (case["line"], case["public_line"])


@cases("key.json", "invalid", "fault")
def test_a_key_file_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    readers = {"tallystick-wallet-v2": Wallet, "tallystick-auditor-key-v2": AuditorKey}
    with raises(case["error"]):
        readers.get(case["kind"], AuditorPublicKey).from_text(case["line"])


def unwrapped(case: dict[str, Any]) -> EpochKey:
    auditor = AuditorKey.from_text(WRAP["auditor"])
    return unwrap_epoch_key(bytes.fromhex(case["wrap"]), auditor, LogId(bytes.fromhex(case["log_id"])), case["epoch"])


def test_the_frozen_wrap_opens_for_its_auditor() -> None:
    assert unwrapped(WRAP).secret.hex() == WRAP["epoch_key"]


@pytest.mark.parametrize("case", WRAP["invalid"], ids=lambda case: case["fault"])
def test_a_wrap_with_one_fault_does_not_open(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        unwrapped(case)


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


def test_the_frozen_blob_opens_to_the_field_that_its_record_refers_from() -> None:
    record = opened(BLOB).record
    ref, ciphertext, secret = blob_ref(BLOB["ref"]), bytes.fromhex(BLOB["ciphertext"]), bytes.fromhex(BLOB["secret"])
    assert getattr(record, BLOB["field"]) == ref
    value = decrypt_blob(ciphertext, ref, secret)
    assert (len(value), keccak256(value).hex()) == (BLOB["value_length"], BLOB["value_digest"])
    response = open_large_field(BLOB["field"], ciphertext, ref, secret)
    assert isinstance(response, Response)
    digest = response_digest(record.error, response.outputs)
    assert response_hash(response_salt(secret), digest).hex() == BLOB["response_hash"]


@pytest.mark.parametrize("case", BLOB["invalid"], ids=lambda case: case["fault"])
def test_a_blob_with_one_fault_does_not_open(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        decrypt_blob(bytes.fromhex(case["ciphertext"]), blob_ref(case["ref"]), bytes.fromhex(case["secret"]))


def test_the_dictionary_is_the_frozen_one() -> None:
    assert load("sealing.json")["dictionary"] == DICTIONARY_V2.hex()


@cases("leaf.json", "leaves", "index")
def test_a_frozen_leaf_follows_from_its_parts(case: dict[str, Any]) -> None:
    assert leaf_of(case).hex() == case["leaf"]


@cases("leaf.json", "invalid", "fault")
def test_parts_of_no_leaf_are_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        leaf_of(case)


def leaf_of(case: dict[str, Any]) -> bytes:
    log_id = LogId(bytes.fromhex(load("leaf.json")["log_id"]))
    return leaf_hash(
        log_id, case["index"], FieldsRoot(bytes.fromhex(case["fields_root"])), bytes.fromhex(case["sealed"])
    )


def test_the_frozen_log_id_follows_from_its_terms() -> None:
    vectors = load("head.json")
    terms = vectors["terms"]
    addresses = {name: parse_address(terms[name]) for name in ("creator", "writer", "keeper")}
    numbers = {name: terms[name] for name in ("format", "mode", "promise", "skew")}
    log_terms = LogTerms(**addresses, **numbers, salt=bytes.fromhex(terms["salt"]))
    log_id = derive_log_id(vectors["chain_id"], parse_address(vectors["contract"]), log_terms)
    assert log_id.hex() == vectors["log_id"] == vectors["entries"][0]["previous"]


def test_each_frozen_head_follows_from_the_one_before_it() -> None:
    vectors = load("head.json")
    head = Head(bytes.fromhex(vectors["log_id"]))
    for number, case in enumerate(vectors["entries"]):
        assert (case["entry"], case["previous"]) == (number, head.hex())
        head = next_head(head, EntryKind(case["kind"]), case["entry"], bytes.fromhex(case["body"]))
        assert case["head"] == head.hex()
    assert {case["kind"] for case in vectors["entries"]} == set(EntryKind)
    assert vectors["entries"][0]["body"] == epoch_body(1, 0, bytes.fromhex(vectors["wraps"])).hex()


@cases("packed.json", "valid", "name")
def test_packed_records_come_apart_and_together_again(case: dict[str, Any]) -> None:
    records = unpack_records(bytes.fromhex(case["packed"]))
    assert [(one.fields_root.hex(), one.sealed.hex()) for one in records] == [
        (one["fields_root"], one["sealed"]) for one in case["records"]
    ]
    assert pack_records([(one.fields_root, one.sealed) for one in records]).hex() == case["packed"]
    assert tree_root([bytes.fromhex(one["leaf"]) for one in case["records"]]).hex() == case["root"]


@cases("packed.json", "invalid", "fault")
def test_packed_records_with_one_fault_are_refused(case: dict[str, Any]) -> None:
    with raises(case["error"]):
        unpack_records(bytes.fromhex(case["packed"]))


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
