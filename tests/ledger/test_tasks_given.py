"""What a model is given of a prompt: one rule for the service and for a replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.encoding import decode_record, encode_record
from tallystick.errors import RequestError
from tallystick.record import MAX_OUTPUTS, Instructions
from tallystick.tasks import chat, completion, embedding, read, usual_target
from tallystick.tasks.reading import MAX_LOGIT_BIAS, MAX_LOGIT_BIASES, MAX_TOKEN_DIGITS, biases_in
from tests.support.vectors.cast import whole_record

SAID = {"role": "user", "content": "Hi"}
TEXT = {"type": "text", "text": "Hi"}


def refused(function: Callable[..., object], prompt: object) -> str:
    with pytest.raises(RequestError) as caught:
        function(prompt)
    return caught.value.param


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (SAID, SAID),
        ({"role": "system", "content": "s"}, {"role": "system", "content": "s"}),
        ({"role": "developer", "content": "s"}, {"role": "system", "content": "s"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        ({"role": "user", "content": ""}, {"role": "user", "content": ""}),
        ({"role": "user", "content": [TEXT, TEXT]}, {"role": "user", "content": "HiHi"}),
        ({"role": "user", "content": (TEXT,)}, SAID),
        ({"role": "user", "content": []}, {"role": "user", "content": ""}),
        ({"role": "user", "content": [{**TEXT, "cache_control": {"type": "ephemeral"}}]}, SAID),
        ({**SAID, "name": "ann", "refusal": None, "tool_calls": [], "annotations": []}, SAID),
    ],
)
def test_a_message_is_given_as_role_and_text(message: dict, turn: dict) -> None:
    assert chat.turns_of({"messages": [message]}) == (turn,)


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ({}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [SAID, {"content": "Hi"}]}, "messages[1].role"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": "a"}]}, "messages[0].content"),
        ({"messages": [{"role": "function", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].type"),
        ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [TEXT, "Hi"]}]}, "messages[0].content[1]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{**TEXT, "later": 1}]}]}, "messages[0].content[0].later"),
        ({"messages": [{**SAID, "tool_calls": [{}]}]}, "messages[0].tool_calls"),
        ({"messages": [{**SAID, "later": None}]}, "messages[0].later"),
        ({"messages": [SAID], "functions": [{"name": "f"}]}, "functions"),
    ],
)
def test_what_no_model_can_be_given_of_a_chat_is_refused_by_its_place(prompt: dict, param: str) -> None:
    assert refused(chat.turns_of, prompt) == param


def test_members_of_a_prompt_that_change_nothing_are_left_out() -> None:
    assert chat.turns_of({"messages": [SAID], "metadata": {"a": 1}, "response_format": {"type": "text"}}) == (SAID,)


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        ("Once", "Once"),
        (["Once"], "Once"),
        ([1, 2], (1, 2)),
        ((1, 2), (1, 2)),
        ([[0]], (0,)),
    ],
)
def test_one_prompt_is_given_as_text_or_as_ids(prompt: object, given: object) -> None:
    assert completion.prompt_of({"prompt": prompt, "logit_bias": {}}) == given


@pytest.mark.parametrize(
    "prompt",
    [None, "", [], [""], [[]], 1, True, [True], [1.0], [-1], [1, "a"], ["a", 1], [None], {"a": 1}, [{"a": 1}], [[["a"]]]],
)  # fmt: skip
@pytest.mark.parametrize(("subject", "function"), [("prompt", completion.prompt_of), ("input", embedding.inputs_of)])
def test_what_is_neither_text_nor_ids_is_refused(prompt: object, subject: str, function: Callable) -> None:
    assert refused(function, {subject: prompt}) == subject


@pytest.mark.parametrize("prompt", [["a", "b"], [[1], [2]], ["a", [1]]])
def test_a_completion_has_one_prompt(prompt: object) -> None:
    assert refused(completion.prompt_of, {"prompt": prompt}) == "prompt"


@pytest.mark.parametrize(
    ("found", "given"),
    [
        ("A", ("A",)),
        (["A", "B"], ("A", "B")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (["A"] * MAX_OUTPUTS, ("A",) * MAX_OUTPUTS),
    ],
)
def test_inputs_are_given_one_by_one(found: object, given: object) -> None:
    assert embedding.inputs_of({"input": found, "metadata": {}}) == given


def test_an_embedding_has_as_many_inputs_as_a_record_has_outputs() -> None:
    assert refused(embedding.inputs_of, {"input": ["A"] * (MAX_OUTPUTS + 1)}) == "input"
    assert refused(embedding.inputs_of, {"input": ["A", [1]]}) == "input"


@pytest.mark.parametrize(("subject", "function"), [("prompt", completion.prompt_of), ("input", embedding.inputs_of)])
def test_a_member_that_may_change_the_answer_is_refused(subject: str, function: Callable) -> None:
    assert refused(function, {subject: "A", "prediction": {"5": 1}}) == "prediction"


@pytest.mark.parametrize(
    ("task", "body", "function"),
    [
        (chat, {"messages": [{"role": "user", "content": [TEXT]}], "metadata": {"a": 1}}, chat.turns_of),
        (completion, {"prompt": [[1, 2]]}, completion.prompt_of),
        (embedding, {"input": ["A", "B"]}, embedding.inputs_of),
    ],
)
def test_a_replay_is_given_what_the_service_gave(task: object, body: dict, function: Callable) -> None:
    reading = read(task.READER, "POST", "/", None, json.dumps(body).encode())
    none = Instructions(system=None, chat_template=None, chat_template_digest=None)
    record = replace(whole_record(), task=task.NAME, prompt=reading.prompt, instructions=none)
    assert function(decode_record(encode_record(record)).prompt) == function(reading.prompt)


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (b'{"messages": []}', "/v1/chat/completions"),
        (b'{"prompt": ""}', "/v1/completions"),
        (b'{"input": ["A"]}', "/v1/embeddings"),
        (b'{"prompt": 1}', "/v1/chat/completions"),
        (b"{", "/v1/chat/completions"),
    ],
)
def test_a_body_tells_where_it_is_sent(body: bytes, target: str) -> None:
    assert usual_target(body) == target


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a", "user", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["messages", "role", "content", "type", "text", "prompt", "input"]), inner, max_size=3
    ),
    max_leaves=12,
)  # fmt: skip


@given(prompt=st.dictionaries(st.sampled_from(["messages", "prompt", "input", "tools"]), VALUES, max_size=2))
def test_any_prompt_is_given_or_refused_by_kind(prompt: dict) -> None:
    for function in (chat.turns_of, completion.prompt_of, embedding.inputs_of):
        with suppress(RequestError):  # anything else fails the test
            assert function(prompt) is not None


def test_biases_are_given_by_the_ids_of_tokens() -> None:
    assert biases_in({"logit_bias": {"5": 1, "17": -0.5}}) == {5: 1.0, 17: -0.5}
    assert biases_in({}) == biases_in({"logit_bias": {}}) == {}


@pytest.mark.parametrize(
    ("biases", "param"),
    [
        ([], "logit_bias"),
        ("5", "logit_bias"),
        ({str(at): 0 for at in range(MAX_LOGIT_BIASES + 1)}, "logit_bias"),
        ({"five": 1}, "logit_bias.five"),
        ({"-5": 1}, "logit_bias.-5"),
        ({"\u0665": 1}, "logit_bias.\u0665"),
        ({"9" * (MAX_TOKEN_DIGITS + 1): 1}, "logit_bias." + "9" * (MAX_TOKEN_DIGITS + 1)),
        ({"5": MAX_LOGIT_BIAS + 1}, "logit_bias.5"),
        ({"5": True}, "logit_bias.5"),
        ({"5": None}, "logit_bias.5"),
        ({"5": 1, "05": 1}, "logit_bias.05"),
    ],
)
def test_what_is_no_bias_is_refused_by_its_token(biases: object, param: str) -> None:
    assert refused(biases_in, {"logit_bias": biases}) == param
