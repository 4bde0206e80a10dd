"""The shapes of what the API answers, as JSON Schema."""

from __future__ import annotations

from tallystick.record import State
from tallystick_platform.api.openapi_parts import (
    ADDRESS,
    COUNT,
    HASH,
    PLAIN_HASH,
    PROGRESS,
    SIGNATURE,
    TEXT,
    Schema,
    maybe,
    page_of,
    ref,
    shape,
)

SCHEMAS: dict[str, Schema] = {
    "Error": shape(
        {
            "error": shape({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": TEXT}),
            "tallystick": ref("Proof"),
        },
        optional=("tallystick",),
    ),
    "SignedReceipt": shape(
        {
            "domain": shape({"chain_id": COUNT, "contract": ADDRESS}),
            "receipt": shape(
                {
                    "log_id": HASH,
                    "index": COUNT,
                    "leaf": HASH,
                    "request_hash": HASH,
                    "response_hash": HASH,
                    "issued_at": COUNT,
                    "anchor_by": COUNT,
                }
            ),
            "signature": SIGNATURE,
            "signer": ADDRESS,
        }
    ),
    "Proof": shape(
        {
            "record_id": {"type": "string", "format": "uuid"},
            "index": COUNT,
            "leaf": HASH,
            "state": PROGRESS,
            "receipt": ref("SignedReceipt"),
            "record_secret": {**HASH, "description": "Opens this record and no other. Keep it."},
        }
    ),
    "ChatCompletion": shape(
        {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": COUNT,
            "model": TEXT,
            "choices": {
                "type": "array",
                "items": shape(
                    {
                        "index": COUNT,
                        "message": shape({"role": {"const": "assistant"}, "content": TEXT}),
                        "logprobs": {"type": "null"},
                        "finish_reason": {"enum": ["stop", "length"]},
                    }
                ),
            },
            "usage": shape({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}),
            "tallystick": ref("Proof"),
        }
    ),
    "Export": shape(
        {
            "id": TEXT,
            "object": {"const": "export"},
            "state": {"enum": ["queued", "running", "finished", "failed", "cancelled"]},
            "stage": {**maybe(TEXT), "description": "What is being done; null where nothing is."},
            "progress": {"type": "number", "minimum": 0, "maximum": 1},
            "model": TEXT,
            "version": TEXT,
            "source_digest": {**HASH, "description": "What the receipts of the exported model hold."},
            "format": TEXT,
            "quantization": maybe(TEXT),
            "files": {"type": "array", "items": shape({"name": TEXT, "size": COUNT, "sha256": PLAIN_HASH})},
            "manifest_digest": {
                **maybe(HASH),
                "description": "Of all files but the signature, `model.sig`; it stands in the record.",
            },
            "parity": {
                **maybe({"type": "object"}),
                "description": "How the exported model computed beside its source.",
            },
            "record": {"type": "string", "format": "uuid"},
            "error": maybe(shape({"code": TEXT, "message": TEXT})),
            "created_at_us": COUNT,
            "finished_at_us": maybe(COUNT),
        }
    ),
    "ExportList": page_of("ExportSummary"),
    "Ledger": shape(
        {
            "chain_id": COUNT,
            "rpc_url": maybe(TEXT),
            "contract": ADDRESS,
            "log_id": HASH,
            "writer": ADDRESS,
            "size": {**maybe(COUNT), "description": "Records on the chain; null while it does not answer."},
            "head": maybe(HASH),
            "journal_size": {**COUNT, "description": "Records in the journal."},
            "journal_depth": {**COUNT, "description": "Of these, how many no mined batch holds."},
            "anchor_lag_ms": {**COUNT, "description": "Age of the oldest of them."},
            "anchor_error": maybe(TEXT),
            "custody": TEXT,
            "mode": TEXT,
            "epoch": maybe(COUNT),
        }
    ),
    "Batch": shape(
        {
            "number": COUNT,
            "first_index": COUNT,
            "count": COUNT,
            "root": HASH,
            "head": HASH,
            "state": {"enum": ["planned", "sent", "mined", "final"]},
            "tx_hash": maybe(HASH),
            "block_number": maybe(COUNT),
            "block_hash": maybe(HASH),
            "block_time": maybe(COUNT),
            "confirmations": maybe(COUNT),
            "gas_used": maybe(COUNT),
        }
    ),
    "BatchList": page_of("Batch"),
    "RecordStatus": shape(
        {
            "record_id": {"type": "string", "format": "uuid"},
            "object": {"const": "record"},
            "index": COUNT,
            "state": {**PROGRESS, "description": "The record's way to the chain."},
            "outcome": {"enum": [state.value for state in State], "description": "How the request ended."},
            "task": TEXT,
            "model": maybe(TEXT),
            "sender": ADDRESS,
            "sender_seq": {**COUNT, "description": "Gap-free per sender: a missing number is a missing record."},
            "admission_seq": COUNT,
            "epoch": COUNT,
            "leaf": HASH,
            "fields_root": HASH,
            "batch": maybe(COUNT),
            "issued_at": COUNT,
            "anchor_by": COUNT,
            "recorded_at_us": COUNT,
        }
    ),
    "RecordList": page_of("RecordStatus"),
    "Bundle": {"type": "object", "description": "Format tallystick/bundle/v1, canonical JSON (RFC 8785)."},
    "Health": shape({"status": {"const": "ok"}}),
    "Readiness": shape(
        {"status": {"enum": ["ready", "not ready"]}, "parts": {"type": "object", "additionalProperties": TEXT}}
    ),
}

_IN_LISTS = {
    name: schema for name, schema in SCHEMAS["Export"]["properties"].items() if name not in {"files", "parity"}
}
SCHEMAS["ExportSummary"] = shape(_IN_LISTS)
