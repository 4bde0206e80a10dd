"""The form that an answer must have, where a request names one: JSON, JSON of a schema, or a text of an expression, a list or a grammar.

Clients have several names for it. OpenAI's is `response_format`; `guided_json`, `guided_regex`, `guided_choice` and `guided_grammar`, and
`structured_outputs` with the same words inside, come from vLLM's clients. A request may use one of them. Members that are objects stand in
a record's prompt, the others among its parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from tallystick.errors import RequestError
from tallystick.record import Value

Kind: TypeAlias = Literal["json_object", "json_schema", "regex", "choice", "grammar"]

OBJECTS: Final = ("response_format", "guided_json", "structured_outputs")
"""Members that are objects: of a record's prompt."""
SCALARS: Final = ("guided_json", "guided_regex", "guided_choice", "guided_grammar")
"""Members that are texts or lists of texts: among a record's parameters."""
MEMBERS: Final = tuple(dict.fromkeys((*OBJECTS, *SCALARS)))

_FORMATS: Final = ("text", "json_object", "json_schema")
_DESCRIBED: Final = ("name", "description", "strict", "schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """A form. `source` is the schema as JSON, the expression, the grammar in llguidance's Lark, or a JSON list of the texts to choose from.

    `param` is the member of the request that asks for it.
    """

    kind: Kind
    source: str = ""
    param: str = "response_format"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no kind of structure: {self.kind!r}")


def structure_in(prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> Structure | None:
    """The form that a request asks for, None for any text. Members of a schema stand in the order in which they were sent.

    Requires: prompt and parameters of a reading or a record.
    Raises: RequestError for two of them, and for what is none.
    """
    found = [
        structure
        for name in MEMBERS
        for value in (prompt.get(name), asked.get(name))
        if value is not None and (structure := _named(name, value)) is not None
    ]
    if len(found) > 1:
        raise RequestError(found[1].param, f"asks for a second form of the answer, beside {found[0].param}")
    return found[0] if found else None


def _named(name: str, value: Value) -> Structure | None:
    if name == "response_format":
        return _format(value)
    if name != "structured_outputs":
        return _guided(name, name.removeprefix("guided_"), value)
    members = {key: one for key, one in _object(value, name).items() if one is not None and one is not False}
    if not members:
        return None
    if len(members) > 1:
        raise RequestError(name, "has to name one form: json, regex, choice, grammar or json_object")
    ((key, one),) = members.items()
    return _guided(f"{name}.{key}", key, one)


def _format(value: Value) -> Structure | None:
    members = _object(value, "response_format")
    kind = members.get("type")
    if kind not in _FORMATS:
        raise RequestError("response_format.type", f"is none of {', '.join(_FORMATS)}")
    described = members.get("json_schema")
    unknown = next(
        (name for name, one in members.items() if name not in ("type", "json_schema") and one is not None), None
    )
    if unknown is not None or (described is not None and kind != "json_schema"):
        raise RequestError(f"response_format.{unknown or 'json_schema'}", f"has no meaning beside the type {kind}")
    if kind != "json_schema":
        return Structure(kind="json_object") if kind == "json_object" else None
    where = "response_format.json_schema"
    described = _object(described, where)
    for name in described:
        if name not in _DESCRIBED:
            raise RequestError(f"{where}.{name}", f"is none of {', '.join(_DESCRIBED)}")
    if "schema" not in described:
        raise RequestError(f"{where}.schema", "is not there")
    return _schema(f"{where}.schema", described["schema"])


def _guided(where: str, kind: str, value: Value) -> Structure:
    if kind == "json":
        return _schema(where, value)
    if kind == "json_object" and value is True:
        return Structure(kind="json_object", param=where)
    if kind == "choice":
        if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one for one in value):
            raise RequestError(where, "is no list of texts")
        return Structure(kind="choice", source=json.dumps(list(value), ensure_ascii=False), param=where)
    if kind in ("regex", "grammar") and isinstance(value, str):
        return Structure(kind=kind, source=value, param=where)  # type: ignore[arg-type]  # one of the two
    raise RequestError(where, "is no form of an answer that is known here")


def _schema(where: str, value: Value) -> Structure:
    """A schema as an object, or as the text of one."""
    if isinstance(value, str):
        return Structure(kind="json_schema", source=value, param=where)
    if not isinstance(value, dict | bool):
        raise RequestError(where, "is neither an object nor a text")
    return Structure(kind="json_schema", source=json.dumps(value, ensure_ascii=False), param=where)


def _object(value: Value, where: str) -> Mapping[str, Value]:
    if not isinstance(value, Mapping):
        raise RequestError(where, "is not an object")
    return value
