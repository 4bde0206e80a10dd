"""A bundle in memory: evidence that the writer attests, what its holder shows of the record, and both as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import rfc8785

from tallystick.errors import BundleError
from tallystick.hashing import keccak256
from tallystick.heads import LogTerms
from tallystick.ids import Address, FieldsRoot, Head, LogId, Root, checksum_address, to_hex
from tallystick.keys import Wallet, recover
from tallystick.receipts.messages import Domain, bundle_digest
from tallystick.receipts.signed import SignedReceipt
from tallystick.sealing import Disclosure

FORMAT: Final = "tallystick/bundle/v2"


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
            "anchor": None if self.anchor is None else _to_json(self.anchor, ANCHOR_MEMBERS),
            "chain_id": self.domain.chain_id,
            "contract": checksum_address(self.domain.contract),
            "epoch": self.epoch,
            "fields_root": to_hex(self.fields_root),
            "index": self.index,
            "log_id": to_hex(self.log_id),
            "receipt": None if self.receipt is None else self.receipt.to_json(),
            "sealed": to_hex(self.sealed),
            "terms": _to_json(self.terms, TERMS_MEMBERS),
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


Kind = Literal["integer", "hash", "hashes", "address"]
ANCHOR_MEMBERS: Final[Mapping[str, Kind]] = {
    "batch": "integer",
    "block_hash": "hash",
    "block_number": "integer",
    "block_time": "integer",
    "count": "integer",
    "entry": "integer",
    "first_index": "integer",
    "head": "hash",
    "path": "hashes",
    "previous_head": "hash",
    "root": "hash",
    "tx_hash": "hash",
}
TERMS_MEMBERS: Final[Mapping[str, Kind]] = {
    "creator": "address",
    "format": "integer",
    "keeper": "address",
    "mode": "integer",
    "promise": "integer",
    "salt": "hash",
    "skew": "integer",
    "writer": "address",
}
"""The members of both as their JSON forms have them, and how each is written."""


def _to_json(part: Anchor | LogTerms, members: Mapping[str, Kind]) -> dict[str, object]:
    return {name: _WRITERS[kind](getattr(part, name)) for name, kind in members.items()}


_WRITERS: Final[Mapping[Kind, Callable[[Any], object]]] = {
    "integer": int,
    "hash": to_hex,
    "hashes": lambda path: [to_hex(part) for part in path],
    "address": checksum_address,
}


def _canonical(document: object) -> bytes:
    try:
        return rfc8785.dumps(document)  # type: ignore[arg-type]  # built above from what JSON can hold
    except rfc8785.CanonicalizationError as error:  # what was made and not read may hold integers beyond JSON's 53 bits
        raise BundleError("file", f"has no canonical form (RFC 8785): {error}") from error
