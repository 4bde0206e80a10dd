"""The API's description, OpenAPI 3.1, put together from the request's own types and the table below.

A test holds the table to the routes that are really served, both ways.
"""

from __future__ import annotations

import msgspec

from tallystick.record import State
from tallystick_platform.api.export_body import ExportBody
from tallystick_platform.api.openapi_answers import SCHEMAS
from tallystick_platform.api.openapi_models import MODEL_SCHEMAS, registry_paths
from tallystick_platform.api.openapi_parts import HASH, PROOF_HEADERS, REF, Schema, error, in_path, parameter, read, ref
from tallystick_platform.api.registry_body import RegisterBody, UploadBody

VERSION = "0.1.0"
UNAVAILABLE = "The log is not compared with its chain or its anchoring is halted, the journal cannot store, or the server is shutting down"
RECEIPT_HEADER: Schema = {
    "schema": {"type": "string"},
    "description": "The signed receipt, base64url of JSON (answers that are sent whole).",
}


def document() -> Schema:
    """The whole description."""
    _, components = msgspec.json.schema_components((ExportBody, RegisterBody, UploadBody), ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick",
            "version": VERSION,
            "summary": "Inference that proves what it did.",
            "description": "Every admitted request becomes one sealed record on an EVM contract, and every answer carries "
            "a signed receipt for it. Parameters that are not listed are refused by name.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": _with_common_answers(_paths()),
        "components": {
            "schemas": {**components, **SCHEMAS, **MODEL_SCHEMAS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A bare token without the scheme is taken, too.",
                },
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _paths() -> Schema:
    return {
        **registry_paths(),
        **_export_paths(),
        **_ledger_paths(),
        **_record_paths(),
        "/healthz": {"get": read("Whether the process is alive", "Health", public=True)},
        "/health": {"get": read("The same as /healthz", "Health", public=True)},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _text("Figures for Prometheus", "text/plain")},
        "/schema/openapi.json": {"get": _text("This description", "application/json")},
        "/schema": {"get": _text("This description as a page", "text/html")},
        "/": {"get": _text("Where things are", "text/html")},
    }


EVERYWHERE = {
    "400": "What came is not HTTP, or a parameter is malformed; `param` names it.",
    "408": "The head or the body did not arrive in time.",
    "431": "The head is larger than 64 KiB.",
    "500": "The server failed. Quote the request id.",
}
WITH_TOKEN = {"503": f"{UNAVAILABLE}; see Retry-After."}
WITH_BODY = {
    "413": "The body is too large, as it came or decompressed.",
    "415": "The body's content coding is not gzip.",
}
RECORDED = {"403": "X-Sender-Address is not the token's.", "414": "The path is longer than a record can hold."}


def _with_common_answers(paths: Schema) -> Schema:
    """Add what every operation of a kind may answer, where it does not say so in words of its own."""
    for item in paths.values():
        for operation in item.values():
            common = dict(EVERYWHERE)
            if operation.get("security") != []:
                common |= WITH_TOKEN | RECORDED
            if "requestBody" in operation:
                common |= WITH_BODY
            for status, text in common.items():
                operation["responses"].setdefault(status, error(text))
    return paths


def _export_paths() -> Schema:
    export_id, one = in_path("export_id", "From the answer that took the job."), "/v1/exports/{export_id}"
    cancel = read("Give an export up; or, where it is finished, remove its files", "Export", [export_id], missing=True)
    cancel["responses"]["409"] = error("It is being recorded at this moment: try again.")
    model, name = in_path("model_id", "May hold a slash, and `@version`."), in_path("name", "May hold slashes.")
    original = "/v1/models/{model_id}/files"
    return {
        original: {"get": read("The files that a version was registered with", "ModelFiles", [model], missing=True)},
        f"{original}/{{name}}": {"get": _download("One of them", [model, name])},
        "/v1/models/{model_id}/exports": {"post": _export()},
        "/v1/exports": {"get": read("Your exports, newest first", "ExportList", _paging())},
        one: {"get": read("One export", "Export", [export_id], missing=True), "delete": cancel},
        f"{one}/files/{{name}}": {"get": _download("One file of a finished export", [export_id, name])},
        f"{one}/archive.tar": {"get": _download("All its files as one tar stream", [export_id])},
    }


def _export() -> Schema:
    taken = {
        "description": "Taken, and recorded as that; another record will say how it ended. Poll `Location`.",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "Where the job is."},
            **PROOF_HEADERS,
            "X-Tallystick-Receipt": RECEIPT_HEADER,
        },
        "content": {"application/json": {"schema": ref("Export")}},
    }
    refusals = {
        "400": "Malformed, or a model that cannot be exported.",
        "401": "No token, or one that is unknown, expired or revoked.",
        "404": "`model_not_found`",
        "429": "As many exports wait as may; see Retry-After.",
        "503": f"{UNAVAILABLE}; see Retry-After.",
        "507": "`no_space`: an export needs 2.5 times the model's size.",
    }
    return {
        "operationId": "create_export",
        "summary": "Export a model in a format that runs elsewhere",
        "parameters": [in_path("model_id", "May hold a slash, and `@version`.")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("ExportBody")}}},
        "responses": {"202": taken, **{status: error(text) for status, text in refusals.items()}},
    }


