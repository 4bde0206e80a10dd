"""Answers that keep to a form, in both engines that draw: held to a validator of another project."""

import json
import re

import pytest
from tokenizers import Tokenizer, models

from tallystick.tasks.structure import Structure
from tallystick_platform.engine.forms import Forms
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.errors import ParameterOutOfRange
from tallystick_platform.protocol import Call, Failed, Finished, Piece
from tallystick_platform.tasks import CHAT
from tallystick_platform.tasks.drawing import encode_call
from tests.support.schemas import fault_of, schemas
from tests.support.tiny_causal import write_tiny_causal
from tests.support.tiny_model import draw, write_tiny_model

TURNS = ({"role": "user", "content": "Hello"},)
SAMPLED = {"temperature": 0.9, "max_tokens": 300, "stop": ()}
SMALL = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
ENDLESS = "(a|b)*a(a|b){30}c"


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    root = tmp_path_factory.mktemp("forms")
    folders = {
        "audit": write_tiny_model(root / "tiny", max_position_embeddings=2_048),
        "causal": write_tiny_causal(root / "causal", "qwen2"),
    }
    scheduler = SchedulerConfig(max_active=8, max_waiting=64)
    return {
        kind: load_engine(
            EngineConfig(model=str(folder), models_dir=root, device="cpu", scheduler=scheduler, threads=1),
            lambda *_: None,
        )
        for kind, folder in folders.items()
    }


def form(kind, source="", param="response_format"):
    return Structure(kind=kind, source=source if isinstance(source, str) else json.dumps(source), param=param)


def call(number, structure, given=None, **changes):
    told = {**SAMPLED, "seed": number, **changes}
    return Call(
        number.to_bytes(16), CHAT.name, encode_call(draw(**told), turns=TURNS, structure=structure, **(given or {}))
    )


def run(engine, *calls):
    """Texts of each answer, and the end of each request."""
    for one in calls:
        engine.submit(one)
    texts, ends = {}, {}
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                at = (event.request_id, event.output)
                texts[at] = texts.get(at, "") + event.data
            elif isinstance(event, Finished | Failed):
                ends[event.request_id] = event
    return [(texts.get((one.request_id, 0), ""), ends[one.request_id]) for one in calls]


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_every_completed_answer_is_of_its_schema(engines, kind):
    cases = schemas(200)[:: 7 if kind == "audit" else 20]
    calls = [call(at, form("json_schema", schema)) for at, (_, schema) in enumerate(cases)]
    found = run(engines[kind], *calls)
    complete = [
        (name, schema, text)
        for (name, schema), (text, end) in zip(cases, found, strict=True)
        if end.finish_reason == "stop"
    ]
    assert len(complete) > 0.8 * len(cases)
    assert [(name, fault, text) for name, schema, text in complete if (fault := fault_of(text, schema))] == []


@pytest.mark.parametrize("kind", ["audit", "causal"])
def test_other_forms_are_kept_to(engines, kind):
    forms = [
        form("regex", "[a-c]{2,9}-[0-9]{3}"),
        form("choice", ["left", "leftmost", 'r"ig\\ht\nnow']),
        form("grammar", 'start: "(" start ")" | "x"'),
        form("json_object"),
    ]
    found = run(engines[kind], *(call(at, one, max_tokens=40) for at, one in enumerate(forms)))
    texts = [text for text, _ in found]
    assert re.fullmatch("[a-c]{2,9}-[0-9]{3}", texts[0])
    assert texts[1] in json.loads(forms[1].source)
    assert found[1][1].finish_reason == "stop"
    assert re.fullmatch(r"\(*x?\)*", texts[2])
    assert texts[3].startswith("{")


def test_an_answer_ends_with_its_form(engines):
    (text, end), (other, cut) = run(
        engines["audit"], call(1, form("json_schema", SMALL)), call(2, form("json_schema", SMALL), max_tokens=2)
    )
    assert json.loads(text)["a"] in (True, False)
    assert (end.finish_reason, cut.finish_reason) == ("stop", "length")
    assert cut.usage["output_tokens"] == 2
    with pytest.raises(ValueError, match=r"."):
        json.loads(other)


