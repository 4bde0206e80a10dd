"""Evidence bundles (section 9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import rfc8785

from tests.support.stranger.crypto import keccak, signer
from tests.support.stranger.errors import BUNDLE, Refused
from tests.support.stranger.fields import address, binary, exactly, hash32, number, strict_json
from tests.support.stranger.messages import SignedMessage, bundle_digest, read_message
from tests.support.stranger.requests import check_binding
from tests.support.stranger.sealing import (
    header_of,
    open_sealed,
    read_disclosure,
    request_hash,
    response_hash,
    whole_record,
)
from tests.support.stranger.tree import Terms, batch_body, check_path, leaf_hash, next_head

MAX_FILE = 1_048_576
FORMAT = "tallystick/bundle/v2"
EVIDENCE = {"anchor", "chain_id", "contract", "epoch", "fields_root", "index", "log_id", "receipt", "sealed", "terms"}
ANCHOR = {
    "batch": number, "block_hash": hash32, "block_number": number, "block_time": number, "count": None, "entry": number,
    "first_index": number, "head": hash32, "path": None, "previous_head": hash32, "root": hash32, "tx_hash": hash32,
}  # fmt: skip


@dataclass
class BundleReport:
    """What a bundle says, and what in it is not true."""

    log_id: bytes
    chain_id: int
    contract: bytes
    terms: Terms
    index: int
    epoch: int
    leaf: bytes
    attester: bytes | None
    content_hash: bytes
    anchor: dict[str, Any] | None
    receipt: SignedMessage | None
    record: dict[str, Any] | None = None
    disclosed: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems


def _terms(given: Any) -> Terms:
    terms = exactly(BUNDLE, given, {"creator", "format", "keeper", "mode", "promise", "salt", "skew", "writer"})
    return Terms(
        address(BUNDLE, terms["creator"]),
        hash32(BUNDLE, terms["salt"]),
        address(BUNDLE, terms["writer"]),
        address(BUNDLE, terms["keeper"]),
        number(BUNDLE, terms["format"], 2, 2),
        number(BUNDLE, terms["mode"], 1, 2),
        number(BUNDLE, terms["promise"], 60, 2_592_000),
        number(BUNDLE, terms["skew"], 0, 3_600),
    )


def _anchor(given: Any) -> dict[str, Any] | None:
    if given is None:
        return None
    anchor = dict(exactly(BUNDLE, given, set(ANCHOR)))
    for name, reader in ANCHOR.items():
        if reader is not None:
            anchor[name] = reader(BUNDLE, anchor[name])
    number(BUNDLE, anchor["count"], 0, 1024)
    if not isinstance(anchor["path"], list) or len(anchor["path"]) > 10:
        raise Refused(BUNDLE, "path has more parts than any tree's")
    anchor["path"] = [hash32(BUNDLE, part) for part in anchor["path"]]
    return anchor


def _disclosed(given: Any) -> tuple[list[bytes], dict[str, tuple[bytes, bytes]]]:
    disclosed = exactly(BUNDLE, given, {"commitments", "fields"})
    commitments, fields = disclosed["commitments"], disclosed["fields"]
    if not isinstance(commitments, list) or len(commitments) != 22 or not isinstance(fields, dict) or not fields:
        raise Refused(BUNDLE, "not twenty-two commitments and at least one field")
    shown = {}
    for name, part in fields.items():
        exactly(BUNDLE, part, {"field", "salt"})
        shown[name] = binary(BUNDLE, part["field"], 1, MAX_FILE), hash32(BUNDLE, part["salt"])
    return [hash32(BUNDLE, part) for part in commitments], shown


def _check_anchor(report: BundleReport, anchor: dict[str, Any]) -> None:
    body = batch_body(report.epoch, anchor["first_index"], anchor["count"], anchor["root"])
    if next_head(anchor["previous_head"], report.terms.mode, anchor["entry"], body) != anchor["head"]:
        report.problems.append("the anchor's head does not follow from the one before it")
    try:
        check_path(report.leaf, report.index - anchor["first_index"], anchor["count"], anchor["path"], anchor["root"])
    except Refused as error:
        report.problems.append(f"the anchor's path: {error}")


def _check_receipt(report: BundleReport, receipt: SignedMessage, number_in_header: int | None) -> None:
    values = receipt.values
    expected = {"log_id": report.log_id, "index": report.index, "leaf": report.leaf, "admission_seq": number_in_header}
    report.problems += [
        f"the receipt's {name} is another"
        for name, value in expected.items()
        if value is not None and values[name] != value
    ]
    if (receipt.chain_id, receipt.contract) != (report.chain_id, report.contract):
        report.problems.append("the receipt is for another contract")
    if values["anchor_by"] - values["issued_at"] > report.terms.promise:
        report.problems.append("the receipt's anchor_by is beyond the promise")
    if report.anchor is not None and report.anchor["block_time"] > values["anchor_by"]:
        report.problems.append("the batch came after the receipt's anchor_by")


def _check_record(
    report: BundleReport, secret: bytes, root: bytes, sealed: bytes, blobs: Mapping[bytes, bytes]
) -> None:
    try:
        record, _ = open_sealed(secret, report.log_id, report.index, report.epoch, root, sealed)
        report.record, missing = whole_record(record, secret, blobs)
    except Refused as error:
        report.problems.append(f"the record: {error}")
        return
    report.unchecked += [f"the blob of {name} is not there" for name in missing]
    report.problems += check_binding(report.record, missing)
    if report.receipt is None:
        return
    values = report.receipt.values
    if values["sender"] != record["sender"]["address"]:
        report.problems.append("the receipt names another sender")
    if "request" not in missing and values["request_hash"] != request_hash(report.record):
        report.problems.append("the receipt has another request hash")
    if "response" not in missing and values["response_hash"] != response_hash(report.record, secret):
        report.problems.append("the receipt has another response hash")


def _attester(digest: bytes, attestation: bytes, problems: list[str]) -> bytes | None:
    try:
        return signer(digest, attestation)
    except Refused as error:
        problems.append(f"the attestation: {error}")
        return None


def _admission(sealed: bytes, problems: list[str]) -> int | None:
    try:
        return header_of(sealed)[1]
    except Refused as error:
        problems.append(f"the header: {error}")
        return None


def read_bundle(file: bytes, blobs: Mapping[bytes, bytes] | None = None) -> BundleReport:
    """Everything that a bundle proves by itself; whose log it is, the caller knows."""
    if len(file) > MAX_FILE:
        raise Refused(BUNDLE, "a file beyond 1,048,576 bytes")
    document = strict_json(BUNDLE, file)
    exactly(BUNDLE, document, {"attestation", "evidence", "format"}, {"disclosed", "record_secret"})
    if document["format"] != FORMAT:
        raise Refused(BUNDLE, "another format")
    evidence = exactly(BUNDLE, document["evidence"], EVIDENCE)
    terms = _terms(evidence["terms"])
    chain_id, contract = number(BUNDLE, evidence["chain_id"]), address(BUNDLE, evidence["contract"])
    log_id, root = hash32(BUNDLE, evidence["log_id"]), hash32(BUNDLE, evidence["fields_root"])
    if terms.log_id(chain_id, contract) != log_id:
        raise Refused(BUNDLE, "log_id is not the hash of the terms")
    index, epoch = number(BUNDLE, evidence["index"]), number(BUNDLE, evidence["epoch"], 0, 2**32 - 1)
    sealed = binary(BUNDLE, evidence["sealed"], 42, 122_921)
    secret = hash32(BUNDLE, document["record_secret"]) if "record_secret" in document else None
    disclosed = _disclosed(document["disclosed"]) if "disclosed" in document else None
    anchor = _anchor(evidence["anchor"])
    attestation = binary(BUNDLE, document["attestation"], 65)
    content_hash = keccak(rfc8785.dumps(evidence))
    try:
        receipt = read_message(evidence["receipt"], BUNDLE) if evidence["receipt"] is not None else None
    except Refused as error:
        raise Refused(BUNDLE, error.text) from None
    if receipt is not None and receipt.kind != "receipt":
        raise Refused(BUNDLE, "another message in the receipt's place")
    leaf = leaf_hash(log_id, index, root, sealed)
    problems: list[str] = []
    attester = _attester(bundle_digest(chain_id, contract, content_hash), attestation, problems)
    admission = _admission(sealed, problems)
    report = BundleReport(
        log_id,
        chain_id,
        contract,
        terms,
        index,
        epoch,
        leaf,
        attester,
        content_hash,
        anchor,
        receipt,
        problems=problems,
    )
    if anchor is not None:
        _check_anchor(report, anchor)
    if receipt is not None:
        _check_receipt(report, receipt, admission)
    if disclosed is not None:
        try:
            report.disclosed = read_disclosure(root, *disclosed)
        except Refused as error:
            report.problems.append(str(error))
    if secret is not None:
        _check_record(report, secret, root, sealed, blobs or {})
    return report
