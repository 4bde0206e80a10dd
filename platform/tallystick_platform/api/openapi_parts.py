"""The small pieces that the description is put together from."""

from __future__ import annotations

from typing import Any

REF = "#/components/schemas/{name}"

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}
PLAIN_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ADDRESS: Schema = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
SALT: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{32}$"}
SIGNATURE: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{130}$"}
PROGRESS: Schema = {"enum": ["journaled", "sent", "anchored", "final"]}


def read(
    summary: str, schema: str, parameters: list[Schema] | None = None, *, public: bool = False, missing: bool = False
) -> Schema:
    """A path that answers with one shape."""
    responses: Schema = {"200": {"description": "Found.", "content": {"application/json": {"schema": ref(schema)}}}}
    if not public:
        responses["401"] = error("No token, or one that is unknown, expired or revoked.")
    if missing:
        responses["404"] = error("There is no such thing, or it is not yours.")
    found: Schema = {"summary": summary, "parameters": parameters or [], "responses": responses}
    return {**found, "security": []} if public else found


def error(text: str) -> Schema:
    """A refusal."""
    return {"description": text, "content": {"application/json": {"schema": ref("Error")}}}


def parameter(place: str, name: str, schema: Schema, text: str) -> Schema:
    """A parameter."""
    return {"in": place, "name": name, "required": place == "path", "schema": schema, "description": text}


def in_path(name: str, text: str) -> Schema:
    """A part of the path."""
    return parameter("path", name, {"type": "string"}, text)


def ref(name: str) -> Schema:
    """Where a shape is described."""
    return {"$ref": REF.format(name=name)}


def maybe(schema: Schema) -> Schema:
    """A member that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def shape(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """An object whose members are all there, but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def signed(name: str, message: Schema) -> Schema:
    """A message that the log's writer signed."""
    return shape(
        {
            "domain": shape({"chain_id": COUNT, "contract": ADDRESS}),
            name: shape(message),
            "signature": SIGNATURE,
            "signer": ADDRESS,
        }
    )


PROOF_HEADERS: Schema = {
    "X-Tallystick-Record": {"schema": TEXT, "description": "The record's id."},
    "X-Tallystick-Admission": {
        "schema": TEXT,
        "description": "The signed promise to record the request, base64url of JSON. Errors carry it too, once a request was admitted.",
    },
    "X-Tallystick-Request-Salt": {
        "schema": SALT,
        "description": "With it you compute the `request_hash` of the promise from what you sent.",
    },
}
"""What every answer to an admitted request carries, streamed or not, error or not."""


def page_of(name: str) -> Schema:
    """One page of a list."""
    entries = {"type": "array", "items": ref(name)}
    return shape(
        {"object": {"const": "list"}, "data": entries, "has_more": {"type": "boolean"}, "next_cursor": maybe(COUNT)}
    )


def list_of(name: str) -> Schema:
    """A whole list."""
    return shape({"object": {"const": "list"}, "data": {"type": "array", "items": ref(name)}})
