"""The shapes of what the API answers, as JSON Schema."""

from __future__ import annotations

from typing import Any

from tallystick.record import State

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
PLAIN_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ADDRESS: Schema = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
SIGNATURE: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{130}$"}
PROGRESS: Schema = {"enum": ["journaled", "sent", "anchored", "final"]}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str) -> Schema:
    entries = {"type": "array", "items": _ref(name)}
    return _object(
        {"object": {"const": "list"}, "data": entries, "has_more": {"type": "boolean"}, "next_cursor": _maybe(COUNT)}
    )


SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        {
            "error": _object({"message": TEXT, "type": TEXT, "param": _maybe(TEXT), "code": TEXT}),
            "tallystick": _ref("Proof"),
        },
        optional=("tallystick",),
    ),
    "SignedReceipt": _object(
        {
            "domain": _object({"chain_id": COUNT, "contract": ADDRESS}),
            "receipt": _object(
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
    "Proof": _object(
        {
            "record_id": {"type": "string", "format": "uuid"},
            "index": COUNT,
            "leaf": HASH,
            "state": PROGRESS,
            "receipt": _ref("SignedReceipt"),
            "record_secret": {**HASH, "description": "Opens this record and no other. Keep it."},
        }
    ),
    "ChatCompletion": _object(
        {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": COUNT,
            "model": TEXT,
            "choices": {
                "type": "array",
                "items": _object(
                    {
                        "index": COUNT,
                        "message": _object({"role": {"const": "assistant"}, "content": TEXT}),
                        "logprobs": {"type": "null"},
                        "finish_reason": {"enum": ["stop", "length"]},
                    }
                ),
            },
            "usage": _object({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}),
            "tallystick": _ref("Proof"),
        }
    ),
    "Model": _object(
        {
            "id": TEXT,
            "object": {"const": "model"},
            "created": COUNT,
            "owned_by": TEXT,
            "task": TEXT,
            "version": TEXT,
            "weights_digest": HASH,
            "engine": TEXT,
            "dtype": TEXT,
            "quantisation": _maybe(TEXT),
            "device": TEXT,
            "context_length": COUNT,
            "reproducibility": TEXT,
            "provider": _object(
                {"id": TEXT, "name": TEXT, "address": ADDRESS, "price_per_hour_micros": COUNT, "currency": TEXT}
            ),
        }
    ),
    "ModelList": _object({"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}}),
    "Export": _object(
        {
            "id": TEXT,
            "object": {"const": "export"},
            "state": {"enum": ["queued", "running", "finished", "failed", "cancelled"]},
            "stage": {**_maybe(TEXT), "description": "What is being done; null where nothing is."},
            "progress": {"type": "number", "minimum": 0, "maximum": 1},
            "model": TEXT,
            "version": TEXT,
            "source_digest": {**HASH, "description": "What the receipts of the exported model hold."},
            "format": TEXT,
            "quantization": _maybe(TEXT),
            "files": {"type": "array", "items": _object({"name": TEXT, "size": COUNT, "sha256": PLAIN_HASH})},
            "manifest_digest": {
                **_maybe(PLAIN_HASH),
                "description": "Of all files but the signature, `model.sig`; it stands in the record.",
            },
            "parity": {
                **_maybe({"type": "object"}),
                "description": "How the exported model computed beside its source.",
            },
            "record": {"type": "string", "format": "uuid"},
            "error": _maybe(_object({"code": TEXT, "message": TEXT})),
            "created_at_us": COUNT,
            "finished_at_us": _maybe(COUNT),
        }
    ),
    "ExportList": _list("Export"),
    "Ledger": _object(
        {
            "chain_id": COUNT,
            "rpc_url": _maybe(TEXT),
            "contract": ADDRESS,
            "log_id": HASH,
            "writer": ADDRESS,
            "size": {**_maybe(COUNT), "description": "Records on the chain; null while it does not answer."},
            "head": _maybe(HASH),
            "journal_size": {**COUNT, "description": "Records in the journal."},
            "journal_depth": {**COUNT, "description": "Of these, how many no mined batch holds."},
            "anchor_lag_ms": {**COUNT, "description": "Age of the oldest of them."},
            "anchor_error": _maybe(TEXT),
            "custody": TEXT,
            "mode": TEXT,
            "epoch": _maybe(COUNT),
        }
    ),
    "Batch": _object(
        {
            "number": COUNT,
            "first_index": COUNT,
            "count": COUNT,
            "root": HASH,
            "head": HASH,
            "state": {"enum": ["planned", "sent", "mined", "final"]},
            "tx_hash": _maybe(HASH),
            "block_number": _maybe(COUNT),
            "block_hash": _maybe(HASH),
            "block_time": _maybe(COUNT),
            "confirmations": _maybe(COUNT),
            "gas_used": _maybe(COUNT),
        }
    ),
    "BatchList": _list("Batch"),
    "RecordStatus": _object(
        {
            "record_id": {"type": "string", "format": "uuid"},
            "object": {"const": "record"},
            "index": COUNT,
            "state": {**PROGRESS, "description": "The record's way to the chain."},
            "outcome": {"enum": [state.value for state in State], "description": "How the request ended."},
            "task": TEXT,
            "model": _maybe(TEXT),
            "sender": ADDRESS,
            "sender_seq": {**COUNT, "description": "Gap-free per sender: a missing number is a missing record."},
            "admission_seq": COUNT,
            "epoch": COUNT,
            "leaf": HASH,
            "fields_root": HASH,
            "batch": _maybe(COUNT),
            "issued_at": COUNT,
            "anchor_by": COUNT,
            "recorded_at_us": COUNT,
        }
    ),
    "RecordList": _list("RecordStatus"),
    "Bundle": {"type": "object", "description": "Format tallystick/bundle/v1, canonical JSON (RFC 8785)."},
    "Health": _object({"status": {"const": "ok"}}),
    "Readiness": _object(
        {"status": {"enum": ["ready", "not ready"]}, "parts": {"type": "object", "additionalProperties": TEXT}}
    ),
}