def _download(summary: str, parameters: list[Schema]) -> Schema:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    whole: Schema = {
        "description": "All of it; each delivery is a record.",
        "headers": PROOF_HEADERS,
        "content": content,
    }
    refusals = {
        "401": "No token, or one that is unknown, expired or revoked.",
        "404": "There is no such thing, or it is not yours.",
        "409": "The export is not finished.",
        "412": "If-Match names other content.",
        "416": "The range is malformed, has several parts, or lies outside of the file.",
        "429": "Too many downloads at once; see Retry-After.",
        "503": f"{UNAVAILABLE}; see Retry-After.",
    }
    headers = [
        parameter("header", "Range", {"type": "string"}, "One range of bytes of a file."),
        parameter("header", "If-Range", {"type": "string"}, "The ETag of what you have: another gives the whole."),
        parameter("header", "If-None-Match", {"type": "string"}, "The ETag of what you have: the same gives 304."),
    ]
    return {
        "summary": summary,
        "parameters": [*parameters, *headers],
        "responses": {
            "200": whole,
            "206": {**whole, "description": "The range that was asked for."},
            "304": {"description": "You have it already."},
            **{status: error(text) for status, text in refusals.items()},
        },
    }


def _ledger_paths() -> Schema:
    number = in_path("number", "From 0.")
    return {
        "/v1/ledger": {"get": read("The log: contract, log id, size, head, what waits", "Ledger", public=True)},
        "/v1/ledger/batches": {"get": read("The batches, newest first", "BatchList", _paging(), public=True)},
        "/v1/ledger/batches/{number}": {"get": read("One batch", "Batch", [number], public=True, missing=True)},
    }


def _record_paths() -> Schema:
    record_id = in_path("record_id", "From X-Tallystick-Record.")
    states = {"enum": [state.value for state in State]}
    filters = [
        parameter("query", "state", states, "How the request ended (`outcome`)."),
        parameter("query", "model", {"type": "string"}, "Only this model's."),
    ]
    secret = parameter(
        "query", "secret", {"type": "boolean", "default": True}, "Put the record's secret in, which opens it."
    )
    bundle = "Its evidence bundle: one file that verifies offline (`tallystick verify FILE`)"
    one = "/v1/records/{record_id}"
    return {
        "/v1/records": {"get": read("Your own records, newest first", "RecordList", [*_paging(), *filters])},
        one: {"get": read("One record's way to the chain", "RecordStatus", [record_id], missing=True)},
        f"{one}/receipt": {"get": read("Its signed receipt", "SignedReceipt", [record_id], missing=True)},
        f"{one}/proof": {"get": read(bundle, "Bundle", [record_id, secret], missing=True)},
        f"{one}/blobs/{{digest}}": {"get": _blob(record_id)},
    }


def _blob(record_id: Schema) -> Schema:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "summary": "A large field of a record, encrypted: for whoever knows its digest, which only the opened record tells",
        "security": [],
        "parameters": [record_id, parameter("path", "digest", HASH, "`sealed_digest` of the blob reference.")],
        "responses": {
            "200": {"description": "The encrypted bytes; they never change.", "content": content},
            "304": {"description": "You have it already."},
            "404": error("`blob_not_found`, for an unknown record and for an unknown digest alike."),
        },
    }


def _paging() -> list[Schema]:
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    return [
        parameter("query", "cursor", {"type": "integer"}, "`next_cursor` of the page before."),
        parameter("query", "limit", limit, "Entries per page."),
    ]


def _ready() -> Schema:
    content = {"application/json": {"schema": ref("Readiness")}}
    return {
        "summary": "Whether a request would be answered now",
        "security": [],
        "responses": {
            "200": {"description": "Yes.", "content": content},
            "503": {"description": "No.", "content": content},
        },
    }


def _text(summary: str, media_type: str) -> Schema:
    content = {media_type: {"schema": {"type": "string"}}}
    return {"summary": summary, "security": [], "responses": {"200": {"description": "Here.", "content": content}}}
