"""The frozen vectors of what is signed, bound and trusted: valid ones come back as they are, each fault meets its kind of error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick import errors
from tallystick.binding import request_digest, request_hash, response_digest, response_hash
from tallystick.bundle.evidence import attester
from tallystick.bundle.reading import parse_bundle
from tallystick.evidence_files import read_events
from tallystick.hashing import keccak256
from tallystick.ids import LogId, parse_address, to_hex
from tallystick.receipts.members import domain_from_json
from tallystick.receipts.messages import SenderRequest, bundle_digest, message_digest
from tallystick.receipts.signed import SIGNED_KINDS, sender_request_signer, signer
from tallystick.tasks import read, received_answer, received_stream
from tallystick.trust.file import read_trust, trust_text

FOLDER = Path(__file__).parents[1] / "vectors" / "v2"
KINDS = {kind.MEMBER: kind for kind in SIGNED_KINDS}


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


MESSAGES, BUNDLES, BINDINGS, TASKS, TRUST = (
    load(f"{name}.json") for name in ("receipt", "bundle", "binding", "tasks", "trust")
)
OF_ALL_TASKS = {group: BINDINGS[group] + TASKS[group] for group in ("requests", "refused", "answers")}


def cases(vectors: dict[str, Any], group: str, *labels: str) -> Any:
    return pytest.mark.parametrize(
        "case", vectors[group], ids=lambda case: " ".join(str(case[label]) for label in labels)
    )


@cases(MESSAGES, "valid", "kind")
def test_a_frozen_message_has_its_digest_and_reads_and_writes_back(case: dict[str, Any]) -> None:
    signed = KINDS[case["kind"]].from_json(case["json"])
    assert signed.digest().hex() == case["digest"]
    assert signed.to_json() == case["json"]
    assert to_hex(signer(signed)) == case["json"]["signer"].lower()


@cases(MESSAGES, "invalid", "kind", "fault")
def test_a_message_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        KINDS[case["kind"]].from_json(case["json"])


def test_the_frozen_bundle_digest() -> None:
    case, domain = MESSAGES["bundle"], domain_from_json(MESSAGES["valid"][0]["json"]["domain"])
    assert bundle_digest(domain, bytes.fromhex(case["content_hash"])).hex() == case["digest"]


def test_the_frozen_request_of_a_sender() -> None:
    case = MESSAGES["request"]
    request = SenderRequest(
        log_id=LogId(bytes.fromhex(case["log_id"])),
        method=case["method"],
        target=case["target"],
        content_type=case["content_type"],
        body_hash=keccak256(bytes.fromhex(case["body"])),
        nonce=bytes.fromhex(case["nonce"]),
        deadline=case["deadline"],
    )
    domain = domain_from_json(case["domain"])
    assert message_digest(domain, request).hex() == case["digest"]
    assert sender_request_signer(domain, request, bytes.fromhex(case["signature"])) == parse_address(case["sender"])


@cases(BUNDLES, "valid", "name")
def test_a_frozen_bundle_reads_and_writes_back(case: dict[str, Any]) -> None:
    bundle = parse_bundle(case["file"].encode())
    assert bundle.to_bytes().decode() == case["file"]
    assert to_hex(attester(bundle)) == case["attester"] == BUNDLES["writer"]


@cases(BUNDLES, "formatted", "formatting")
def test_a_frozen_bundle_is_the_same_in_any_formatting(case: dict[str, Any]) -> None:
    bundle = parse_bundle(case["file"].encode())
    assert bundle == parse_bundle(BUNDLES["formatted"][0]["file"].encode())
    assert to_hex(attester(bundle)) == BUNDLES["writer"]


@cases(BUNDLES, "invalid", "fault")
def test_a_bundle_with_one_fault_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, case["error"])):
        parse_bundle(case["file"].encode())


def wire(case: dict[str, Any]) -> tuple[str, str, str | None, bytes]:
    return case["method"], case["target"], case["content_type"], bytes.fromhex(case["body"])


@cases(OF_ALL_TASKS, "requests", "name")
def test_a_frozen_request_has_its_hash_and_reading(case: dict[str, Any]) -> None:
    digest = request_digest(*wire(case))
    assert digest.hex() == case["digest"]
    assert request_hash(bytes.fromhex(BINDINGS["request_salt"]), digest).hex() == case["request_hash"]
    reading = read(case["reader"], *wire(case))
    assert (reading.prompt, reading.system) == (case["prompt"], case["system"])
    assert (reading.asked, reading.model) == (case["asked"], case["model"])


@cases(OF_ALL_TASKS, "refused", "fault")
def test_a_request_with_one_fault_is_refused_by_its_part(case: dict[str, Any]) -> None:
    with pytest.raises(errors.RequestError) as caught:
        read(case["reader"], *wire(case))
    assert (type(caught.value).__name__, caught.value.param) == (case["error"], case["param"])


@cases(BINDINGS, "responses", "name")
def test_a_frozen_outcome_has_its_hash(case: dict[str, Any]) -> None:
    digest = keccak256(bytes.fromhex(case["encoded"]))
    assert response_hash(bytes.fromhex(BINDINGS["response_salt"]), digest).hex() == case["response_hash"]


@cases(OF_ALL_TASKS, "answers", "name")
def test_the_hash_follows_from_what_a_client_received(case: dict[str, Any]) -> None:
    data = case["file"].encode()
    received = received_stream(read_events(data)[0]) if case["streamed"] else received_answer(json.loads(data))
    assert received.whole
    digest = response_digest(received.error, received.outputs)
    assert response_hash(bytes.fromhex(BINDINGS["response_salt"]), digest).hex() == case["response_hash"]


@cases(TRUST, "valid", "name")
def test_a_frozen_trust_file_reads_and_writes_back(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(case["file"])
    assert trust_text(read_trust(path)) == case["file"]


@cases(TRUST, "invalid", "fault")
def test_a_trust_file_with_one_fault_is_refused(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(case["file"])
    with pytest.raises(getattr(errors, case["error"])) as caught:
        read_trust(path)
    assert str(path) in str(caught.value)
