"""A bundle file, read strictly: any JSON formatting, exactly the members of the specification, one spelling of each value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tallystick.bundle.evidence import ANCHOR_MEMBERS, FORMAT, TERMS_MEMBERS, Anchor, Bundle, Evidence, Kind
from tallystick.errors import BundleError, IdError, JsonError, ReceiptFormatError, SignatureError
from tallystick.heads import HeadError, LogTerms, derive_log_id
from tallystick.ids import (
    MAX_EPOCH,
    MAX_INDEX,
    Address,
    FieldsRoot,
    LogId,
    checksum_address,
    parse_address,
    parse_hash,
    parse_hex,
    to_hex,
)
from tallystick.keys import SECRET_BYTES, SIGNATURE_BYTES
from tallystick.merkle import HEADER_BYTES, MAX_BATCH_RECORDS, MAX_PATH_LENGTH, MIN_CIPHERTEXT_BYTES
from tallystick.receipts.messages import Domain
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import FIELD_NAMES
from tallystick.sealing import MAX_SEALED_BYTES, SALT_BYTES, DisclosedField, Disclosure
from tallystick.strict_json import read_json

MAX_BUNDLE_BYTES: Final = 1_048_576
MIN_SEALED_BYTES: Final = HEADER_BYTES + MIN_CIPHERTEXT_BYTES


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
    if not MIN_SEALED_BYTES <= len(sealed) <= MAX_SEALED_BYTES:
        reason = f"has {len(sealed)} bytes; a sealed record has {MIN_SEALED_BYTES} to {MAX_SEALED_BYTES}"
        raise BundleError("evidence.sealed", reason)
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


def _terms_from(data: object) -> LogTerms:
    where = "evidence.terms"
    try:
        return LogTerms(**_values(data, where, TERMS_MEMBERS))
    except HeadError as error:
        raise BundleError(f"{where}.{error.part}", error.reason) from error


def _anchor_from(data: object) -> Anchor:
    anchor = Anchor(**_values(data, "evidence.anchor", ANCHOR_MEMBERS))
    if anchor.count > MAX_BATCH_RECORDS:
        raise BundleError("evidence.anchor.count", f"is not an integer from 0 to {MAX_BATCH_RECORDS}")
    return anchor


def _values(data: object, where: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    members = _object(data, where, tuple(kinds))
    readers: dict[Kind, Callable[[str], object]] = {
        "integer": lambda name: _integer(members, where, name),
        "hash": lambda name: _hex(members, where, name, parse_hash),
        "hashes": lambda name: _hashes(members, where, name, 0, MAX_PATH_LENGTH),
        "address": lambda name: _address(members, where, name),
    }
    return {name: readers[kind](name) for name, kind in kinds.items()}


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
