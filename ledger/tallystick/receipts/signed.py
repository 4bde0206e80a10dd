"""Signed messages: a message with its domain and signature, its JSON form, and who signed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self, TypeAlias

from tallystick.errors import ReceiptFormatError
from tallystick.ids import Address, checksum_address, to_hex
from tallystick.keys import Wallet, recover
from tallystick.receipts.members import Members, domain_from_json, domain_to_json
from tallystick.receipts.messages import (
    STRUCTS,
    AdmissionReceipt,
    Domain,
    Erasure,
    HeadStatement,
    Message,
    Receipt,
    SenderRequest,
    message_digest,
)

_JSON: Final[Mapping[str, tuple[Callable[[Any], object], Callable[[Members, str], object]]]] = {
    "bytes32": (to_hex, Members.hash),
    "uint64": (int, Members.integer),
    "address": (checksum_address, Members.address),
}
"""How a member of each type is written in JSON, and how it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SignedMessage:
    """What every signed message has besides its message, the member called MEMBER; and how it is read and written."""

    MEMBER: ClassVar[str]
    KIND: ClassVar[type[Message]]

    domain: Domain
    signature: bytes
    known_signer: Address | None = field(default=None, init=False, repr=False, compare=False)
    """Who signed, where that is known already; a changed copy knows nothing."""

    @property
    def message(self) -> Message:
        """What was signed."""
        message: Message = getattr(self, self.MEMBER)
        return message

    def digest(self) -> bytes:
        """The 32 bytes that were signed."""
        return message_digest(self.domain, self.message)

    def to_json(self) -> dict[str, object]:
        """The JSON form. Source: SPEC 7."""
        return {
            "domain": domain_to_json(self.domain),
            self.MEMBER: {
                name: _JSON[kind][0](getattr(self.message, name)) for name, kind in STRUCTS[self.KIND].members
            },
            "signature": to_hex(self.signature),
            "signer": checksum_address(self.known_signer or recover(self.digest(), self.signature)),
        }

    @classmethod
    def sign(cls, wallet: Wallet, domain: Domain, message: Message) -> Self:
        """Sign a message of this kind, as the log's writer."""
        member: dict[str, Any] = {cls.MEMBER: message}
        signed = cls(domain=domain, signature=wallet.sign_digest(message_digest(domain, message)), **member)
        # A service writes its own receipts out at once; computing the signer from the signature costs more than signing.
        object.__setattr__(signed, "known_signer", wallet.address)
        return signed

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the JSON form; the `signer` that it names must be who signed.

        Raises: ReceiptFormatError; SignatureError.
        Source: SPEC 7.
        """
        outer = Members(data, cls.MEMBER, ("domain", cls.MEMBER, "signature", "signer"))
        members = STRUCTS[cls.KIND].members
        inner = Members(outer[cls.MEMBER], cls.MEMBER, tuple(name for name, _ in members))
        values: dict[str, Any] = {name: _JSON[kind][1](inner, name) for name, kind in members}
        message: dict[str, Any] = {cls.MEMBER: cls.KIND(**values)}
        signed = cls(domain=domain_from_json(outer["domain"]), signature=outer.signature("signature"), **message)
        named, found = outer.address("signer"), recover(signed.digest(), signed.signature)
        if named != found:
            raise ReceiptFormatError("signer", f"names {to_hex(named)}, but {to_hex(found)} signed")
        object.__setattr__(signed, "known_signer", found)
        return signed


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedReceipt(_SignedMessage):
    """A receipt with what it takes to check who signed it."""

    MEMBER: ClassVar[str] = "receipt"
    KIND: ClassVar[type[Message]] = Receipt

    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAdmission(_SignedMessage):
    """An admission with what it takes to check who signed it."""

    MEMBER: ClassVar[str] = "admission"
    KIND: ClassVar[type[Message]] = AdmissionReceipt

    admission: AdmissionReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead(_SignedMessage):
    """The state of a log with what it takes to check who vouches for it."""

    MEMBER: ClassVar[str] = "head"
    KIND: ClassVar[type[Message]] = HeadStatement

    head: HeadStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedErasure(_SignedMessage):
    """An erasure with what it takes to check who declared it."""

    MEMBER: ClassVar[str] = "erasure"
    KIND: ClassVar[type[Message]] = Erasure

    erasure: Erasure


Signed: TypeAlias = SignedReceipt | SignedAdmission | SignedHead | SignedErasure

SIGNED_KINDS: Final = (SignedReceipt, SignedAdmission, SignedHead, SignedErasure)


def signer(signed: Signed) -> Address:
    """Who signed, computed from the signature, always.

    Raises: SignatureError.
    """
    return recover(signed.digest(), signed.signature)


def sign_sender_request(wallet: Wallet, domain: Domain, request: SenderRequest) -> bytes:
    """Sign a request as its sender: 65 bytes."""
    return wallet.sign_digest(message_digest(domain, request))


def sender_request_signer(domain: Domain, request: SenderRequest, signature: bytes) -> Address:
    """Who signed a request, computed from the signature.

    Raises: SignatureError.
    """
    return recover(message_digest(domain, request), signature)
