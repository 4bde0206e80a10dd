"""Signed messages: a message with its domain and signature, its JSON form, and who signed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias, TypeVar

from tallystick.errors import ReceiptFormatError
from tallystick.ids import Address, Head, Leaf, LogId, checksum_address, to_hex
from tallystick.keys import Wallet, recover
from tallystick.receipts.members import Members, domain_from_json, domain_to_json
from tallystick.receipts.messages import (
    AdmissionReceipt,
    Domain,
    Erasure,
    HeadStatement,
    Receipt,
    SenderRequest,
    admission_digest,
    erasure_digest,
    head_digest,
    receipt_digest,
    sender_request_digest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignedMessage:
    """What every signed message has besides its message, and how it is read and written."""

    MEMBER: ClassVar[str]
    NAMES: ClassVar[tuple[str, ...]]

    domain: Domain
    signature: bytes
    known_signer: Address | None = field(default=None, init=False, repr=False, compare=False)
    """Who signed, where that is known already; a changed copy knows nothing."""

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        raise NotImplementedError

    def to_json(self) -> dict[str, object]:
        """The JSON form. Source: SPEC 7."""
        return {
            "domain": domain_to_json(self.domain),
            self.MEMBER: self._message_to_json(),
            "signature": to_hex(self.signature),
            "signer": checksum_address(self.known_signer or recover(self.digest(), self.signature)),
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the JSON form; the `signer` that it names must be who signed.

        Raises: ReceiptFormatError; SignatureError.
        Source: SPEC 7.
        """
        outer = Members(data, cls.MEMBER, ("domain", cls.MEMBER, "signature", "signer"))
        inner = Members(outer[cls.MEMBER], cls.MEMBER, cls.NAMES)
        signed = cls._from_members(inner, domain_from_json(outer["domain"]), outer.signature("signature"))
        named, found = outer.address("signer"), recover(signed.digest(), signed.signature)
        if named != found:
            raise ReceiptFormatError("signer", f"names {to_hex(named)}, but {to_hex(found)} signed")
        object.__setattr__(signed, "known_signer", found)
        return signed

    def _message_to_json(self) -> dict[str, object]:
        raise NotImplementedError

    @classmethod
    def _from_members(cls, members: Members, domain: Domain, signature: bytes) -> Self:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt(_SignedMessage):
    """A receipt with what it takes to check who signed it."""

    MEMBER: ClassVar[str] = "receipt"
    NAMES: ClassVar[tuple[str, ...]] = (
        "log_id", "index", "admission_seq", "leaf", "request_hash", "response_hash", "sender", "issued_at", "anchor_by",
    )  # fmt: skip

    receipt: Receipt

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        return receipt_digest(self.domain, self.receipt)

    def _message_to_json(self) -> dict[str, object]:
        receipt = self.receipt
        return {
            "log_id": to_hex(receipt.log_id),
            "index": receipt.index,
            "admission_seq": receipt.admission_seq,
            "leaf": to_hex(receipt.leaf),
            "request_hash": to_hex(receipt.request_hash),
            "response_hash": to_hex(receipt.response_hash),
            "sender": checksum_address(receipt.sender),
            "issued_at": receipt.issued_at,
            "anchor_by": receipt.anchor_by,
        }

    @classmethod
    def _from_members(cls, members: Members, domain: Domain, signature: bytes) -> Self:
        receipt = Receipt(
            log_id=LogId(members.hash("log_id")),
            index=members.integer("index"),
            admission_seq=members.integer("admission_seq"),
            leaf=Leaf(members.hash("leaf")),
            request_hash=members.hash("request_hash"),
            response_hash=members.hash("response_hash"),
            sender=members.address("sender"),
            issued_at=members.integer("issued_at"),
            anchor_by=members.integer("anchor_by"),
        )
        return cls(receipt=receipt, domain=domain, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAdmission(_SignedMessage):
    """An admission with what it takes to check who signed it."""

    MEMBER: ClassVar[str] = "admission"
    NAMES: ClassVar[tuple[str, ...]] = (
        "log_id", "admission_seq", "sender_seq", "request_hash", "sender", "admitted_at", "record_by",
    )  # fmt: skip

    admission: AdmissionReceipt

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        return admission_digest(self.domain, self.admission)

    def _message_to_json(self) -> dict[str, object]:
        admission = self.admission
        return {
            "log_id": to_hex(admission.log_id),
            "admission_seq": admission.admission_seq,
            "sender_seq": admission.sender_seq,
            "request_hash": to_hex(admission.request_hash),
            "sender": checksum_address(admission.sender),
            "admitted_at": admission.admitted_at,
            "record_by": admission.record_by,
        }

    @classmethod
    def _from_members(cls, members: Members, domain: Domain, signature: bytes) -> Self:
        admission = AdmissionReceipt(
            log_id=LogId(members.hash("log_id")),
            admission_seq=members.integer("admission_seq"),
            sender_seq=members.integer("sender_seq"),
            request_hash=members.hash("request_hash"),
            sender=members.address("sender"),
            admitted_at=members.integer("admitted_at"),
            record_by=members.integer("record_by"),
        )
        return cls(admission=admission, domain=domain, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead(_SignedMessage):
    """The state of a log with what it takes to check who vouches for it."""

    MEMBER: ClassVar[str] = "head"
    NAMES: ClassVar[tuple[str, ...]] = ("log_id", "entries", "size", "head", "time")

    head: HeadStatement

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        return head_digest(self.domain, self.head)

    def _message_to_json(self) -> dict[str, object]:
        statement = self.head
        return {
            "log_id": to_hex(statement.log_id),
            "entries": statement.entries,
            "size": statement.size,
            "head": to_hex(statement.head),
            "time": statement.time,
        }

    @classmethod
    def _from_members(cls, members: Members, domain: Domain, signature: bytes) -> Self:
        statement = HeadStatement(
            log_id=LogId(members.hash("log_id")),
            entries=members.integer("entries"),
            size=members.integer("size"),
            head=Head(members.hash("head")),
            time=members.integer("time"),
        )
        return cls(head=statement, domain=domain, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedErasure(_SignedMessage):
    """An erasure with what it takes to check who declared it."""

    MEMBER: ClassVar[str] = "erasure"
    NAMES: ClassVar[tuple[str, ...]] = ("log_id", "index", "leaf", "erased_at")

    erasure: Erasure

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        return erasure_digest(self.domain, self.erasure)

    def _message_to_json(self) -> dict[str, object]:
        erasure = self.erasure
        return {
            "log_id": to_hex(erasure.log_id),
            "index": erasure.index,
            "leaf": to_hex(erasure.leaf),
            "erased_at": erasure.erased_at,
        }

    @classmethod
    def _from_members(cls, members: Members, domain: Domain, signature: bytes) -> Self:
        erasure = Erasure(
            log_id=LogId(members.hash("log_id")),
            index=members.integer("index"),
            leaf=Leaf(members.hash("leaf")),
            erased_at=members.integer("erased_at"),
        )
        return cls(erasure=erasure, domain=domain, signature=signature)


Signed: TypeAlias = SignedReceipt | SignedAdmission | SignedHead | SignedErasure

SIGNED_KINDS: Final = (SignedReceipt, SignedAdmission, SignedHead, SignedErasure)

_S = TypeVar("_S", bound=_SignedMessage)


def sign_receipt(wallet: Wallet, domain: Domain, receipt: Receipt) -> SignedReceipt:
    """Sign a receipt as the log's writer."""
    signature = wallet.sign_digest(receipt_digest(domain, receipt))
    return _signed_by(wallet, SignedReceipt(receipt=receipt, domain=domain, signature=signature))


def sign_admission(wallet: Wallet, domain: Domain, admission: AdmissionReceipt) -> SignedAdmission:
    """Sign an admission as the log's writer."""
    signature = wallet.sign_digest(admission_digest(domain, admission))
    return _signed_by(wallet, SignedAdmission(admission=admission, domain=domain, signature=signature))


def sign_head(wallet: Wallet, domain: Domain, statement: HeadStatement) -> SignedHead:
    """Sign the state of the log as its writer."""
    signature = wallet.sign_digest(head_digest(domain, statement))
    return _signed_by(wallet, SignedHead(head=statement, domain=domain, signature=signature))


def sign_erasure(wallet: Wallet, domain: Domain, erasure: Erasure) -> SignedErasure:
    """Sign an erasure as the log's writer."""
    signature = wallet.sign_digest(erasure_digest(domain, erasure))
    return _signed_by(wallet, SignedErasure(erasure=erasure, domain=domain, signature=signature))


def signer(signed: Signed) -> Address:
    """Who signed, computed from the signature, always.

    Raises: SignatureError.
    """
    return recover(signed.digest(), signed.signature)


def sign_sender_request(wallet: Wallet, domain: Domain, request: SenderRequest) -> bytes:
    """Sign a request as its sender: 65 bytes."""
    return wallet.sign_digest(sender_request_digest(domain, request))


def sender_request_signer(domain: Domain, request: SenderRequest, signature: bytes) -> Address:
    """Who signed a request, computed from the signature.

    Raises: SignatureError.
    """
    return recover(sender_request_digest(domain, request), signature)


def _signed_by(wallet: Wallet, signed: _S) -> _S:
    # A service writes its own receipts out at once; computing the signer from the signature costs more than signing.
    object.__setattr__(signed, "known_signer", wallet.address)
    return signed
