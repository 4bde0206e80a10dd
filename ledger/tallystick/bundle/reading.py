"""A bundle file, read strictly: any JSON formatting, exactly the members of the specification, one spelling of each value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from tallystick.bundle.evidence import ANCHOR_MEMBERS, FORMAT, TERMS_MEMBERS, Anchor, Bundle, Evidence, Kind
from tallystick.errors import BundleError, IdError, JsonError, ReceiptFormatError, SignatureError
from tallystick.heads import HeadError, LogTerms, derive_log_id
from tallystick.ids import MAX_EPOCH, FieldsRoot, LogId, to_hex
from tallystick.keys import SECRET_BYTES
from tallystick.merkle import HEADER_BYTES, MAX_BATCH_RECORDS, MAX_PATH_LENGTH, MIN_CIPHERTEXT_BYTES
from tallystick.receipts.members import Members
from tallystick.receipts.messages import Domain
from tallystick.receipts.signed import SignedReceipt
from tallystick.record import FIELD_NAMES
from tallystick.sealing import MAX_SEALED_BYTES, SALT_BYTES, DisclosedField, Disclosure
from tallystick.strict_json import read_json

FILE: Final = "file"
"""The place of what stands in no part."""
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
    members = _Members(document, FILE, ("attestation", "evidence", "format"), optional=("disclosed", "record_secret"))
    if members["format"] != FORMAT:
        raise BundleError("format", f"is {members['format']!a:.60}; this release reads {FORMAT!r}")
    return Bundle(
        evidence=_evidence_from(members["evidence"]),
        attestation=members.signature("attestation"),
        record_secret=members.hex("record_secret", SECRET_BYTES) if "record_secret" in members else None,
        disclosed=_disclosure_from(members["disclosed"]) if "disclosed" in members else None,
    )


class _Members(Members):
    """One object of a bundle, whose place in the file stands in its errors."""

    __slots__ = ("_where",)

    def __init__(self, data: object, where: str, names: Collection[str], optional: Collection[str] = ()) -> None:
        if not isinstance(data, dict):
            raise BundleError(where, "is not an object")
        for name in names:
            if name not in data:
                raise BundleError(f"{where}.{name}", "is missing")
        for name in data:
            if name not in names and name not in optional:
                raise BundleError(f"{where}.{name!a:.40}", "is unknown to version 2")
        self._members, self._where = data, where

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def fault(self, name: str, reason: str | IdError) -> BundleError:
        place = name if self._where == FILE else f"{self._where}.{name}"
        return BundleError(place, reason.reason if isinstance(reason, IdError) else reason)

    def hashes(self, name: str, least: int = 0, most: int = MAX_PATH_LENGTH) -> tuple[bytes, ...]:
        """A list of hashes, of so many."""
        parts = self[name]
        if not isinstance(parts, list) or not least <= len(parts) <= most:
            raise self.fault(name, f"is not a list of {least} to {most} hashes")
        each = {f"{name}[{at}]": part for at, part in enumerate(parts)}
        members = _Members(each, self._where, each)
        return tuple(members.hash(one) for one in each)


_EVIDENCE_MEMBERS = (
    "anchor", "chain_id", "contract", "epoch", "fields_root", "index", "log_id", "receipt", "sealed", "terms",
)  # fmt: skip


def _evidence_from(data: object) -> Evidence:
    members = _Members(data, "evidence", _EVIDENCE_MEMBERS)
    try:
        receipt = None if members["receipt"] is None else SignedReceipt.from_json(members["receipt"])
    except (ReceiptFormatError, SignatureError) as error:
        raise BundleError("evidence.receipt", str(error)) from error
    sealed = members.hex("sealed")
    if not MIN_SEALED_BYTES <= len(sealed) <= MAX_SEALED_BYTES:
        reason = f"has {len(sealed)} bytes; a sealed record has {MIN_SEALED_BYTES} to {MAX_SEALED_BYTES}"
        raise BundleError("evidence.sealed", reason)
    domain = Domain(chain_id=members.integer("chain_id"), contract=members.address("contract"))
    terms, log_id = _terms_from(members["terms"]), LogId(members.hash("log_id"))
    derived = derive_log_id(domain.chain_id, domain.contract, terms)
    if log_id != derived:
        raise BundleError("evidence.log_id", f"is {to_hex(log_id)}; the terms lead to {to_hex(derived)}")
    return Evidence(
        domain=domain,
        terms=terms,
        log_id=log_id,
        index=members.integer("index"),
        epoch=members.integer("epoch", most=MAX_EPOCH),
        fields_root=FieldsRoot(members.hash("fields_root")),
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
    members = _Members(data, where, kinds)
    readers: dict[Kind, Callable[[str], object]] = {
        "integer": members.integer,
        "hash": members.hash,
        "hashes": members.hashes,
        "address": members.address,
    }
    return {name: readers[kind](name) for name, kind in kinds.items()}


def _disclosure_from(data: object) -> Disclosure:
    outer = _Members(data, "disclosed", ("commitments", "fields"))
    listed = outer["fields"]
    if not isinstance(listed, dict) or not listed:
        raise BundleError("disclosed.fields", "is not an object with at least one field")
    fields = {}
    for name, shown in listed.items():
        if name not in FIELD_NAMES:
            raise BundleError("disclosed.fields", f"{name!a:.40} is not the name of a field")
        members = _Members(shown, f"disclosed.fields.{name}", ("field", "salt"))
        fields[name] = DisclosedField(field_bytes=members.hex("field"), salt=members.hex("salt", SALT_BYTES))
    return Disclosure(fields=fields, commitments=outer.hashes("commitments", len(FIELD_NAMES), len(FIELD_NAMES)))
