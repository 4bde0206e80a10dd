"""What a request asks, and where a record says otherwise."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.encoding import decode_record, encode_record
from tallystick.errors import RequestError
from tallystick.hashing import keccak256
from tallystick.record import MAX_DEPTH, BlobRef, Instructions, Record
from tallystick.tasks import READERS, Reading, disagreements, read
from tallystick.tasks.comparison import MAX_SHOWN_CHARS, names_model, same_value
from tallystick.tasks.reading import MAX_BODY_BYTES, path_segments
from tests.support.vectors.bindings import binding_vectors
from tests.support.vectors.cast import accepted_record, whole_record
from tests.support.vectors.tasks import task_vectors

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
REF = BlobRef(digest=keccak256(b"value"), length=5_000, sealed_digest=keccak256(b"blob"))


def chat(body: object) -> Reading:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read("chat/openai/1", "POST", "/v1/chat/completions", "application/json", data)


def read_again(record: Record) -> Reading:
    request = record.request
    return read(request.reader, record.http.method, request.target, request.content_type, request.body)


@pytest.mark.parametrize("record", [whole_record(), accepted_record()], ids=lambda record: record.task)
def test_a_record_agrees_with_its_request_also_after_it_was_encoded(record):
    assert disagreements(record, read_again(record)) == []
    decoded = decode_record(encode_record(record))
    assert disagreements(decoded, read_again(decoded)) == []


REQUESTS = [*binding_vectors()["requests"], *task_vectors()["requests"]]


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case["name"])
def test_a_record_of_any_task_holds_what_its_reader_gives(case):
    wire = (case["method"], case["target"], case["content_type"], bytes.fromhex(case["body"]))
    reading = read(case["reader"], *wire)
    whole = whole_record().instructions
    told = replace(whole, system=reading.system, chat_template=reading.chat_template)
    said = None if reading.prompt is None else told
    record = replace(whole_record(), prompt=reading.prompt, instructions=said, parameters=reading.asked, model=None)
    decoded = decode_record(encode_record(record))
    assert disagreements(decoded, reading) == []
    for name in reading.asked:
        rest = {other: value for other, value in decoded.parameters.items() if other != name}
        (found,) = disagreements(replace(decoded, parameters=rest), reading)
        assert (found.what, found.found) == (f"parameters.{name}", "nothing")


def test_every_member_of_a_body_goes_to_one_place():
    members = {
        "temperature": 1,
        "seed": None,
        "tools": [{"type": "function"}],
        "response_format": {},
        "later": [1, "a", None, True],
        "n": 1,
    }
    reading = chat(HI | members | {"stream": True, "stream_options": {"include_usage": True}})
    assert reading.prompt == {"messages": HI["messages"], "tools": [{"type": "function"}], "response_format": {}}
    assert reading.asked == {"temperature": 1, "later": [1, "a", None, True], "n": 1}
    assert (reading.system, reading.model) == (None, "m")


def test_messages_keep_members_that_nobody_knows_yet():
    messages = [{"role": "tool", "content": None, "later": {"deep": [1.0, None]}}, {"role": "invented", "content": ""}]
    assert chat({"messages": messages}).prompt == {"messages": messages}


@pytest.mark.parametrize(
    ("messages", "system"),
    [
        ([], None),
        ([{"role": "user", "content": "Hi"}], None),
        ([{"role": "system", "content": ""}], ""),
        ([{"role": "system", "content": None}], ""),
        ([{"role": "system"}], ""),
        (
            [
                {"role": "system", "content": "a"},
                {"role": "user", "content": "b"},
                {"role": "developer", "content": "c"},
            ],
            "a\n\nc",
        ),
        ([{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
        ([{"role": "system", "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]}], "b"),
    ],
)
def test_system_instructions_are_the_texts_of_their_messages(messages, system):
    assert chat({"messages": messages}).system == system


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": None, "max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": None}, {"max_tokens": 5}),
        ({"stop": "x"}, {"stop": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop": ["x", "y"]}),
        ({"stop": []}, {"stop": []}),
        ({"stop": None}, {}),
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"store": False, "user": ""}, {"store": False, "user": ""}),
    ],
)
def test_parameters_are_taken_as_given_under_the_names_of_records(given, asked):
    found = chat(HI | given).asked
    assert found == asked
    assert [type(value) for value in found.values()] == [type(value) for value in asked.values()]


def test_formatting_and_order_of_a_body_change_nothing():
    plain = json.dumps(HI | {"seed": 1}).encode()
    indented = b"\xef\xbb\xbf" + json.dumps({"seed": 1, **HI}, indent=2).replace("\n", "\r\n").encode()
    assert chat(plain) == chat(indented)


@pytest.mark.parametrize("reader", READERS)
@given(body=st.binary(max_size=60))
def test_whatever_is_sent_is_read_or_refused_by_kind(reader, body):
    for method in ("GET", "POST"):
        for target in ("", "/v1/exports/e/files/a", "/v1/models/m/exports"):
            with suppress(RequestError):  # anything else fails the test
                assert read(reader, method, target, None, body).asked is not None


def test_a_body_larger_than_any_record_holds_is_refused():
    with pytest.raises(RequestError, match=str(MAX_BODY_BYTES)):
        chat(b" " * (MAX_BODY_BYTES + 1))


def test_a_value_nests_as_deep_as_a_record_and_no_deeper():
    def nested(levels: int) -> object:
        value: object = 1
        for _ in range(levels):
            value = [value]
        return value

    around = 4  # the prompt, its messages, the message, and the level that holds the number
    record = replace(
        whole_record(),
        prompt=dict(chat({"messages": [{"role": "u", "x": nested(MAX_DEPTH - around + 1)}]}).prompt or {}),
    )
    assert encode_record(record)
    with pytest.raises(RequestError, match="deeper"):
        chat({"messages": [{"role": "u", "x": nested(MAX_DEPTH - around + 2)}]})


@pytest.mark.parametrize("integer", [2**63 - 1, -(2**63)])
def test_integers_of_64_bits_are_read(integer):
    assert chat(HI | {"seed": integer}).asked == {"seed": integer}


def test_a_target_is_split_before_it_is_decoded():
    assert path_segments("/v1/a%2Fb/c%3Fd?x=/y") == ["v1", "a/b", "c?d"]


RECORD = whole_record()
CHANGES = [
    ("prompt", {"prompt": {"messages": [{"role": "user", "content": "Something else"}]}}),
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": {**RECORD.prompt, "tools": []}}),
    ("instructions.system", {"instructions": replace(RECORD.instructions, system="Be rude.")}),
    ("instructions.system", {"instructions": replace(RECORD.instructions, system=None)}),
    ("instructions.system", {"instructions": None}),
    ("parameters.seed", {"parameters": {**RECORD.parameters, "seed": 12}}),
    ("parameters.seed", {"parameters": {**RECORD.parameters, "seed": "11"}}),
    ("parameters.stop", {"parameters": {**RECORD.parameters, "stop": []}}),
    ("parameters.stop", {"parameters": {**RECORD.parameters, "stop": "\n\n"}}),
    ("parameters.temperature", {"parameters": {**RECORD.parameters, "temperature": 0.70001}}),
    ("parameters.top_p", {"parameters": {name: value for name, value in RECORD.parameters.items() if name != "top_p"}}),
    ("parameters.max_tokens", {"parameters": {**RECORD.parameters, "max_tokens": None}}),
    ("model.id", {"model": replace(RECORD.model, id="smollm2-1.7b-instruct")}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes"), CHANGES)
def test_each_thing_that_a_record_says_otherwise_is_named(what, changes):
    (found,) = disagreements(replace(RECORD, **changes), read_again(RECORD))
    assert found.what == what
    assert found.expected != found.found


def test_a_changed_request_is_found_as_a_changed_record_is():
    body = RECORD.request.body.replace(b'"seed":11', b'"seed":12')
    (found,) = disagreements(RECORD, chat(body))
    assert (found.what, found.expected, found.found) == ("parameters.seed", "12", "11")


def test_parameters_that_nobody_asked_for_may_stand_beside_those_asked():
    record = replace(RECORD, parameters={**RECORD.parameters, "min_p": 0.0})
    assert disagreements(record, read_again(RECORD)) == []


def test_a_request_without_a_model_or_a_record_without_one_says_nothing_of_it():
    assert disagreements(replace(RECORD, model=None), read_again(RECORD)) == []
    assert disagreements(RECORD, replace(read_again(RECORD), model=None)) == []


@pytest.mark.parametrize("field", ["prompt", "instructions"])
def test_a_field_in_a_blob_is_not_taken_for_agreement(field):
    with pytest.raises(RequestError) as caught:
        disagreements(replace(RECORD, **{field: REF}), read_again(RECORD))
    assert caught.value.param == field


def test_a_long_text_is_shown_by_its_digest():
    reading = replace(read_again(RECORD), system="x" * 5_000)
    (found,) = disagreements(RECORD, reading)
    assert "keccak256" in found.expected
    assert len(found.expected) < 2 * MAX_SHOWN_CHARS


def test_what_is_shown_of_a_disagreement_cannot_move_a_terminal():
    record = replace(
        RECORD, instructions=Instructions(system="\x1b[2J\n", chat_template=None, chat_template_digest=None)
    )
    (found,) = disagreements(record, read_again(RECORD))
    assert found.found.isprintable()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True), (0, -0.0, True), (1, True, False), (0, False, False), (True, True, True), (None, None, True), (None, False, False),
        ("1", 1, False), ([1, 2], (1.0, 2), True), ([1], [1, 2], False), ({"a": 1}, {"a": 1.0}, True), ({"a": 1}, {"b": 1}, False),
        ({"a": None}, {}, False), (2**53 + 1, float(2**53), False), (b"a", "a", False), ("ab", ["a", "b"], False), (b"a", b"a", True),
    ],
)  # fmt: skip
def test_values_are_compared_by_what_they_are(one, other, same):
    assert same_value(one, other) is same
    assert same_value(other, one) is same


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("smollm2-135m-instruct", True),
        ("SmolLM2-135M-Instruct", True),
        ("smollm2-135m-instruct@" + keccak256(b"weights").hex()[:12], True),
        ("smollm2-135m-instruct@" + keccak256(b"other").hex()[:12], False),
        ("smollm2-135m", False),
        ("smollm2-135m-instruct@" + keccak256(b"weights").hex()[:12].upper(), False),
        ("smollm2-135m-instru\u00e7t", False),
        ("ann/smollm2-135m-instruct", False),
        ("", False),
    ],
)
def test_a_reference_names_the_recorded_model_or_does_not(reference, named):
    assert names_model(reference, RECORD.model) is named


@pytest.mark.parametrize(
    ("target", "model", "file"),
    [
        ("/v1/models/tiny/files/config.json", "tiny", "config.json"),
        ("/v1/models/acme/tiny@33333333/files/sub/a%20b.txt?x=1", "acme/tiny@33333333", "sub/a b.txt"),
        ("/v1/models/acme/files/files/x", "acme", "files/x"),
        ("/v1/models/files/files/x", "files", "x"),
    ],
)
def test_a_models_own_file_is_read_from_the_address(target, model, file):
    assert read("files/tallystick/1", "GET", target, None, b"") == Reading(
        prompt=None, system=None, asked={"file": file}, model=model
    )


@pytest.mark.parametrize(
    ("method", "target", "body", "param"),
    [
        ("POST", "/v1/models/tiny/files/a", b"", "method"),
        ("GET", "/v1/models/tiny/files/a", b"x", "body"),
        ("GET", "/v1/models/tiny/files", b"", "target"),
        ("GET", "/v1/models/a/b/c/files/a", b"", "target"),
        ("GET", "/v1/exports/e/files/a", b"", "target"),
        ("GET", "/v1/models/files/a", b"", "target"),
    ],
)
def test_what_is_no_models_own_file_is_refused(method, target, body, param):
    with pytest.raises(RequestError) as refused:
        read("files/tallystick/1", method, target, None, body)
    assert refused.value.param == param
