"""Receipts as JSON bytes, for bodies, events and headers.

A receipt's own `to_json` recovers the signer from the signature, which costs more than everything else here together. The service knows
who signs for its log, so the text is put together from what stays the same and what changes; a test holds it equal to `to_json`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from tallystick.ids import Address, checksum_address, format_record_id
from tallystick.receipts import Domain, SignedAdmission, SignedReceipt
from tallystick_platform.store.entries import JournalEntry


class ProofEncoder:
    """Writes the proofs of one log."""

    __slots__ = ("_head", "_tail")

    def __init__(self, *, domain: Domain, writer: Address) -> None:
        self._head = f'{{"domain":{{"chain_id":{domain.chain_id},"contract":"{checksum_address(domain.contract)}"}},'
        self._tail = f'","signer":"{checksum_address(writer)}"}}'

    def receipt(self, signed: SignedReceipt) -> bytes:
        """The signed receipt as compact JSON."""
        inner = signed.receipt
        return (
            f'{self._head}"receipt":{{"log_id":"0x{inner.log_id.hex()}","index":{inner.index},"leaf":"0x{inner.leaf.hex()}",'
            f'"request_hash":"0x{inner.request_hash.hex()}","response_hash":"0x{inner.response_hash.hex()}",'
            f'"issued_at":{inner.issued_at},"anchor_by":{inner.anchor_by}}},"signature":"0x{signed.signature.hex()}{self._tail}'
        ).encode()

    def admission(self, signed: SignedAdmission) -> bytes:
        """The signed admission receipt as compact JSON."""
        inner = signed.admission
        return (
            f'{self._head}"admission":{{"log_id":"0x{inner.log_id.hex()}","record_id":"{format_record_id(inner.record_id)}",'
            f'"sender":"{checksum_address(inner.sender)}","sender_seq":{inner.sender_seq},'
            f'"request_hash":"0x{inner.request_hash.hex()}","admitted_at":{inner.admitted_at},'
            f'"anchor_by":{inner.anchor_by}}},"signature":"0x{signed.signature.hex()}{self._tail}'
        ).encode()

    def tallystick(self, entry: JournalEntry, receipt: bytes) -> bytes:
        """The `tallystick` object of an answer: the record, its receipt, and the secret that opens it."""
        return (
            f'{{"record_id":"{format_record_id(entry.record_id)}","index":{entry.index},"leaf":"0x{entry.leaf.hex()}",'
            f'"state":"{entry.state}","receipt":{receipt.decode()},"record_secret":"0x{entry.record_secret.hex()}"}}'
        ).encode()


def in_header(json_bytes: bytes) -> bytes:
    """JSON as one header value: base64url without padding."""
    return urlsafe_b64encode(json_bytes).rstrip(b"=")
