"""What a client keeps: the admission, the receipt, and the answer as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tallystick.binding import NO_REQUEST_HASH, record_request_hash, response_digest, response_hash
from tallystick.ids import format_record_id, to_hex
from tallystick.receipts.signed import SignedAdmission, SignedReceipt
from tallystick.record import Record, Request, Response
from tallystick.sealing import SealedRecord, response_salt
from tests.support.synthetic_log import SyntheticLog


def told(log: SyntheticLog, record: Record, sealed: SealedRecord, **changes: Any) -> SignedReceipt:
    """The receipt for a sealed record whose sender and hashes are those of what really crossed the wire: of `record`."""
    outputs = record.response.outputs if isinstance(record.response, Response) else ()
    request = record.request
    honest = log.receipt(record, sealed).receipt
    receipt = replace(
        honest,
        request_hash=record_request_hash(record.http, request) if isinstance(request, Request) else NO_REQUEST_HASH,
        response_hash=response_hash(response_salt(sealed.secret), response_digest(record.error, outputs)),
    )
    return SignedReceipt.sign(log.writer, log.domain, replace(receipt, **changes))


def answer(
    record: Record,
    *,
    receipt: SignedReceipt | None = None,
    admission: SignedAdmission | None = None,
    sealed: SealedRecord | None = None,
) -> dict[str, Any]:
    """The answer that came, with the proofs that came with it."""
    assert isinstance(record.response, Response)
    outputs = record.response.outputs
    request = record.request
    proofs = {
        "record_id": format_record_id(record.id),
        "admission_seq": record.admission_seq,
        "index": None if sealed is None else sealed.index,
        "leaf": None if sealed is None else to_hex(sealed.leaf),
        "state": str(record.state),
        "receipt": None if receipt is None else receipt.to_json(),
        "admission": None if admission is None else admission.to_json(),
        "request_salt": to_hex(request.salt) if isinstance(request, Request) else None,
        "record_secret": None if sealed is None else to_hex(sealed.secret),
    }
    return {
        "id": f"chatcmpl-{format_record_id(record.id)}",
        "object": "chat.completion",
        "created": record.time.admitted_at // 1_000_000,
        "model": record.model.id if record.model is not None else None,
        "choices": [
            {"index": n, "message": _message(one.content), "finish_reason": one.finish_reason, "logprobs": one.logprobs}
            for n, one in enumerate(outputs)
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 80, "total_tokens": 89},
        "tallystick": proofs,
    }


def _message(content: object) -> dict[str, Any]:
    assert isinstance(content, dict)
    return {"role": content["role"], "content": content["content"]}
