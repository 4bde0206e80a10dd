"""The evidence bundle: everything that proves one record, in one JSON file that verifies offline.

The file may be formatted in any way; it is read strictly, and each value has one spelling. So whatever was read has one canonical form
(RFC 8785), which the writer's attestation is over, and a change to a file either breaks the JSON, or its layout, or a value; and every
value is bound by the attestation, or, for what a holder may add or remove, proves itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import rfc8785

from tallystick.errors import BundleError, IdError, JsonError, ReceiptFormatError, SignatureError
from tallystick.hashing import keccak256
from tallystick.heads import HeadError, LogTerms, derive_log_id
from tallystick.ids import (
    MAX_EPOCH,
    MAX_INDEX,
    Address,
    FieldsRoot,
    Head,
    LogId,
    Root,
    checksum_address,
    parse_address,
    parse_hash,
    parse_hex,
    to_hex,
)
from tallystick.keys import SECRET_BYTES, SIGNATURE_BYTES, Wallet, recover
from tallystick.merkle import MAX_BATCH_RECORDS, MAX_PATH_LENGTH
from tallystick.receipts import Domain, SignedReceipt, bundle_digest
from tallystick.record import FIELD_NAMES
from tallystick.sealing import MAX_SEALED_BYTES, SALT_BYTES, DisclosedField, Disclosure
from tallystick.strict_json import read_json

FORMAT: Final = "tallystick/bundle/v2"
MAX_BUNDLE_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where the record stands on the chain: its batch, the path to the batch's root, the head's step, and the transaction.

    Units: `block_time` is Unix seconds.
    """

    entry: int
    batch: int
    first_index: int
    count: int
    root: Root
    path: tuple[bytes, ...]
    previous_head: Head
    head: Head
    tx_hash: bytes
    block_number: int
    block_hash: bytes
    block_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the writer attests: whose log it is, the sealed record, its receipt if shown, and its anchor once there is one.

    Requires: a `log_id` that follows from `domain` and `terms`; `parse_bundle` checks it.
    """

    domain: Domain
    terms: LogTerms
    log_id: LogId
    index: int
    epoch: int
    fields_root: FieldsRoot
    sealed: bytes = field(repr=False)
    receipt: SignedReceipt | None
    anchor: Anchor | None

    def to_json(self) -> dict[str, object]:
        """The JSON form. Source: SPEC 9."""
        return {
            "anchor": None if self.anchor is None else _anchor_to_json(self.anchor),
            "chain_id": self.domain.chain_id,
            "contract": checksum_address(self.domain.contract),
            "epoch": self.epoch,
            "fields_root": to_hex(self.fields_root),
            "index": self.index,
            "log_id": to_hex(self.log_id),
            "receipt": None if self.receipt is None else self.receipt.to_json(),
            "sealed": to_hex(self.sealed),
            "terms": _terms_to_json(self.terms),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Evidence with the writer's attestation, and what its holder chose to show of the record."""

    evidence: Evidence
    attestation: bytes
    record_secret: bytes | None = field(default=None, repr=False)
    disclosed: Disclosure | None = None

    def to_bytes(self) -> bytes:
        """The file in its canonical form. Source: SPEC 9; RFC 8785."""
        document: dict[str, object] = {
            "attestation": to_hex(self.attestation),
            "evidence": self.evidence.to_json(),
            "format": FORMAT,
        }
        if self.record_secret is not None:
            document["record_secret"] = to_hex(self.record_secret)
        if self.disclosed is not None:
            document["disclosed"] = {
                "commitments": [to_hex(one) for one in self.disclosed.commitments],
                "fields": {
                    name: {"field": to_hex(shown.field_bytes), "salt": to_hex(shown.salt)}
                    for name, shown in self.disclosed.fields.items()
                },
            }
        return _canonical(document)


def evidence_digest(evidence: Evidence) -> bytes:
    """The 32 bytes that the writer signs for this evidence. Source: SPEC 9."""
    return bundle_digest(evidence.domain, keccak256(_canonical(evidence.to_json())))


def sign_evidence(wallet: Wallet, evidence: Evidence) -> bytes:
    """The writer's attestation of this evidence."""
    return wallet.sign_digest(evidence_digest(evidence))


def attester(bundle: Bundle) -> Address:
    """Who attested the evidence, computed from the signature: anybody, until compared with a writer who is known.

    Raises: SignatureError.
    """
    return recover(evidence_digest(bundle.evidence), bundle.attestation)


