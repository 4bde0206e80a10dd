"""Forms of an answer that are refused before anybody computes, by the name of the parameter that asks for them."""

import json
import subprocess
import sys

import pytest

from tallystick.errors import RequestError
from tallystick.tasks.structure import Structure, structure_in
from tallystick_platform.tasks.structure import (
    MAX_CHOICE_TEXTS,
    MAX_FORM_BYTES,
    MAX_FORM_DEPTH,
    MAX_REASON_CHARS,
    from_library,
    structure_checked,
)
from tests.support.schemas import FEATURES, schemas

OBJECT = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}, "required": ["b"]}


def described(schema, **beside):
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}
        | beside
    }


def nested(levels):
    schema = {"type": "integer"}
    for _ in range(levels):
        schema = {"anyOf": [schema]}
    return schema


def refused(prompt=None, asked=None):
    with pytest.raises(RequestError) as caught:
        structure_checked(structure_in(prompt or {}, asked or {}))
    return caught.value.param, caught.value.reason


@pytest.mark.parametrize(
    ("prompt", "asked", "kind", "param"),
    [
        ({"response_format": {"type": "json_object"}}, {}, "json_object", "response_format"),
        (described(OBJECT), {}, "json_schema", "response_format.json_schema.schema"),
        ({"guided_json": OBJECT}, {}, "json_schema", "guided_json"),
        ({}, {"guided_json": json.dumps(OBJECT)}, "json_schema", "guided_json"),
        ({}, {"guided_regex": "[a-z]+"}, "regex", "guided_regex"),
        ({}, {"guided_choice": ["yes", "no"]}, "choice", "guided_choice"),
        ({}, {"guided_grammar": 'start: "a"'}, "grammar", "guided_grammar"),
        ({"structured_outputs": {"json": OBJECT, "regex": None}}, {}, "json_schema", "structured_outputs.json"),
        ({"structured_outputs": {"choice": ["a"]}}, {}, "choice", "structured_outputs.choice"),
        ({"structured_outputs": {"json_object": True}}, {}, "json_object", "structured_outputs.json_object"),
    ],
)
def test_each_name_of_a_form_is_understood(prompt, asked, kind, param):
    found = structure_checked(structure_in(prompt, asked))
    assert (found.kind, found.param) == (kind, param)


@pytest.mark.parametrize(
    "prompt", [{}, {"response_format": {"type": "text"}}, {"response_format": None}, {"structured_outputs": {}}]
)
def test_any_text_is_no_form(prompt):
    assert structure_checked(structure_in(prompt, {})) is None


def test_members_of_a_schema_stay_in_the_order_in_which_they_were_sent():
    assert structure_in(described(OBJECT), {}).source.index('"b"') < structure_in(described(OBJECT), {}).source.index(
        '"a"'
    )


@pytest.mark.parametrize(
    ("prompt", "asked", "param"),
    [
        ({"response_format": {"type": "xml"}}, {}, "response_format.type"),
        ({"response_format": {}}, {}, "response_format.type"),
        ({"response_format": "json"}, {}, "response_format"),
        ({"response_format": {"type": "json_object", "json_schema": {}}}, {}, "response_format.json_schema"),
        (described(OBJECT, extra=1), {}, "response_format.extra"),
        ({"response_format": {"type": "json_schema"}}, {}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            {},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "loose": 1}}},
            {},
            "response_format.json_schema.loose",
        ),
        (described(False), {}, "response_format.json_schema.schema"),
        (described(7), {}, "response_format.json_schema.schema"),
        ({}, {"guided_json": "{"}, "guided_json"),
        ({}, {"guided_json": "[" * 5_000}, "guided_json"),
        ({}, {"guided_regex": 7}, "guided_regex"),
        ({}, {"guided_choice": []}, "guided_choice"),
        ({}, {"guided_choice": ["a", ""]}, "guided_choice"),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, {}, "structured_outputs"),
        ({"structured_outputs": {"structural_tag": "a"}}, {}, "structured_outputs.structural_tag"),
        ({"response_format": {"type": "json_object"}}, {"guided_regex": "a"}, "guided_regex"),
    ],
)
def test_what_is_no_form_is_refused_by_name(prompt, asked, param):
    assert refused(prompt, asked)[0] == param


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"guided_json": {"type": "unheard-of"}}, "Invalid type"),
        ({"guided_json": {"not": {"type": "string"}}}, "Unimplemented keys"),
        ({"guided_json": {"type": "array", "uniqueItems": True}}, "Unimplemented keys"),
        ({"guided_json": {"not": {}, "x-guidance": {"lenient": True}}}, "Unimplemented keys"),
        ({"guided_json": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, "oneOf"),
        ({"guided_json": {"type": "string", "format": "unheard-of"}}, "Unknown format"),
        ({"guided_json": {"type": "string", "pattern": "(?=a)b"}}, "look-around"),
        ({"guided_json": {"type": "string", "pattern": "("}}, "regex"),
        ({"guided_json": {"$ref": "#/$defs/nowhere"}}, "does not exist"),
        ({"guided_json": {"minimum": 5, "maximum": 4, "type": "integer"}}, "cannot be kept to"),
        ({"guided_regex": "("}, "regex"),
        ({"guided_grammar": "start: nothing"}, "cannot be kept to"),
        ({"guided_grammar": "no grammar"}, "cannot be kept to"),
    ],
)
def test_what_cannot_be_kept_to_is_refused_and_never_let_pass(asked, reason):
    (name,) = asked
    param, told = refused(asked)
    assert param == name
    assert reason in told
    assert len(told) < MAX_REASON_CHARS + 60


