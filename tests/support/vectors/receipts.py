"""Vectors of signed messages: receipts, admissions, heads, erasures, and a sender's requests (SPEC 7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tallystick.binding import record_request_hash, response_digest, response_hash
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.receipts.messages import (
    AdmissionReceipt,
    Erasure,
    HeadStatement,
    Receipt,
    bundle_digest,
    message_digest,
    sender_request,
)
from tallystick.receipts.signed import SignedAdmission, SignedErasure, SignedHead, SignedReceipt
from tallystick.record import Record, Request, Response
from tallystick.sealing import SealedRecord, response_salt, seal
from tests.support.vectors.cast import DOMAIN, EPOCH_KEY, LOG_ID, SENDER, WRITER, signed_record, stream, whole_record

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
INDEX = 40


def sealed_record() -> SealedRecord:
    """The record that receipts and bundles are about."""
    return seal(whole_record(), epoch_key=EPOCH_KEY, index=INDEX, random=stream("receipt"))


def receipt_of(record: Record, sealed: SealedRecord) -> Receipt:
    """The receipt that follows from a record with an inline request and response."""
    assert isinstance(record.request, Request)
    assert isinstance(record.response, Response)
    digest = response_digest(record.error, record.response.outputs)
    return Receipt(
        log_id=LOG_ID,
        index=sealed.index,
        admission_seq=record.admission_seq,
        leaf=sealed.leaf,
        request_hash=record_request_hash(record.http, record.request),
        response_hash=response_hash(response_salt(sealed.secret), digest),
        sender=record.sender.address,
        issued_at=1_763_700_001,
        anchor_by=1_763_786_400,
    )


def signed_messages() -> tuple[SignedReceipt, SignedAdmission, SignedHead, SignedErasure]:
    """One message of each kind, by the writer."""
    record, sealed = whole_record(), sealed_record()
    receipt = receipt_of(record, sealed)
    admission = AdmissionReceipt(
        log_id=LOG_ID,
        admission_seq=record.admission_seq,
        sender_seq=record.sender_seq,
        request_hash=receipt.request_hash,
        sender=SENDER.address,
        admitted_at=1_763_700_000,
        record_by=1_763_786_400,
    )
    head = HeadStatement(log_id=LOG_ID, entries=12, size=41, head=keccak256(b"head"), time=1_763_700_004)
    erasure = Erasure(log_id=LOG_ID, index=INDEX, leaf=sealed.leaf, erased_at=1_763_800_000)
    return (
        SignedReceipt.sign(WRITER, DOMAIN, receipt),
        SignedAdmission.sign(WRITER, DOMAIN, admission),
        SignedHead.sign(WRITER, DOMAIN, head),
        SignedErasure.sign(WRITER, DOMAIN, erasure),
    )


def receipt_vectors() -> dict[str, Any]:
    """Signed messages, their digests, and JSON with one fault."""
    messages = signed_messages()
    content = keccak256(b"content")
    return {
        "writer_key": WRITER.secret.hex(),
        "sender_key": SENDER.secret.hex(),
        "valid": [{"kind": one.MEMBER, "digest": one.digest().hex(), "json": one.to_json()} for one in messages],
        "invalid": [
            {"kind": one.MEMBER, "fault": fault, "json": document, "error": error}
            for one in messages
            for fault, document, error in _faults(one)
        ],
        "bundle": {"content_hash": content.hex(), "digest": bundle_digest(DOMAIN, content).hex()},
        "request": _request_vector(),
    }


def _faults(
    message: SignedReceipt | SignedAdmission | SignedHead | SignedErasure,
) -> Iterator[tuple[str, dict[str, Any], str]]:
    good: dict[str, Any] = message.to_json()
    kind = message.MEMBER
    inner: dict[str, Any] = dict(good[kind])
    signature = message.signature
    for name, value in inner.items():
        if isinstance(value, int):
            other: object = value + 1
        elif name == "sender":
            other = good["domain"]["contract"]
        else:
            other = to_hex(keccak256(b"another " + name.encode()))
        yield f"{name} changed", {**good, kind: {**inner, name: other}}, "ReceiptFormatError"
        yield f"{name} missing", {**good, kind: {k: v for k, v in inner.items() if k != name}}, "ReceiptFormatError"
    first = next(iter(inner))
    number = next(name for name, value in inner.items() if isinstance(value, int))
    high_s = (ORDER - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    for fault, changes, error in (
        ("another chain", {"domain": {**good["domain"], "chain_id": 1}}, "ReceiptFormatError"),
        ("another signer named", {"signer": good["domain"]["contract"]}, "ReceiptFormatError"),
        ("a signer without its checksum", {"signer": good["signer"].lower()}, "ReceiptFormatError"),
        ("a hash in upper case", {kind: {**inner, first: "0x" + inner[first][2:].upper()}}, "ReceiptFormatError"),
        ("a number as text", {kind: {**inner, number: str(inner[number])}}, "ReceiptFormatError"),
        ("a number with a fraction", {kind: {**inner, number: inner[number] + 0.5}}, "ReceiptFormatError"),
        ("a number beyond 53 bits", {kind: {**inner, number: 2**53}}, "ReceiptFormatError"),
        ("a number below zero", {kind: {**inner, number: -1}}, "ReceiptFormatError"),
        ("true for a number", {kind: {**inner, number: True}}, "ReceiptFormatError"),
        ("a member too many", {"colour": "red"}, "ReceiptFormatError"),
        ("a member too many inside", {kind: {**inner, "colour": "red"}}, "ReceiptFormatError"),
        ("64 bytes of signature", {"signature": to_hex(signature[:64])}, "ReceiptFormatError"),
        ("v of 0", {"signature": to_hex(signature[:64] + b"\x00")}, "SignatureError"),
        (
            "s in the upper half",
            {"signature": to_hex(signature[:32] + high_s + bytes((55 - signature[64],)))},
            "SignatureError",
        ),
        ("a signature that no key makes", {"signature": to_hex(bytes(64) + b"\x1b")}, "SignatureError"),
    ):
        yield fault, {**good, **changes}, error


def _request_vector() -> dict[str, Any]:
    record = signed_record()
    signature = record.sender.signature
    assert isinstance(record.request, Request)
    assert signature is not None
    asked = sender_request(LOG_ID, record.http, record.request, signature)
    return {
        "log_id": LOG_ID.hex(),
        "domain": signed_messages()[0].to_json()["domain"],
        "method": asked.method,
        "target": asked.target,
        "content_type": asked.content_type,
        "body": record.request.body.hex(),
        "nonce": asked.nonce.hex(),
        "deadline": asked.deadline,
        "digest": message_digest(DOMAIN, asked).hex(),
        "signature": signature.signature.hex(),
        "sender": to_hex(record.sender.address),
    }
