"""Signed messages (section 7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.stranger.crypto import keccak, signer
from tests.support.stranger.errors import RECEIPT, Refused
from tests.support.stranger.fields import address, binary, exactly, hash32, number, strict_json

DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
TYPES: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "receipt": (
        "Receipt",
        (
            ("log_id", "logId", "bytes32"),
            ("index", "index", "uint64"),
            ("admission_seq", "admissionSeq", "uint64"),
            ("leaf", "leaf", "bytes32"),
            ("request_hash", "requestHash", "bytes32"),
            ("response_hash", "responseHash", "bytes32"),
            ("sender", "sender", "address"),
            ("issued_at", "issuedAt", "uint64"),
            ("anchor_by", "anchorBy", "uint64"),
        ),
    ),
    "admission": (
        "Admission",
        (
            ("log_id", "logId", "bytes32"),
            ("admission_seq", "admissionSeq", "uint64"),
            ("sender_seq", "senderSeq", "uint64"),
            ("request_hash", "requestHash", "bytes32"),
            ("sender", "sender", "address"),
            ("admitted_at", "admittedAt", "uint64"),
            ("record_by", "recordBy", "uint64"),
        ),
    ),
    "head": (
        "Head",
        (
            ("log_id", "logId", "bytes32"),
            ("entries", "entries", "uint64"),
            ("size", "size", "uint64"),
            ("head", "head", "bytes32"),
            ("time", "time", "uint64"),
        ),
    ),
    "erasure": (
        "Erasure",
        (
            ("log_id", "logId", "bytes32"),
            ("index", "index", "uint64"),
            ("leaf", "leaf", "bytes32"),
            ("erased_at", "erasedAt", "uint64"),
        ),
    ),
}
REQUEST = "Request(bytes32 logId,string method,string target,string contentType,bytes32 bodyHash,bytes32 nonce,uint64 deadline)"


@dataclass(frozen=True)
class SignedMessage:
    """A message and who signed it."""

    kind: str
    chain_id: int
    contract: bytes
    values: dict[str, Any]
    signature: bytes
    signer: bytes
    digest: bytes


def _word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def typed_digest(chain_id: int, contract: bytes, struct_type: str, words: list[int | bytes]) -> bytes:
    """The EIP-712 digest of a message; texts are given as their hashes."""
    domain = keccak(
        keccak(DOMAIN_TYPE), keccak(b"Tallystick"), keccak(b"2"), _word(chain_id), contract.rjust(32, b"\0")
    )
    struct = keccak(keccak(struct_type.encode()), *map(_word, words))
    return keccak(b"\x19\x01", domain, struct)


def message_digest(kind: str, chain_id: int, contract: bytes, values: Mapping[str, Any]) -> bytes:
    """The digest of a receipt, admission, head or erasure."""
    name, members = TYPES[kind]
    struct_type = f"{name}({','.join(f'{width} {label}' for _, label, width in members)})"
    return typed_digest(chain_id, contract, struct_type, [values[key] for key, _, _ in members])


def bundle_digest(chain_id: int, contract: bytes, content_hash: bytes) -> bytes:
    """The digest that a bundle's attestation signs."""
    return typed_digest(chain_id, contract, "Bundle(bytes32 contentHash)", [content_hash])


def request_digest(
    chain_id: int,
    contract: bytes,
    log_id: bytes,
    request: tuple[str, str, str | None, bytes],
    nonce: bytes,
    deadline: int,
) -> bytes:
    """The digest that a sender signs: the request is its method, target, content type and body."""
    method, target, content_type, body = request
    texts = [keccak(text.encode()) for text in (method, target, content_type or "")]
    return typed_digest(chain_id, contract, REQUEST, [log_id, *texts, keccak(body), nonce, deadline])


def read_message(given: bytes | str | dict[str, Any], error: str = RECEIPT) -> SignedMessage:
    """A signed message, once its signature led to the signer that it names."""
    document = given if isinstance(given, dict) else strict_json(error, given)
    kinds = [kind for kind in TYPES if isinstance(document, dict) and kind in document]
    if len(kinds) != 1:
        raise Refused(error, "not one signed message")
    kind = kinds[0]
    exactly(error, document, {"domain", kind, "signature", "signer"})
    domain = exactly(error, document["domain"], {"chain_id", "contract"})
    chain_id, contract = number(error, domain["chain_id"]), address(error, domain["contract"])
    members = TYPES[kind][1]
    body = exactly(error, document[kind], {key for key, _, _ in members})
    readers = {"bytes32": hash32, "uint64": number, "address": address}
    values = {key: readers[width](error, body[key]) for key, _, width in members}
    signature = binary(error, document["signature"], 65)
    named = address(error, document["signer"])
    digest = message_digest(kind, chain_id, contract, values)
    if signer(digest, signature) != named:
        raise Refused(error, "the signature leads to another signer")
    return SignedMessage(kind, chain_id, contract, values, signature, named, digest)
