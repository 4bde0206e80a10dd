"""Receipts: what the log's writer signs, as EIP-712, for every record and every admission.

A receipt is written once per request, so the digests of these three fixed structs are computed here directly; a test holds them equal
to those of a general EIP-712 library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeVar

from tallystick.errors import IdError, ReceiptFormatError
from tallystick.hashing import keccak256
from tallystick.ids import (
    Address,
    Leaf,
    LogId,
    RecordId,
    checksum_address,
    format_record_id,
    parse_address,
    parse_hash,
    parse_hex,
    parse_record_id,
    to_hex,
)
from tallystick.keys import SIGNATURE_BYTES, Wallet, recover

MAX_UINT64: Final = 2**64 - 1

_DOMAIN_TYPE = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_DOMAIN_NAME = keccak256(b"Tallystick")
_DOMAIN_VERSION = keccak256(b"1")
_RECEIPT_TYPE = keccak256(
    b"Receipt(bytes32 logId,uint64 index,bytes32 leaf,bytes32 requestHash,bytes32 responseHash,uint64 issuedAt,uint64 anchorBy)"
)
_ADMISSION_TYPE = keccak256(
    b"Admission(bytes32 logId,bytes16 recordId,address sender,uint64 senderSeq,bytes32 requestHash,uint64 admittedAt,"
    b"uint64 anchorBy)"
)
_BUNDLE_TYPE = keccak256(b"Bundle(bytes32 contentHash)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The chain and contract that a signature is for: it is worth nothing on another."""

    chain_id: int
    contract: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The writer's word that this record stands at this index, and will be on the chain in time.

    Units: `issued_at` and `anchor_by` are Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    index: int
    leaf: Leaf
    request_hash: bytes
    response_hash: bytes
    issued_at: int
    anchor_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionReceipt:
    """The writer's promise, before any answer, that this request will be recorded.

    Units: `admitted_at` and `anchor_by` are Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    record_id: RecordId
    sender: Address
    sender_seq: int
    request_hash: bytes
    admitted_at: int
    anchor_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt:
    """A receipt with what it takes to check who signed it."""

    receipt: Receipt
    domain: Domain
    signature: bytes
    known_signer: Address | None = field(default=None, init=False, repr=False, compare=False)
    """Who signed, where that is known already; a changed copy knows nothing."""

    def to_json(self) -> dict[str, object]:
        """The JSON form: hashes and addresses as 0x-prefixed hex."""
        receipt = self.receipt
        return {
            "domain": _domain_to_json(self.domain),
            "receipt": {
                "log_id": to_hex(receipt.log_id),
                "index": receipt.index,
                "leaf": to_hex(receipt.leaf),
                "request_hash": to_hex(receipt.request_hash),
                "response_hash": to_hex(receipt.response_hash),
                "issued_at": receipt.issued_at,
                "anchor_by": receipt.anchor_by,
            },
            "signature": to_hex(self.signature),
            "signer": checksum_address(self.known_signer or signer(self)),
        }

    @classmethod
    def from_json(cls, data: object) -> SignedReceipt:
        """Read the JSON form; the `signer` that it names must be who signed.

        Raises: ReceiptFormatError; SignatureError.
        """
        outer = _members(data, "", ("domain", "receipt", "signature", "signer"))
        inner = _members(outer["receipt"], "receipt", _RECEIPT_MEMBERS)
        signed = cls(
            domain=_domain_from_json(outer["domain"]),
            receipt=Receipt(
                log_id=LogId(_hash(inner, "log_id")),
                index=_uint64(inner, "index"),
                leaf=Leaf(_hash(inner, "leaf")),
                request_hash=_hash(inner, "request_hash"),
                response_hash=_hash(inner, "response_hash"),
                issued_at=_uint64(inner, "issued_at"),
                anchor_by=_uint64(inner, "anchor_by"),
            ),
            signature=_signature(outer),
        )
        _same_signer(outer, signer(signed))
        return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAdmission:
    """An admission receipt with what it takes to check who signed it."""

    admission: AdmissionReceipt
    domain: Domain
    signature: bytes
    known_signer: Address | None = field(default=None, init=False, repr=False, compare=False)
    """Who signed, where that is known already; a changed copy knows nothing."""

    def to_json(self) -> dict[str, object]:
        """The JSON form: hashes and addresses as 0x-prefixed hex, the record id as a UUID."""
        admission = self.admission
        return {
            "domain": _domain_to_json(self.domain),
            "admission": {
                "log_id": to_hex(admission.log_id),
                "record_id": format_record_id(admission.record_id),
                "sender": checksum_address(admission.sender),
                "sender_seq": admission.sender_seq,
                "request_hash": to_hex(admission.request_hash),
                "admitted_at": admission.admitted_at,
                "anchor_by": admission.anchor_by,
            },
            "signature": to_hex(self.signature),
            "signer": checksum_address(self.known_signer or signer(self)),
        }

    @classmethod
    def from_json(cls, data: object) -> SignedAdmission:
        """Read the JSON form; the `signer` that it names must be who signed.

        Raises: ReceiptFormatError; SignatureError.
        """
        outer = _members(data, "", ("domain", "admission", "signature", "signer"))
        inner = _members(outer["admission"], "admission", _ADMISSION_MEMBERS)
        signed = cls(
            domain=_domain_from_json(outer["domain"]),
            admission=AdmissionReceipt(
                log_id=LogId(_hash(inner, "log_id")),
                record_id=RecordId(_parsed(inner, "record_id", parse_record_id)),
                sender=Address(_parsed(inner, "sender", parse_address)),
                sender_seq=_uint64(inner, "sender_seq"),
                request_hash=_hash(inner, "request_hash"),
                admitted_at=_uint64(inner, "admitted_at"),
                anchor_by=_uint64(inner, "anchor_by"),
            ),
            signature=_signature(outer),
        )
        _same_signer(outer, signer(signed))
        return signed


Signed = TypeVar("Signed", SignedReceipt, SignedAdmission)

_RECEIPT_MEMBERS = ("log_id", "index", "leaf", "request_hash", "response_hash", "issued_at", "anchor_by")
_ADMISSION_MEMBERS = ("log_id", "record_id", "sender", "sender_seq", "request_hash", "admitted_at", "anchor_by")


def receipt_digest(domain: Domain, receipt: Receipt) -> bytes:
    """The 32 bytes that the writer signs for a record.

    Source: EIP-712; SPEC 7.
    """
    return _typed_digest(
        domain,
        _RECEIPT_TYPE
        + receipt.log_id
        + _word(receipt.index)
        + receipt.leaf
        + receipt.request_hash
        + receipt.response_hash
        + _word(receipt.issued_at)
        + _word(receipt.anchor_by),
    )


def admission_digest(domain: Domain, admission: AdmissionReceipt) -> bytes:
    """The 32 bytes that the writer signs for an admission.

    Source: EIP-712; SPEC 7.
    """
    return _typed_digest(
        domain,
        _ADMISSION_TYPE
        + admission.log_id
        + admission.record_id.ljust(32, b"\x00")  # bytes16 is left-aligned in its word
        + admission.sender.rjust(32, b"\x00")
        + _word(admission.sender_seq)
        + admission.request_hash
        + _word(admission.admitted_at)
        + _word(admission.anchor_by),
    )


def bundle_digest(domain: Domain, content_hash: bytes) -> bytes:
    """The 32 bytes that the writer signs for a bundle's evidence.

    Source: EIP-712; SPEC 8.
    """
    return _typed_digest(domain, _BUNDLE_TYPE + content_hash)


def sign_receipt(wallet: Wallet, domain: Domain, receipt: Receipt) -> SignedReceipt:
    """Sign a receipt as the log's writer."""
    signature = wallet.sign_digest(receipt_digest(domain, receipt))
    return _signed_by(wallet, SignedReceipt(receipt=receipt, domain=domain, signature=signature))


