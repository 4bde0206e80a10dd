"""Receipts as JSON bytes, for bodies, events and headers.

A receipt's own `to_json` recovers the signer from the signature, which costs more than everything else here together. The service knows
who signs for its log, so the text is put together from what stays the same and what changes; a test holds it equal to `to_json`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass

from tallystick.ids import Address, checksum_address, format_record_id
from tallystick.receipts import Domain, SignedAdmission, SignedReceipt
from tallystick.record import Request
from tallystick_platform.api.replies import Header
from tallystick_platform.exchange import AnswerWithheld
from tallystick_platform.store.entries import JournalEntry, Ticket


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
            f'{self._head}"receipt":{{"log_id":"0x{inner.log_id.hex()}","index":{inner.index},'
            f'"admission_seq":{inner.admission_seq},"leaf":"0x{inner.leaf.hex()}",'
            f'"request_hash":"0x{inner.request_hash.hex()}","response_hash":"0x{inner.response_hash.hex()}",'
            f'"sender":"{checksum_address(inner.sender)}","issued_at":{inner.issued_at},"anchor_by":{inner.anchor_by}}},'
            f'"signature":"0x{signed.signature.hex()}{self._tail}'
        ).encode()

    def admission(self, signed: SignedAdmission) -> bytes:
        """The signed admission receipt as compact JSON."""
        inner = signed.admission
        return (
            f'{self._head}"admission":{{"log_id":"0x{inner.log_id.hex()}","admission_seq":{inner.admission_seq},'
            f'"sender_seq":{inner.sender_seq},"request_hash":"0x{inner.request_hash.hex()}",'
            f'"sender":"{checksum_address(inner.sender)}","admitted_at":{inner.admitted_at},"record_by":{inner.record_by}}},'
            f'"signature":"0x{signed.signature.hex()}{self._tail}'
        ).encode()

    def admitted(self, ticket: Ticket) -> AdmittedProof:
        """What every answer to an admitted request carries."""
        return AdmittedProof(
            record_id=format_record_id(ticket.record.id),
            admission=self.admission(ticket.admission),
            salt=salt_of(ticket),
        )

    def recorded(self, ticket: Ticket, entry: JournalEntry) -> RecordedProof:
        """What every answer to a recorded request carries."""
        return RecordedProof(admitted=self.admitted(ticket), entry=entry, receipt=self.receipt(entry.receipt))

    def withheld(self, error: Exception) -> list[Header]:
        """The headers of an error that may have come after the admission: what is known of the admission then."""
        ticket = error.ticket if isinstance(error, AnswerWithheld) else None
        return [] if ticket is None else self.admitted(ticket).headers()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedProof:
    """The promise to record a request, and the salt with which its sender can compute the hash in it again."""

    record_id: str
    admission: bytes
    salt: bytes

    def headers(self) -> list[Header]:
        """The headers that say so."""
        return [
            (b"x-tallystick-record", self.record_id.encode()),
            (b"x-tallystick-admission", in_header(self.admission)),
            (b"x-tallystick-request-salt", b"0x" + self.salt.hex().encode()),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedProof:
    """The same once the record is durable: with its receipt, and the secret that opens it."""

    admitted: AdmittedProof
    entry: JournalEntry
    receipt: bytes

    def headers(self) -> list[Header]:
        """The headers that say so, where they were not sent before the record stood."""
        return [*self.admitted.headers(), (b"x-tallystick-receipt", in_header(self.receipt))]

    def tallystick(self) -> bytes:
        """The `tallystick` object of an answer, as JSON."""
        admitted, entry = self.admitted, self.entry
        return (
            f'{{"record_id":"{admitted.record_id}","admission_seq":{entry.admission_seq},"index":{entry.index},'
            f'"leaf":"0x{entry.leaf.hex()}","state":"{entry.state}","receipt":{self.receipt.decode()},'
            f'"admission":{admitted.admission.decode()},"request_salt":"0x{admitted.salt.hex()}",'
            f'"record_secret":"0x{entry.record_secret.hex()}"}}'
        ).encode()


def salt_of(ticket: Ticket) -> bytes:
    """The salt of an admitted request's hash: the draft holds the request itself, not a reference to it."""
    request = ticket.record.request
    return request.salt if isinstance(request, Request) else b""


def in_header(json_bytes: bytes) -> bytes:
    """JSON as one header value: base64url without padding."""
    return urlsafe_b64encode(json_bytes).rstrip(b"=")