def test_a_form_does_not_end_where_it_may_go_on_unless_the_model_ends(engines):
    ((text, end),) = run(engines["audit"], call(1, form("regex", "a*"), max_tokens=3, given={"logit_bias": {}}))
    assert set(text) <= {"a"}
    assert end.finish_reason in ("stop", "length")


def test_each_of_several_answers_keeps_to_the_form(engines):
    engine, many = engines["audit"], call(1, form("json_schema", SMALL), n=4)
    engine.submit(many)
    texts = {}
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                texts[event.output] = texts.get(event.output, "") + event.data
    assert [fault_of(texts[at], SMALL) for at in range(4)] == [None] * 4


def test_a_form_and_neighbours_do_not_change_each_other(engines):
    structured, plain = call(1, form("json_schema", SMALL)), call(2, None, max_tokens=12)
    alone = [run(engines["audit"], one)[0] for one in (structured, plain)]
    beside = run(engines["audit"], plain, structured, call(3, form("regex", "[ab]{30}")))
    assert [text for text, _ in (beside[1], beside[0])] == [text for text, _ in alone]


def test_shown_tokens_of_a_form_are_those_of_its_text(engines):
    engine = engines["audit"]
    engine.submit(call(1, form("json_schema", SMALL), given={"logprobs": 2}))
    data, text = b"", ""
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, Piece):
                text += event.data
                data += b"".join(entry.data for entry in event.logprobs)
                assert all(len(entry.top) == 2 for entry in event.logprobs)
    assert data.decode() == text


def test_a_form_that_costs_too_much_ends_its_own_request_with_an_error(engines):
    wide = {
        "anyOf": [
            {"type": "object", "properties": {f"p{at}_{of}": {"type": "string"} for of in range(40)}}
            for at in range(60)
        ]
    }
    bad, good = call(1, form("json_schema", wide, "guided_json")), call(2, form("json_schema", SMALL))
    (_, failed), (text, _) = run(engines["audit"], bad, good)
    assert (failed.kind, failed.param) == ("parameter-rejected", "guided_json")
    assert "cannot be kept to" in failed.reason
    assert fault_of(text, SMALL) is None


def test_an_expression_with_very_many_states_is_drawn_from_or_refused_and_never_hangs(engines):
    ((text, end),) = run(engines["audit"], call(1, form("regex", ENDLESS), max_tokens=60))
    assert isinstance(end, Finished) or end.kind == "parameter-rejected"
    assert set(text) <= set("abc")


def test_a_schema_that_a_record_names_and_this_release_refuses_is_refused_by_the_engine_too(engines):
    ((_, failed),) = run(engines["audit"], call(1, form("json_schema", {"$ref": "http://example.com"}, "guided_json")))
    assert (failed.kind, failed.param) == ("parameter-rejected", "guided_json")


def test_a_form_over_which_the_library_panics_costs_its_own_request_alone(engines):
    broken = 'start: %json {"maxProperties": {"properties": "object", "prefixItems": {"a": {"b": ["a"]}, '
    broken += '"patternProperties": [-1000000000000000000]}, "\u00e9": 1e308}}'
    (_, failed), (text, _) = run(
        engines["audit"], call(1, form("grammar", broken, "guided_grammar")), call(2, form("json_schema", SMALL))
    )
    assert (failed.kind, failed.param) == ("parameter-rejected", "guided_grammar")
    assert fault_of(text, SMALL) is None


def test_a_model_whose_tokenizer_is_not_understood_refuses_forms_by_name():
    forms = Forms(Tokenizer(models.WordPiece(vocab={"a": 0, "b": 1}, unk_token="a")), {1})
    with pytest.raises(ParameterOutOfRange, match=r"'guided_regex' .*tokenizer is not understood"):
        forms.of(form("regex", "a", "guided_regex"))


def test_tokens_that_the_tokenizer_does_not_name_are_never_allowed(engines):
    codec = engines["audit"]._codec
    allowed = codec.forms.of(form("regex", "a+")).allowed(10_000)
    known = allowed.nonzero().flatten().tolist()
    assert all(set(codec.token_bytes[token]) <= set(b"a") for token in known)
    assert max(known) < len(codec.token_bytes)