def sign_admission(wallet: Wallet, domain: Domain, admission: AdmissionReceipt) -> SignedAdmission:
    """Sign an admission as the log's writer."""
    signature = wallet.sign_digest(admission_digest(domain, admission))
    return _signed_by(wallet, SignedAdmission(admission=admission, domain=domain, signature=signature))


def signer(signed: SignedReceipt | SignedAdmission) -> Address:
    """Who signed, computed from the signature, always.

    Raises: SignatureError.
    """
    if isinstance(signed, SignedReceipt):
        return recover(receipt_digest(signed.domain, signed.receipt), signed.signature)
    return recover(admission_digest(signed.domain, signed.admission), signed.signature)


def request_hash(body: bytes) -> bytes:
    """The hash of a request's body as it was received.

    Source: SPEC 7.
    """
    return keccak256(body)


def response_hash(outputs: Sequence[bytes]) -> bytes:
    """The hash of the outputs as they were delivered, in the order of their choices.

    Source: SPEC 7.
    """
    return keccak256(b"".join([keccak256(output) for output in outputs]))


def _signed_by(wallet: Wallet, signed: Signed) -> Signed:
    # A service writes its own receipts out at once; computing the signer from the signature costs more than signing.
    object.__setattr__(signed, "known_signer", wallet.address)
    return signed


@lru_cache(maxsize=64)
def _separator(chain_id: int, contract: Address) -> bytes:
    return keccak256(_DOMAIN_TYPE + _DOMAIN_NAME + _DOMAIN_VERSION + _word(chain_id) + contract.rjust(32, b"\x00"))


def _typed_digest(domain: Domain, encoded_struct: bytes) -> bytes:
    return keccak256(b"\x19\x01" + _separator(domain.chain_id, domain.contract) + keccak256(encoded_struct))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _domain_to_json(domain: Domain) -> dict[str, object]:
    return {"chain_id": domain.chain_id, "contract": checksum_address(domain.contract)}


def _domain_from_json(data: object) -> Domain:
    members = _members(data, "domain", ("chain_id", "contract"))
    return Domain(chain_id=_uint64(members, "chain_id"), contract=Address(_parsed(members, "contract", parse_address)))


def _members(data: object, where: str, names: Sequence[str]) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise ReceiptFormatError(where or "receipt", "is not an object")
    if set(data) != set(names):
        odd = sorted(set(data) ^ set(names), key=str)
        raise ReceiptFormatError(
            where or "receipt", f"must have exactly the members {', '.join(names)}; at fault: {odd[0]!a:.40}"
        )
    return data


def _parsed(members: Mapping[str, object], name: str, parse: Callable[[str], bytes]) -> bytes:
    text = members[name]
    if not isinstance(text, str):
        raise ReceiptFormatError(name, "is not text")
    try:
        return parse(text)
    except IdError as error:
        raise ReceiptFormatError(name, str(error)) from error


def _hash(members: Mapping[str, object], name: str) -> bytes:
    return _parsed(members, name, parse_hash)


def _signature(members: Mapping[str, object]) -> bytes:
    return _parsed(members, "signature", lambda text: parse_hex(text, SIGNATURE_BYTES))


def _uint64(members: Mapping[str, object], name: str) -> int:
    value = members[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_UINT64:
        raise ReceiptFormatError(name, "is not an integer of 64 bits")
    return value


def _same_signer(members: Mapping[str, object], found: Address) -> None:
    named = _parsed(members, "signer", parse_address)
    if named != found:
        raise ReceiptFormatError("signer", f"names {to_hex(named)}, but {to_hex(found)} signed")
