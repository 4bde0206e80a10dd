"""The API's description as one plain page: no script, and nothing fetched from anywhere."""

from __future__ import annotations

from html import escape
from typing import Any

Schema = dict[str, Any]

PAGE_HEADERS = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

MAX_DEPTH = 12  # of schemas inside schemas; a description that refers to itself would not end

_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:58rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.45 ui-monospace,monospace}section{border-top:1px solid #8886;margin-top:1.5rem;padding-top:.5rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #8883}
b.post{color:#b35900}b.get{color:#0a7d3c}details{margin:.4rem 0}
"""


def shell(title: str, body: str) -> str:
    """A whole page around a body."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def render(document: Schema) -> str:
    """The page of an OpenAPI document."""
    info = document["info"]
    sections = [
        _operation(method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    schemas = [
        f'<section id="{escape(name)}"><h3>{escape(name)}</h3>{_schema(schema, 0)}</section>'
        for name, schema in document["components"]["schemas"].items()
    ]
    return shell(
        f"{info['title']} API",
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        "<p>Tokens go into <code>Authorization: Bearer ...</code> or <code>x-api-key</code>. "
        'The machine-readable form is <a href="/schema/openapi.json">/schema/openapi.json</a>.</p>'
        + "".join(sections)
        + "<h2>Shapes</h2>"
        + "".join(schemas),
    )


def _operation(method: str, path: str, operation: Schema) -> str:
    public = " (no token needed)" if operation.get("security") == [] else ""
    parts = [f'<section><h2><b class="{method}">{method.upper()}</b> <code>{escape(path)}</code></h2>']
    parts.append(f"<p>{escape(operation['summary'])}{public}</p>")
    if parameters := operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(given['name'])}</code></td><td>{given['in']}</td>"
            f"<td>{_schema(given['schema'], 0)}</td><td>{escape(given['description'])}</td></tr>"
            for given in parameters
        )
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>{rows}</table>")
    if body := operation.get("requestBody"):
        parts.append("<p>Body: " + _content(body["content"]) + "</p>")
    for status, answer in operation["responses"].items():
        content = _content(answer["content"]) if "content" in answer else ""
        headers = "".join(
            f"<br><code>{escape(name)}</code>: {escape(header['description'])}"
            for name, header in answer.get("headers", {}).items()
        )
        parts.append(f"<p><b>{status}</b> {escape(answer['description'])} {content}{headers}</p>")
    return "".join(parts) + "</section>"


def _content(content: Schema) -> str:
    return ", ".join(f"<code>{escape(kind)}</code> {_schema(given['schema'], 0)}" for kind, given in content.items())


def _schema(schema: Schema, depth: int) -> str:
    if depth >= MAX_DEPTH:
        return "..."
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#{name}">{name}</a>'
    if "properties" in schema:
        return _properties(schema, depth)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_schema(part, depth + 1) for part in schema[word])
    if schema.get("type") == "array":
        return f"list of {_schema(schema['items'], depth + 1) if 'items' in schema else 'anything'}{_bounds(schema)}"
    if "const" in schema or "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", [schema.get("const")]))
    return escape(str(schema.get("type", "anything"))) + _bounds(schema)


def _properties(schema: Schema, depth: int) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else ' (optional)'}</td>"
        f"<td>{_schema(inner, depth + 1)}</td><td>{escape(inner.get('description', ''))}</td></tr>"
        for name, inner in schema["properties"].items()
    )
    return f"<p>{escape(schema.get('description', ''))}</p><table>{rows}</table>"


_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minLength": "shortest",
    "maxLength": "longest",
    "minItems": "fewest",
    "maxItems": "most",
    "default": "default",
}


def _bounds(schema: Schema) -> str:
    told = [f"{words} {escape(str(schema[name]))}" for name, words in _BOUNDS.items() if schema.get(name) is not None]
    return f" ({', '.join(told)})" if told else ""