@pytest.mark.parametrize(
    "refers",
    [
        "http://example.com/schema",
        "file:///etc/passwd",
        "other.json#/a",
        "//host/x",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_a_schema_that_refers_outside_of_itself_is_refused(refers):
    param, reason = refused({"guided_json": {"properties": {"a": {"items": {"$ref": refers}}}}})
    assert param == "guided_json"
    assert "outside of itself" in reason


def test_a_schema_may_refer_to_itself():
    schema = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}
    assert structure_checked(structure_in({"guided_json": schema}, {})) is not None


@pytest.mark.parametrize(
    ("most", "more", "reason"),
    [
        (("guided_regex", "a" * MAX_FORM_BYTES), ("guided_regex", "a" * (MAX_FORM_BYTES + 1)), "bytes"),
        (("guided_json", nested(MAX_FORM_DEPTH // 2 - 1)), ("guided_json", nested(MAX_FORM_DEPTH)), "nests deeper"),
        (("guided_choice", ["a"] * MAX_CHOICE_TEXTS), ("guided_choice", ["a"] * (MAX_CHOICE_TEXTS + 1)), "texts"),
    ],
    ids=["bytes", "levels", "texts"],
)
def test_the_bounds_of_a_form(most, more, reason):
    assert structure_checked(structure_in(dict([most]), {})) is not None
    param, told = refused(dict([more]))
    assert (param, reason in told) == (more[0], True)


def test_a_schema_that_explodes_is_refused_in_little_time():
    every = [{"anyOf": [{"properties": {f"a{i}_{j}": {"type": "integer"}}} for j in range(6)]} for i in range(10)]
    assert "too large" in refused({"guided_json": {"allOf": every}})[1]
    texts = [{"type": "string", "pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 12)]
    assert "regex" in refused({"guided_json": {"allOf": texts}})[1]


INNER = '"prefixItems": {"a": {"b": ["a"]}, "patternProperties": [-1000000000000000000]}'
BREAKS = '{"maxProperties": {"properties": "object", ' + INNER + ', "\u00e9": 1e308}}'


def test_a_form_over_which_the_library_panics_is_refused_as_any_other():
    param, reason = refused({}, {"guided_grammar": f"start: %json {BREAKS}"})
    assert (param, "fails over it" in reason) == ("guided_grammar", True)
    assert refused({}, {"guided_json": BREAKS})[0] == "guided_json"


def test_what_is_no_panic_of_the_library_is_raised_as_it_is():
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_library("guided_json", interrupted)


def test_every_schema_of_the_suite_is_taken():
    found = schemas(200)
    assert {name.partition("-")[2] for name, _ in found} == set(FEATURES)
    for _, schema in found:
        assert structure_checked(structure_in({"guided_json": schema}, {})) is not None


def test_a_kind_that_is_none_is_no_structure():
    with pytest.raises(ValueError, match="no kind"):
        Structure(kind="xml")


def test_forms_are_looked_at_without_torch():
    code = (
        "import sys, tallystick_platform.tasks.structure as s; from tallystick.tasks.structure import Structure;"
        "s.structure_checked(Structure(kind='regex', source='a')); print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
