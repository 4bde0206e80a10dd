"""The API's description, OpenAPI 3.1: made from what the handlers declare, and from the structs that they read and send."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from inspect import cleandoc
from typing import Any, Final

import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import UNSET, Struct, UnsetType

from tallystick.tasks.neutral import MESSAGE, PART, Neutral
from tallystick_platform.api.endpoint import ENDPOINT_KEY, SAME_ROUTE, Endpoint, IdempotencyHeaders, PathParameters
from tallystick_platform.api.error_table import ErrorBody
from tallystick_platform.api.proofs import Proof
from tallystick_platform.api.wire import anthropic, openai
from tallystick_platform.api.wire.openai.chat import MESSAGES, TextPart
from tallystick_platform.errors import PlatformError

VERSION = "0.1.0"
REF = "#/components/schemas/{name}"
INTERNAL = "The server failed. Quote the request id."
BINARY = {"type": "string", "format": "binary"}
JSON, FORM = "application/json", "multipart/form-data"
STATUSES = {400: "Always: this is not offered.", 304: "You have it already.", 503: "Not now."}

_JSON_TYPES: Final[Mapping[type, str]] = {
    str: "string", bool: "boolean", dict: "object", int: "integer", float: "number",
}  # fmt: skip
_PLACES: Final = (
    *((wire.body, wire.neutral) for wire in (*openai.WIRES, *anthropic.WIRES)),
    *((kind, MESSAGE) for kind in MESSAGES),
    (TextPart, PART),
)
NEUTRAL: Final = "Taken where it changes nothing, and recorded."

Schema = dict[str, Any]


def document(handlers: Iterable[HTTPRouteHandler]) -> Schema:
    """The description of what these handlers serve."""
    shapes = Shapes()
    paths: Schema = {}
    for handler in handlers:
        endpoint: Endpoint = handler.opt[ENDPOINT_KEY]
        operation = _operation(endpoint, shapes)
        for number, path in enumerate(sorted({address(path) for path in handler.paths})):
            within = [one for one in shapes.parameters("path", PathParameters) if f"{{{one['name']}}}" in path]
            name = f"{handler.fn.__name__}_{number}" if number else handler.fn.__name__
            described = {"operationId": name, **operation, "parameters": within + operation["parameters"]}
            paths.setdefault(path, {})[endpoint.method.lower()] = described
    _add_neutral(shapes.components)
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
        "paths": paths,
        "components": {
            "schemas": shapes.components,
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


def address(path: str) -> str:
    """A path in the description's spelling; a model's two forms are one."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", path).replace(*SAME_ROUTE)


def _operation(endpoint: Endpoint, shapes: Shapes) -> Schema:
    sent = shapes.headers(endpoint.sends)
    responses = {str(status): _answer(status, kinds, sent, shapes) for status, kinds in endpoint.answers.items()}
    for status, text in _refusals(endpoint.all_errors).items():
        responses.setdefault(
            status, {"description": text, "content": shapes.content(endpoint.refused or ErrorAnswered)}
        )
    parameters = shapes.parameters("query", endpoint.query) + shapes.parameters("header", endpoint.headers)
    if endpoint.method == "POST":
        parameters += shapes.parameters("header", IdempotencyHeaders)
    operation: Schema = {
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": dict(sorted(responses.items())),
    }
    if endpoint.body is not None:
        kind = FORM if endpoint.form else JSON
        operation["requestBody"] = {"required": True, "content": shapes.content(endpoint.body, kind)}
    if endpoint.public:
        operation["security"] = []
    return operation


def _answer(status: int, kinds: Any, sent: Schema, shapes: Shapes) -> Schema:
    answer: Schema = {"description": STATUSES.get(status, "Done.")}
    if sent:
        answer["headers"] = sent
    if kinds is not None:
        answer["content"] = shapes.content(kinds)
    return answer


