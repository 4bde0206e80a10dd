"""Vectors of receipts and admissions (SPEC 7)."""

from __future__ import annotations

from typing import Any

from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.receipts import (
    AdmissionReceipt,
    Receipt,
    admission_digest,
    receipt_digest,
    response_hash,
    sign_admission,
    sign_receipt,
)
from tallystick.sealing import seal
from tests.support.vectors.cast import DOMAIN, EPOCH_KEY, LOG_ID, SENDER, WRITER, whole_record


def receipt_vectors() -> dict[str, Any]:
    """Receipts, admissions, their digests, and JSON with one fault."""
    receipt = Receipt(
        log_id=LOG_ID,
        index=40,
        leaf=seal(whole_record(), epoch_key=EPOCH_KEY, index=40).leaf,
        request_hash=keccak256(b"request"),
        response_hash=response_hash([b"answer"]),
        issued_at=1_763_700_001,
        anchor_by=1_763_703_601,
    )
    admission = AdmissionReceipt(
        log_id=LOG_ID,
        record_id=whole_record().id,
        sender=SENDER.address,
        sender_seq=7,
        request_hash=keccak256(b"request"),
        admitted_at=1_763_700_000,
        anchor_by=1_763_703_600,
    )
    signed, promised = sign_receipt(WRITER, DOMAIN, receipt), sign_admission(WRITER, DOMAIN, admission)
    good: dict[str, Any] = signed.to_json()
    signature = bytes.fromhex(str(good["signature"])[2:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    inner: dict[str, Any] = dict(good["receipt"])
    faults: list[tuple[str, dict[str, Any], str]] = [
        ("index changed", {"receipt": {**inner, "index": 41}}, "ReceiptFormatError"),
        ("leaf changed", {"receipt": {**inner, "leaf": to_hex(keccak256(b"x"))}}, "ReceiptFormatError"),
        ("deadline changed", {"receipt": {**inner, "anchor_by": 1}}, "ReceiptFormatError"),
        ("another chain", {"domain": {"chain_id": 1, "contract": good["domain"]["contract"]}}, "ReceiptFormatError"),
        ("another signer named", {"signer": "0x" + "11" * 20}, "ReceiptFormatError"),
        ("a member missing", {"receipt": {k: v for k, v in inner.items() if k != "leaf"}}, "ReceiptFormatError"),
        ("a member too many", {"colour": "red"}, "ReceiptFormatError"),
        ("index as text", {"receipt": {**inner, "index": "40"}}, "ReceiptFormatError"),
        ("v of 0", {"signature": to_hex(signature[:64] + b"\x00")}, "SignatureError"),
        (
            "s in the upper half",
            {"signature": to_hex(signature[:32] + high_s + bytes((55 - signature[64],)))},
            "SignatureError",
        ),
        ("64 bytes of signature", {"signature": to_hex(signature[:64])}, "ReceiptFormatError"),
    ]
    return {
        "writer_key": WRITER.secret.hex(),
        "valid": [
            {"kind": "receipt", "digest": receipt_digest(DOMAIN, receipt).hex(), "json": good},
            {"kind": "admission", "digest": admission_digest(DOMAIN, admission).hex(), "json": promised.to_json()},
        ],
        "invalid": [{"fault": fault, "json": {**good, **changes}, "error": error} for fault, changes, error in faults],
    }
