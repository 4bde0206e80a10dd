"""The shapes of what the API answers, as JSON Schema."""

from __future__ import annotations

from tallystick.record import State
from tallystick_platform.api.openapi_parts import (
    ADDRESS,
    COUNT,
    HASH,
    PLAIN_HASH,
    PROGRESS,
    SALT,
    TEXT,
    Schema,
    maybe,
    page_of,
    ref,
    shape,
    signed,
)

SCHEMAS: dict[str, Schema] = {
    "Error": shape(
        {
            "error": shape({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": TEXT}),
            "tallystick": ref("Proof"),
        },
        optional=("tallystick",),
    ),
    "SignedReceipt": signed(
        "receipt",
        {
            "log_id": HASH,
            "index": COUNT,
            "admission_seq": COUNT,
            "leaf": HASH,
            "request_hash": HASH,
            "response_hash": HASH,
            "sender": ADDRESS,
            "issued_at": COUNT,
            "anchor_by": COUNT,
        },
    ),
    "SignedAdmission": signed(
        "admission",
        {
            "log_id": HASH,
            "admission_seq": COUNT,
            "sender_seq": COUNT,
            "request_hash": HASH,
            "sender": ADDRESS,
            "admitted_at": COUNT,
            "record_by": COUNT,
        },
    ),
    "SignedHead": signed("head", {"log_id": HASH, "entries": COUNT, "size": COUNT, "head": HASH, "time": COUNT}),
    "Proof": shape(
        {
            "record_id": {"type": "string", "format": "uuid"},
            "admission_seq": {**COUNT, "description": "Gap-free over the whole log, and in clear on the chain."},
            "index": COUNT,
            "leaf": HASH,
            "state": PROGRESS,
            "receipt": ref("SignedReceipt"),
            "admission": ref("SignedAdmission"),
            "request_salt": {**SALT, "description": "With it you compute the receipt's `request_hash` again."},
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
            "record": {"type": "string", "format": "uuid", "description": "The record that took the job."},
            "ended_by": {
                **maybe({"type": "string", "format": "uuid"}),
                "description": "The record that says how it ended, and follows the other.",
            },
            "error": maybe(shape({"code": TEXT, "message": TEXT})),
            "created_at_us": COUNT,
            "due_by_us": {**COUNT, "description": "What is not done by then is given up."},
            "finished_at_us": maybe(COUNT),
            "tallystick": {**ref("Proof"), "description": "In the answer that takes the job: the proof of `record`."},
        },
        optional=("tallystick",),
    ),
    "ModelFiles": shape(
        {
            "object": {"const": "model.files"},
            "reference": TEXT,
            "model": TEXT,
            "version": TEXT,
            "manifest_digest": HASH,
            "files": {"type": "array", "items": shape({"name": TEXT, "size": COUNT, "sha256": PLAIN_HASH})},
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
            "terms": ref("LogTerms"),
            "size": {**maybe(COUNT), "description": "Records on the chain; null while it does not answer."},
            "entries": {
                **maybe(COUNT),
                "description": "Entries of the head chain: batches, epochs, writers, void numbers.",
            },
            "head": maybe(HASH),
            "signed_head": {
                **maybe(ref("SignedHead")),
                "description": "The writer's word for how far the log goes for good; null before its first final entry.",
            },
            "journal_size": {**COUNT, "description": "Records in the journal."},
            "journal_depth": {**COUNT, "description": "Of these, how many no mined batch holds."},
            "anchor_lag_ms": {**COUNT, "description": "Age of the oldest of them."},
            "anchor_error": maybe(TEXT),
            "custody": TEXT,
            "mode": {"enum": ["development", "production"], "description": "How the service runs."},
            "epoch": maybe(COUNT),
        }
    ),
    "LogTerms": shape(
        {
            "creator": ADDRESS,
            "writer": {**ADDRESS, "description": "The first one."},
            "keeper": {**ADDRESS, "description": "Who alone can name another writer."},
            "format": COUNT,
            "mode": {
                "enum": ["append", "commit"],
                "description": "Whether sealed records or only roots stand on the chain.",
            },
            "promise": {**COUNT, "description": "Seconds from an admission to its record's block, at most."},
            "skew": {**COUNT, "description": "Seconds that the writer's clock may be from the chain's."},
            "salt": HASH,
        }
    ),
    "Batch": shape(
        {
            "number": COUNT,
            "entry": {**COUNT, "description": "Its number in the head chain."},
            "first_index": COUNT,
            "count": COUNT,
            "epoch": COUNT,
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
            "follows": {
                **maybe({"type": "string", "format": "uuid"}),
                "description": "The record in state `accepted` whose work this one ends.",
            },
            "sender_seq": {**COUNT, "description": "Gap-free per sender: a missing number is a missing record."},
            "admission_seq": {**COUNT, "description": "Gap-free over the whole log."},
            "epoch": COUNT,
            "leaf": HASH,
            "fields_root": HASH,
            "admitted_at": COUNT,
            "record_by": COUNT,
            "batch": maybe(COUNT),
            "issued_at": COUNT,
            "anchor_by": COUNT,
            "recorded_at_us": COUNT,
        }
    ),
    "RecordList": page_of("RecordStatus"),
    "Bundle": {"type": "object", "description": "Format tallystick/bundle/v2."},
    "Health": shape({"status": {"const": "ok"}}),
    "Readiness": shape(
        {"status": {"enum": ["ready", "not ready"]}, "parts": {"type": "object", "additionalProperties": TEXT}}
    ),
}

_IN_LISTS = {
    name: schema for name, schema in SCHEMAS["Export"]["properties"].items() if name not in {"files", "parity"}
}
SCHEMAS["ExportSummary"] = shape(_IN_LISTS)