def check_attestation(bundle: Bundle, writers: Collection[Address]) -> Address:
    """Who attested the evidence: one of the log's writers. A receipt in it may be by another of them, who wrote before.

    Raises: BundleError; SignatureError.
    """
    found = attester(bundle)
    if found not in writers:
        known = ", ".join(checksum_address(one) for one in writers) or "nobody"
        raise BundleError("attestation", f"is by {checksum_address(found)}; the log's writers are {known}")
    return found


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle file, in any JSON formatting.

    Raises: BundleError naming the member at fault.
    Source: SPEC 9.
    """
    try:
        document = read_json(data, MAX_BUNDLE_BYTES)
    except JsonError as error:
        raise BundleError("file", str(error)) from error
    return bundle_from(document)


def bundle_from(document: object) -> Bundle:
    """Read a bundle from the JSON value of its file, as `parse_bundle` does.

    Raises: BundleError naming the member at fault.
    """
    members = _object(document, "file", ("attestation", "evidence", "format"), optional=("disclosed", "record_secret"))
    if members["format"] != FORMAT:
        raise BundleError("format", f"is {members['format']!a:.60}; this release reads {FORMAT!r}")
    secret = _bytes(members, "", "record_secret", SECRET_BYTES) if "record_secret" in members else None
    return Bundle(
        evidence=_evidence_from(members["evidence"]),
        attestation=_bytes(members, "", "attestation", SIGNATURE_BYTES),
        record_secret=secret,
        disclosed=_disclosure_from(members["disclosed"]) if "disclosed" in members else None,
    )


_EVIDENCE_MEMBERS = (
    "anchor", "chain_id", "contract", "epoch", "fields_root", "index", "log_id", "receipt", "sealed", "terms",
)  # fmt: skip


def _evidence_from(data: object) -> Evidence:
    where = "evidence"
    members = _object(data, where, _EVIDENCE_MEMBERS)
    try:
        receipt = None if members["receipt"] is None else SignedReceipt.from_json(members["receipt"])
    except (ReceiptFormatError, SignatureError) as error:
        raise BundleError("evidence.receipt", str(error)) from error
    sealed = _hex(members, where, "sealed", parse_hex)
    if len(sealed) > MAX_SEALED_BYTES:
        raise BundleError("evidence.sealed", f"has {len(sealed)} bytes; at most {MAX_SEALED_BYTES} are sealed")
    domain = Domain(chain_id=_integer(members, where, "chain_id"), contract=_address(members, where, "contract"))
    terms, log_id = _terms_from(members["terms"]), LogId(_hex(members, where, "log_id", parse_hash))
    derived = derive_log_id(domain.chain_id, domain.contract, terms)
    if log_id != derived:
        raise BundleError("evidence.log_id", f"is {to_hex(log_id)}; the terms lead to {to_hex(derived)}")
    return Evidence(
        domain=domain,
        terms=terms,
        log_id=log_id,
        index=_integer(members, where, "index"),
        epoch=_integer(members, where, "epoch", most=MAX_EPOCH),
        fields_root=FieldsRoot(_hex(members, where, "fields_root", parse_hash)),
        sealed=sealed,
        receipt=receipt,
        anchor=None if members["anchor"] is None else _anchor_from(members["anchor"]),
    )


_TERMS_MEMBERS = ("creator", "format", "keeper", "mode", "promise", "salt", "skew", "writer")


def _terms_to_json(terms: LogTerms) -> dict[str, object]:
    return {
        "creator": checksum_address(terms.creator),
        "format": terms.format,
        "keeper": checksum_address(terms.keeper),
        "mode": terms.mode,
        "promise": terms.promise,
        "salt": to_hex(terms.salt),
        "skew": terms.skew,
        "writer": checksum_address(terms.writer),
    }


def _terms_from(data: object) -> LogTerms:
    where = "evidence.terms"
    members = _object(data, where, _TERMS_MEMBERS)
    try:
        return LogTerms(
            creator=_address(members, where, "creator"),
            salt=_hex(members, where, "salt", parse_hash),
            writer=_address(members, where, "writer"),
            keeper=_address(members, where, "keeper"),
            format=_integer(members, where, "format"),
            mode=_integer(members, where, "mode"),
            promise=_integer(members, where, "promise"),
            skew=_integer(members, where, "skew"),
        )
    except HeadError as error:
        raise BundleError(f"{where}.{error.part}", error.reason) from error


_ANCHOR_MEMBERS = (
    "batch",
    "block_hash",
    "block_number",
    "block_time",
    "count",
    "entry",
    "first_index",
    "head",
    "path",
    "previous_head",
    "root",
    "tx_hash",
)


def _anchor_to_json(anchor: Anchor) -> dict[str, object]:
    return {
        "batch": anchor.batch,
        "block_hash": to_hex(anchor.block_hash),
        "block_number": anchor.block_number,
        "block_time": anchor.block_time,
        "count": anchor.count,
        "entry": anchor.entry,
        "first_index": anchor.first_index,
        "head": to_hex(anchor.head),
        "path": [to_hex(part) for part in anchor.path],
        "previous_head": to_hex(anchor.previous_head),
        "root": to_hex(anchor.root),
        "tx_hash": to_hex(anchor.tx_hash),
    }


def _anchor_from(data: object) -> Anchor:
    where = "evidence.anchor"
    members = _object(data, where, _ANCHOR_MEMBERS)
    return Anchor(
        entry=_integer(members, where, "entry"),
        batch=_integer(members, where, "batch"),
        first_index=_integer(members, where, "first_index"),
        count=_integer(members, where, "count", most=MAX_BATCH_RECORDS),
        root=Root(_hex(members, where, "root", parse_hash)),
        path=_hashes(members, where, "path", 0, MAX_PATH_LENGTH),
        previous_head=Head(_hex(members, where, "previous_head", parse_hash)),
        head=Head(_hex(members, where, "head", parse_hash)),
        tx_hash=_hex(members, where, "tx_hash", parse_hash),
        block_number=_integer(members, where, "block_number"),
        block_hash=_hex(members, where, "block_hash", parse_hash),
        block_time=_integer(members, where, "block_time"),
    )


def _disclosure_from(data: object) -> Disclosure:
    outer = _object(data, "disclosed", ("commitments", "fields"))
    if not isinstance(outer["fields"], dict) or not outer["fields"]:
        raise BundleError("disclosed.fields", "is not an object with at least one field")
    fields = {}
    for name, shown in outer["fields"].items():
        if name not in FIELD_NAMES:
            raise BundleError("disclosed.fields", f"{name!a:.40} is not the name of a field")
        where = f"disclosed.fields.{name}"
        members = _object(shown, where, ("field", "salt"))
        fields[name] = DisclosedField(
            field_bytes=_hex(members, where, "field", parse_hex), salt=_bytes(members, where, "salt", SALT_BYTES)
        )
    return Disclosure(
        fields=fields, commitments=_hashes(outer, "disclosed", "commitments", len(FIELD_NAMES), len(FIELD_NAMES))
    )


def _canonical(document: object) -> bytes:
    try:
        return rfc8785.dumps(document)  # type: ignore[arg-type]  # built above from what JSON can hold
    except rfc8785.CanonicalizationError as error:  # what was made and not read may hold integers beyond JSON's 53 bits
        raise BundleError("file", f"has no canonical form (RFC 8785): {error}") from error


def _object(data: object, where: str, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise BundleError(where, "is not an object")
    for name in names:
        if name not in data:
            raise BundleError(f"{where}.{name}", "is missing")
    for name in data:
        if name not in names and name not in optional:
            raise BundleError(f"{where}.{name!a:.40}", "is unknown to version 2")
    return data


def _hex(members: Mapping[str, Any], where: str, name: str, parse: Callable[[str], bytes]) -> bytes:
    value = _parsed(members, where, name, parse)
    if members[name] != to_hex(value):
        raise BundleError(_at(where, name), "is not in lower-case hex")
    return value


def _address(members: Mapping[str, Any], where: str, name: str) -> Address:
    address = Address(_parsed(members, where, name, parse_address))
    if members[name] != checksum_address(address):
        raise BundleError(_at(where, name), "is not written with its checksum (EIP-55)")
    return address


def _parsed(members: Mapping[str, Any], where: str, name: str, parse: Callable[[str], bytes]) -> bytes:
    text = members[name]
    if not isinstance(text, str):
        raise BundleError(_at(where, name), "is not text")
    try:
        return parse(text)
    except IdError as error:
        raise BundleError(_at(where, name), error.reason) from error


def _bytes(members: Mapping[str, Any], where: str, name: str, size: int) -> bytes:
    return _hex(members, where, name, lambda text: parse_hex(text, size))


def _hashes(members: Mapping[str, Any], where: str, name: str, least: int, most: int) -> tuple[bytes, ...]:
    parts = members[name]
    if not isinstance(parts, list) or not least <= len(parts) <= most:
        raise BundleError(_at(where, name), f"is not a list of {least} to {most} hashes")
    return tuple(_hex({f"{name}[{at}]": part}, where, f"{name}[{at}]", parse_hash) for at, part in enumerate(parts))


def _integer(members: Mapping[str, Any], where: str, name: str, most: int = MAX_INDEX) -> int:
    value = members[name]
    if type(value) is not int or not 0 <= value <= most:
        raise BundleError(_at(where, name), f"is not an integer from 0 to {most}")
    return value


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