def _refusals(kinds: Iterable[type[PlatformError]]) -> dict[str, str]:
    """What the refusals of each status are: the code of each, and what its class says of it."""
    found: dict[str, dict[str, str]] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        found.setdefault(str(kind.status), {}).setdefault(kind.code, cleandoc(kind.__doc__ or "").split("\n\n")[0])
    told = {status: " ".join(f"`{code}`: {text}" for code, text in codes.items()) for status, codes in found.items()}
    return {**told, "500": f"{told.get('500', '')} {INTERNAL}".strip()}


class ErrorAnswered(Struct, frozen=True, kw_only=True):
    """A refusal; with the proof of its record, where the request was recorded."""

    error: ErrorBody
    tallystick: Proof | UnsetType = UNSET


class Shapes:
    """The schemas of types, and the components that they refer to."""

    def __init__(self) -> None:
        self.components: Schema = {}

    def content(self, kinds: Any, structs: str = JSON) -> Schema:
        """What a body may hold: a type is JSON unless `structs` says otherwise, text names another media type."""
        found: Schema = {}
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            if isinstance(kind, str):
                found[kind] = {"schema": {"type": "string"} if kind.startswith("text/") else BINARY}
            else:
                schema, components = _described(kind)
                self._add(components)
                found.setdefault(structs, {"schema": {"anyOf": []}})["schema"]["anyOf"].append(schema)
        for one in found.values():
            if len(options := one["schema"].get("anyOf", ())) == 1:
                one["schema"] = options[0]
        return found

    def parameters(self, place: str, kind: type[Struct] | None) -> list[Schema]:
        """The fields of a struct as parameters."""
        return [
            {"in": place, "name": name, "required": required, **_split(schema)}
            for name, schema, required in self._fields(kind)
        ]

    def headers(self, kind: type[Struct] | None) -> Schema:
        """The fields of a struct as headers of an answer."""
        return {name: _split(schema) for name, schema, _ in self._fields(kind)}

    def _add(self, components: Schema) -> None:
        for name, schema in components.items():
            if self.components.setdefault(name, schema) != schema:
                raise ValueError(f"two shapes are called {name}")

    def _fields(self, kind: type[Struct] | None) -> list[tuple[str, Schema, bool]]:
        if kind is None:
            return []
        reference, components = _described(kind)
        own = reference["$ref"].rpartition("/")[2]
        self._add({name: schema for name, schema in components.items() if name != own})
        shape = components[own]
        return [(name, schema, name in shape["required"]) for name, schema in shape["properties"].items()]


@cache
def _described(kind: Any) -> tuple[Schema, Schema]:
    """The schema of a type, and the components that it refers to: many answers have the same, and working one out takes a while."""
    [schema], components = msgspec.json.schema_components((kind,), ref_template=REF)
    return schema, components


def _split(schema: Schema) -> Schema:
    """A field's schema and its description. A text has no null."""
    told = schema.get("description")
    if "anyOf" in schema:
        [schema] = [one for one in schema["anyOf"] if one != {"type": "null"}]
    return {
        "schema": {name: value for name, value in schema.items() if name != "description"},
        "description": told or schema.get("description", ""),
    }


def _add_neutral(schemas: Schema) -> None:
    """Add the members that are taken only where they change nothing: the types of the bodies know only what acts."""
    for kind, known in _PLACES:
        schema = schemas[kind.__name__]
        neutrals = {member: _neutral_schema(neutral) for member, neutral in known.items()}
        acting = schema["properties"]
        more = {member: neutral for member, neutral in neutrals.items() if member not in acting}
        schemas[kind.__name__] = {**schema, "properties": {**acting, **more}}


def _neutral_schema(neutral: Neutral) -> Schema:
    values = {"enum": [*neutral.values, None]}
    kinds = [{"type": _JSON_TYPES[kind]} for kind in neutral.any_of]
    return {"anyOf": [*kinds, values], "description": NEUTRAL} if kinds else {**values, "description": NEUTRAL}
