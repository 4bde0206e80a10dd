"""The form of an answer, looked at before anybody is asked to keep to it. No torch here: the API process refuses by it.

The same grammar is what an engine holds an answer to (`engine/forms.py`). It is llguidance's: what that library cannot hold an answer to
is refused here by name, never let pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from llguidance import LLMatcher, LLParserLimits

from tallystick.errors import RequestError
from tallystick.tasks.structure import Structure

if TYPE_CHECKING:  # it is a type and nothing else
    from llguidance._lib import JsonCompileOptions

T = TypeVar("T")

MAX_FORM_BYTES = 32_768  # looking at so much takes 50 ms at most
MAX_FORM_DEPTH = 32
MAX_CHOICE_TEXTS = 1_024
MAX_REASON_CHARS = 200
PANIC = "PanicException"  # which no module exports

LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,  # about 20 ms
    step_lexer_fuel=200_000,  # about 14 ms of one token
    step_max_items=50_000,  # about 3 ms of one token
    max_items_in_row=2_000,
    max_lexer_states=20_000,  # up to 40 MB
    max_grammar_size=100_000,
    verbose_errors=False,
)
"""What a form may cost. Beyond it a request ends with an error, and its worker goes on."""

# One space or one new line with its indentation wherever JSON may have any: a model that likes them too much would write nothing else.
WRITTEN: JsonCompileOptions = {"whitespace_pattern": r"[ ]|\n[ \t]{0,64}", "lenient": False, "coerce_one_of": False}


def structure_checked(structure: Structure | None) -> Structure | None:
    """The same. Raises: RequestError, naming the parameter, for a form that is malformed, too large, or refers outside of itself."""
    if structure is None:
        return None
    size = len(structure.source.encode())
    if size > MAX_FORM_BYTES:
        raise RequestError(structure.param, f"has {size} bytes; the bound is {MAX_FORM_BYTES}")
    grammar = grammar_of(structure)
    check = partial(LLMatcher.validate_grammar_with_warnings, grammar, limits=LIMITS)
    wrong, told = from_library(structure.param, check)
    if wrong:
        raise RequestError(structure.param, f"cannot be kept to: {reason_of(told[0])}")
    return structure


def grammar_of(structure: Structure) -> str:
    """The form as llguidance takes it. Raises: RequestError for a schema that is none, nests too deeply, or refers outside of itself."""
    if structure.kind == "json_object":
        return LLMatcher.grammar_from_json_schema('{"type":"object"}', overrides=WRITTEN)
    if structure.kind == "json_schema":
        return LLMatcher.grammar_from_json_schema(_schema(structure), overrides=WRITTEN)
    if structure.kind == "regex":
        return LLMatcher.grammar_from_regex(structure.source)
    if structure.kind == "choice":
        texts = json.loads(structure.source)
        if len(texts) > MAX_CHOICE_TEXTS:
            raise RequestError(structure.param, f"has {len(texts)} texts; the bound is {MAX_CHOICE_TEXTS}")
        return LLMatcher.grammar_from_lark("start: " + " | ".join(map(json.dumps, texts)))
    return LLMatcher.grammar_from_lark(structure.source)


def from_library(param: str, asked: Callable[[], T]) -> T:
    """What the library gives. Raises: RequestError where a form breaks the library: it is Rust, and panics past every `Exception`."""
    try:
        return asked()
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        raise RequestError(param, "cannot be kept to: the library that would keep to it fails over it") from error


def reason_of(told: str) -> str:
    """What the library says, in one line of bounded length."""
    line = " ".join(told.split())
    return line if len(line) <= MAX_REASON_CHARS else line[:MAX_REASON_CHARS] + "..."


def _schema(structure: Structure) -> str:
    try:
        schema = json.loads(structure.source)
    except (ValueError, RecursionError) as error:
        raise RequestError(structure.param, "is not JSON") from error
    if schema is True:
        return "{}"
    if not isinstance(schema, dict):
        raise RequestError(structure.param, "is no schema")
    _look(schema, structure.param)
    return json.dumps(schema)


def _look(schema: dict[str, Any], param: str) -> None:
    """Raises: RequestError for what nests too deeply, and for a reference to anything but the schema itself."""
    level: list[Any] = [schema]
    for _ in range(MAX_FORM_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                refers = value.get("$ref")
                if isinstance(refers, str) and not refers.startswith("#"):
                    raise RequestError(param, f"refers to {refers[:64]!a}, outside of itself")
                below += value.values()
            elif isinstance(value, list):
                below += value
        if not below:
            return
        level = below
    raise RequestError(param, f"nests deeper than {MAX_FORM_DEPTH} levels")
