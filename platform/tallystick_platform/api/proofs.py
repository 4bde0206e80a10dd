"""Receipts and proofs as they are sent: in bodies, events and headers."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from tallystick.ids import format_record_id, to_hex
from tallystick.record import Request
from tallystick_platform.api.replies import Header, encode_json
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.shapes import Address, Count, Hash, Salt, Signature, Uuid, as_headers
from tallystick_platform.store.entries import JournalEntry, Ticket
from tallystick_platform.store.records import Progress


class Domain(Struct, frozen=True, kw_only=True):
    """The chain and the contract that a signature holds for."""

    chain_id: Count
    contract: Address


class Receipt(Struct, frozen=True, kw_only=True):
    """The writer's promise to bring one record to the chain. Times in Unix seconds."""

    log_id: Hash
    index: Count
    admission_seq: Count
    leaf: Hash
    request_hash: Hash
    response_hash: Hash
    sender: Address
    issued_at: Count
    anchor_by: Count


class SignedReceipt(Struct, frozen=True, kw_only=True):
    """A receipt that the log's writer signed."""

    domain: Domain
    receipt: Receipt
    signature: Signature
    signer: Address


class Admission(Struct, frozen=True, kw_only=True):
    """The writer's promise to record one request. Times in Unix seconds."""

    log_id: Hash
    admission_seq: Count
    sender_seq: Count
    request_hash: Hash
    sender: Address
    admitted_at: Count
    record_by: Count


class SignedAdmission(Struct, frozen=True, kw_only=True):
    """A promise to record that the log's writer signed."""

    domain: Domain
    admission: Admission
    signature: Signature
    signer: Address


class Head(Struct, frozen=True, kw_only=True):
    """How far the log goes. Time in Unix seconds."""

    log_id: Hash
    entries: Count
    size: Count
    head: Hash
    time: Count


class SignedHead(Struct, frozen=True, kw_only=True):
    """A head that the log's writer signed."""

    domain: Domain
    head: Head
    signature: Signature
    signer: Address


class Proof(Struct, frozen=True, kw_only=True):
    """What every answer to a recorded request carries, as `tallystick`."""

    record_id: Uuid
    admission_seq: Annotated[int, Meta(ge=0, description="Gap-free over the whole log, and in clear on the chain.")]
    index: Count
    leaf: Hash
    state: Progress
    receipt: SignedReceipt
    admission: SignedAdmission
    request_salt: Annotated[Salt, Meta(description="With it you compute the receipt's `request_hash` again.")]
    record_secret: Annotated[Hash, Meta(description="Opens this record and no other. Keep it.")]


class AdmittedHeaders(Struct, frozen=True, kw_only=True):
    """What every answer to an admitted request carries, streamed or not, error or not."""

    record: Annotated[Uuid, Meta(description="The record's id.")] = field(name="X-Tallystick-Record")
    admission: Annotated[
        str, Meta(description="The signed promise to record the request, base64url of JSON. Errors carry it, too.")
    ] = field(name="X-Tallystick-Admission")
    request_salt: Annotated[
        Salt, Meta(description="With it you compute the `request_hash` of the promise from what you sent.")
    ] = field(name="X-Tallystick-Request-Salt")


class RecordedHeaders(AdmittedHeaders, frozen=True, kw_only=True):
    """The same where the headers are sent once the record is durable."""

    receipt: Annotated[str, Meta(description="The signed receipt, base64url of JSON.")] = field(
        name="X-Tallystick-Receipt"
    )


def admitted_headers(ticket: Ticket) -> list[Header]:
    """What every answer to an admitted request carries: the promise to record it, and the salt to compute the hash in it again."""
    return as_headers(
        AdmittedHeaders(
            record=format_record_id(ticket.record.id),
            admission=in_header(_admission(ticket)),
            request_salt=to_hex(_salt(ticket)),
        )
    )


def withheld_headers(error: Exception) -> list[Header]:
    """The headers of an error that may have come after the admission: what is known of the admission then."""
    ticket = error.ticket if isinstance(error, AnswerWithheld) else None
    return [] if ticket is None else admitted_headers(ticket)


def recorded_proof(ticket: Ticket, entry: JournalEntry) -> Proof:
    """What every answer to a recorded request carries: also its receipt, and the secret that opens its record."""
    return Proof(
        record_id=format_record_id(ticket.record.id),
        admission_seq=entry.admission_seq,
        index=entry.index,
        leaf=to_hex(entry.leaf),
        state=Progress(entry.state),
        receipt=msgspec.convert(entry.receipt.to_json(), SignedReceipt),
        admission=_admission(ticket),
        request_salt=to_hex(_salt(ticket)),
        record_secret=to_hex(entry.record_secret),
    )


def recorded_headers(proof: Proof) -> list[Header]:
    """The headers of a proof, where they were not sent before the record stood."""
    return as_headers(
        RecordedHeaders(
            record=proof.record_id,
            admission=in_header(proof.admission),
            request_salt=proof.request_salt,
            receipt=in_header(proof.receipt),
        )
    )


def opening_headers(proof: Proof) -> list[Header]:
    """The same, and what opens the record: for an answer whose body has no place for it."""
    return [*recorded_headers(proof), (b"x-tallystick-record-secret", proof.record_secret.encode())]


def in_header(shape: Struct) -> str:
    """A shape as one header value: base64url of its JSON, without padding."""
    return urlsafe_b64encode(encode_json(shape)).rstrip(b"=").decode()


def _admission(ticket: Ticket) -> SignedAdmission:
    return msgspec.convert(ticket.admission.to_json(), SignedAdmission)


def _salt(ticket: Ticket) -> bytes:
    """The salt of an admitted request's hash: the draft holds the request itself, not a reference to it."""
    request = ticket.record.request
    return request.salt if isinstance(request, Request) else b""
