"""JSON schemas in the manner of a public test suite: each feature by itself, and inside of objects, lists and alternatives.

Sizes are bounded, so that a model that knows nothing comes to an end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import jsonschema

Schema = dict[str, Any]

NAMES = ("name", "age", "tags", "kind", "a b", "ä", "$x", "x-y", "0", "items")
PATTERNS = ("^[a-z]{2,5}$", "^(foo|bar)[0-9]?$", "^[A-F0-9]{4}-[A-F0-9]{2}$", "b+", "^\\d{3}$", "^[^x]{1,4}$")
FORMATS = ("date", "time", "date-time", "email", "uuid", "ipv4", "ipv6", "hostname")


def _text(dice: Random) -> Schema:
    least = dice.randrange(3)
    return {"type": "string", "minLength": least, "maxLength": least + dice.randrange(1, 6)}


def _integer(dice: Random) -> Schema:
    least = dice.randrange(-500, 500)
    return {"type": "integer", "minimum": least, "maximum": least + dice.randrange(200)}


def _half_open(dice: Random) -> Schema:
    return {"type": "integer", "exclusiveMinimum": dice.randrange(-9, 9), "exclusiveMaximum": dice.randrange(20, 99)}


def _number(dice: Random) -> Schema:
    least = dice.choice((-2.5, 0, 0.125, 7))
    return {"type": "number", "minimum": least, "maximum": least + dice.choice((0.5, 3, 10.25))}


def _multiple(dice: Random) -> Schema:
    return {"type": "integer", "multipleOf": dice.choice((2, 3, 5, 10)), "minimum": 0, "maximum": 60}


def _enum(dice: Random) -> Schema:
    return {"enum": dice.sample(["red", "green", 1, 2.5, None, True, [1, 2], {"a": "b"}, "", "\u00fc\n"], 4)}


def _const(dice: Random) -> Schema:
    return {"const": dice.choice(["x", 7, None, False, [1, "two"], {"k": [None]}])}


def _pattern(dice: Random) -> Schema:
    return {"type": "string", "pattern": dice.choice(PATTERNS), "maxLength": 8}


def _format(dice: Random) -> Schema:
    return {"type": "string", "format": dice.choice(FORMATS), "maxLength": 40}


def _boolean_or_null(_: Random) -> Schema:
    return {"type": ["boolean", "null"]}


def _list(dice: Random) -> Schema:
    least = dice.randrange(3)
    return {"type": "array", "items": _leaf(dice), "minItems": least, "maxItems": least + dice.randrange(3)}


def _tuple(dice: Random) -> Schema:
    return {"type": "array", "prefixItems": [_leaf(dice), _leaf(dice)], "items": False, "minItems": dice.randrange(3)}


def _object(dice: Random) -> Schema:
    names = dice.sample(NAMES, dice.randrange(1, 4))
    return {
        "type": "object",
        "properties": {name: _leaf(dice) for name in names},
        "required": dice.sample(names, dice.randrange(len(names) + 1)),
        "additionalProperties": False,
    }


def _nested(dice: Random) -> Schema:
    inner = _object(dice)
    return {
        "type": "object",
        "properties": {"inner": inner, "list": {"type": "array", "items": inner, "maxItems": 1}},
        "required": ["inner", "list"],
        "additionalProperties": False,
    }


def _additional(dice: Random) -> Schema:
    return {
        "type": "object",
        "properties": {"id": _integer(dice)},
        "required": ["id"],
        "additionalProperties": _integer(dice),
        "maxProperties": 2,
    }


def _pattern_properties(dice: Random) -> Schema:
    return {
        "type": "object",
        "patternProperties": {"^n[0-9]$": _integer(dice)},
        "additionalProperties": False,
        "maxProperties": 1,
    }


def _any_of(dice: Random) -> Schema:
    return {"anyOf": [_leaf(dice), _object(dice)]}


def _all_of(dice: Random) -> Schema:
    return {"allOf": [{"type": "integer", "minimum": dice.randrange(5)}, {"maximum": dice.randrange(5, 50)}]}


def _one_of(dice: Random) -> Schema:
    return {"oneOf": [_integer(dice), _text(dice), {"type": "null"}]}


def _reference(dice: Random) -> Schema:
    return {
        "$defs": {"one": _leaf(dice), "two": {"type": "array", "items": {"$ref": "#/$defs/one"}, "maxItems": 2}},
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/one"}, "second": {"$ref": "#/$defs/two"}},
        "required": ["first"],
        "additionalProperties": False,
    }


def _older_reference(dice: Random) -> Schema:
    return {"definitions": {"leaf": _leaf(dice)}, "anyOf": [{"$ref": "#/definitions/leaf"}]}


def _recursive(dice: Random) -> Schema:
    return {
        "type": "object",
        "properties": {"value": _integer(dice), "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        "required": ["value", "next"],
        "additionalProperties": False,
    }


LEAVES = (_text, _integer, _half_open, _number, _multiple, _enum, _const, _pattern, _format, _boolean_or_null)
FEATURES: Mapping[str, Callable[[Random], Schema]] = {
    made.__name__.strip("_"): made
    for made in (
        *LEAVES, _list, _tuple, _object, _nested, _additional, _pattern_properties, _any_of, _all_of, _one_of, _reference,
        _older_reference, _recursive,
    )
}  # fmt: skip


def _leaf(dice: Random) -> Schema:
    return dice.choice(LEAVES)(dice)


def schemas(count: int) -> list[tuple[str, Schema]]:
    """So many, each with a name; the features take turns, and those of one number are always the same."""
    found = []
    for number in range(count):
        dice = Random(number)
        name = list(FEATURES)[number % len(FEATURES)]
        schema, turn = FEATURES[name](dice), number // len(FEATURES) % 4
        whole = "$defs" in schema or "definitions" in schema or name == "recursive"
        if turn == 1 and not whole:
            schema = {
                "type": "object",
                "properties": {"it": schema},
                "required": ["it"],
                "additionalProperties": False,
            }
        elif turn == 2 and not whole:
            schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 2}
        elif turn == 3 and not whole:
            schema = {"anyOf": [schema, {"type": "null"}]}
        found.append((f"{number}-{name}", {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}))
    return found


def fault_of(text: str, schema: Any) -> str | None:
    """Why a text is no JSON of a schema, by the validator; None where it is."""
    kind = jsonschema.validators.validator_for(schema)
    try:
        kind(schema, format_checker=kind.FORMAT_CHECKER).validate(json.loads(text))
    except (ValueError, jsonschema.ValidationError) as error:
        return str(error).partition("\n")[0]
    return None
