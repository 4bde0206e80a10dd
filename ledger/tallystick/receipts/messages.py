"""The messages that are signed about a log, and the 32 bytes that are signed for each.

A receipt is written for every request, so the digests of these fixed structs are computed here directly, each from its EIP-712 type; a test
holds each equal to that of a general EIP-712 library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tallystick.hashing import keccak256
from tallystick.ids import Address, Head, Leaf, LogId
from tallystick.record import HttpExchange, Request, SenderSignature

DOMAIN_NAME: Final = "Tallystick"
DOMAIN_VERSION: Final = "2"

_DOMAIN_TYPE = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_DOMAIN_HEAD = _DOMAIN_TYPE + keccak256(DOMAIN_NAME.encode()) + keccak256(DOMAIN_VERSION.encode())
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
    admission_seq: int
    leaf: Leaf
    request_hash: bytes
    response_hash: bytes
    sender: Address
    issued_at: int
    anchor_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionReceipt:
    """The writer's promise, before any answer, that this request will be recorded under this number.

    Units: `admitted_at` and `record_by` are Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    admission_seq: int
    sender_seq: int
    request_hash: bytes
    sender: Address
    admitted_at: int
    record_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadStatement:
    """The writer's word that the log had this head, after so many entries and records, at this time.

    Units: `time` is Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    entries: int
    size: int
    head: Head
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The writer's word that it destroyed what opens this record.

    Units: `erased_at` is Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    index: int
    leaf: Leaf
    erased_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRequest:
    """What a sender signs for one request; an empty `content_type` stands for none.

    Units: `deadline` is Unix seconds.
    Source: SPEC 7.
    """

    log_id: LogId
    method: str
    target: str
    content_type: str
    body_hash: bytes
    nonce: bytes
    deadline: int


def sender_request(log_id: LogId, http: HttpExchange, request: Request, signature: SenderSignature) -> SenderRequest:
    """What the sender of a recorded request must have signed. Source: SPEC 7."""
    return SenderRequest(
        log_id=log_id,
        method=http.method,
        target=request.target,
        content_type=request.content_type or "",
        body_hash=keccak256(request.body),
        nonce=signature.nonce,
        deadline=signature.deadline,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A type of EIP-712: its hash, and the name and type of each member in the order in which they are encoded."""

    type_hash: bytes
    members: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, text: str) -> Struct:
        """Read a type as EIP-712 writes it; its members are called here as Python calls them."""
        pairs = (member.split(" ") for member in text[text.index("(") + 1 : -1].split(","))
        members = tuple((re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name), kind) for kind, name in pairs)
        return cls(type_hash=keccak256(text.encode()), members=members)


Message = Receipt | AdmissionReceipt | HeadStatement | Erasure | SenderRequest

STRUCTS: Final[Mapping[type[Message], Struct]] = {
    Receipt: Struct.of(
        "Receipt(bytes32 logId,uint64 index,uint64 admissionSeq,bytes32 leaf,bytes32 requestHash,bytes32 responseHash,"
        "address sender,uint64 issuedAt,uint64 anchorBy)"
    ),
    AdmissionReceipt: Struct.of(
        "Admission(bytes32 logId,uint64 admissionSeq,uint64 senderSeq,bytes32 requestHash,address sender,"
        "uint64 admittedAt,uint64 recordBy)"
    ),
    HeadStatement: Struct.of("Head(bytes32 logId,uint64 entries,uint64 size,bytes32 head,uint64 time)"),
    Erasure: Struct.of("Erasure(bytes32 logId,uint64 index,bytes32 leaf,uint64 erasedAt)"),
    SenderRequest: Struct.of(
        "Request(bytes32 logId,string method,string target,string contentType,bytes32 bodyHash,bytes32 nonce,uint64 deadline)"
    ),
}
"""What is signed for each message, and in which order its JSON form has its members."""


def message_digest(domain: Domain, message: Message) -> bytes:
    """The 32 bytes that are signed for a message. Source: EIP-712; SPEC 7."""
    struct = STRUCTS[type(message)]
    encoded = [_ENCODERS[kind](getattr(message, name)) for name, kind in struct.members]
    return _typed_digest(domain, struct.type_hash + b"".join(encoded))


def bundle_digest(domain: Domain, content_hash: bytes) -> bytes:
    """The 32 bytes that the writer signs for a bundle's evidence. Source: EIP-712; SPEC 9."""
    return _typed_digest(domain, _BUNDLE_TYPE + content_hash)


@lru_cache(maxsize=64)
def _separator(chain_id: int, contract: Address) -> bytes:
    return keccak256(_DOMAIN_HEAD + _word(chain_id) + _address_word(contract))


def _typed_digest(domain: Domain, encoded_struct: bytes) -> bytes:
    return keccak256(b"\x19\x01" + _separator(domain.chain_id, domain.contract) + keccak256(encoded_struct))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address_word(address: Address) -> bytes:
    return address.rjust(32, b"\x00")


_ENCODERS: Final[Mapping[str, Callable[[Any], bytes]]] = {
    "bytes32": bytes,
    "uint64": _word,
    "address": _address_word,
    "string": lambda text: keccak256(text.encode()),
}
