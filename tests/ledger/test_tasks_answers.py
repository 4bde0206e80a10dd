"""What a client received, in the form of the record."""

import json
from dataclasses import replace

import pytest

from tallystick.encoding import encode_outcome
from tallystick.errors import AnswerError
from tallystick.record import MAX_OUTPUTS, RecordFault
from tallystick.tasks import Received, chat_output, is_beginning, received_answer, received_stream
from tests.support.vectors.bindings import binding_vectors

FAULT = RecordFault(code="worker_died", message="The worker died.")
ERROR = {"message": FAULT.message, "type": "server_error", "param": None, "code": FAULT.code}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}


def choice(index: int = 0, content: object = "A tally.", **changes: object) -> dict[str, object]:
    return {"index": index, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"} | changes


def piece(delta: dict[str, object], index: int = 0, **changes: object) -> dict[str, object]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": None} | changes]}


def test_a_whole_answer_and_its_stream_are_the_same():
    answer = received_answer({"choices": [choice()]})
    stream = [piece({"role": "assistant", "content": ""}), piece({"content": "A "}), piece({"content": "tally."})]
    assert received_stream([*stream, piece({}, finish_reason="stop")]) == answer
    assert answer == Received(outputs=(chat_output("A tally.", "stop"),), error=None, whole=True)


def test_a_call_of_a_tool_is_joined_from_its_pieces():
    whole = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    answer = received_answer({"choices": [choice(message=whole, finish_reason="tool_calls")]})
    parts = [
        {"index": 0, "id": "call_1", "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": " 1}"}},
    ]
    stream = [piece({"tool_calls": [part]}) for part in parts]
    assert received_stream([*stream, piece({}, finish_reason="tool_calls")]) == answer
    assert encode_outcome(None, answer.outputs)


def test_choices_stand_in_their_order_however_they_came():
    answer = received_answer({"choices": [choice(1, "B"), choice(0, "A")]})
    stream = [piece({"content": "B"}, 1), piece({"content": "A"}, 0)]
    ends = [piece({}, at, finish_reason="stop") for at in (1, 0)]
    assert answer.outputs == (chat_output("A", "stop"), chat_output("B", "stop"))
    assert received_stream([*stream, *ends]) == answer


def test_log_probabilities_are_joined():
    first, second = {"token": "A", "logprob": -0.5}, {"token": "B", "logprob": -1.0}
    answer = received_answer(
        {"choices": [choice(content="AB", logprobs={"content": [first, second], "refusal": None})]}
    )
    stream = [
        piece({"content": "A"}, logprobs={"content": [first], "refusal": None}),
        piece({"content": "B"}, logprobs={"content": [second], "refusal": None}),
        piece({}, finish_reason="stop"),
    ]
    assert received_stream(stream) == answer


def test_an_error_is_an_outcome_of_its_own():
    assert received_answer({"error": ERROR}) == Received(outputs=(), error=FAULT, whole=True)
    broken = received_stream([piece({"content": "A tally"}), {"error": ERROR}])
    assert broken == Received(outputs=(chat_output("A tally", None),), error=FAULT, whole=True)


@pytest.mark.parametrize(
    "events",
    [[], [piece({"content": "A"})], [piece({"content": "A"}, finish_reason="stop"), piece({"content": "B"}, 1)]],
)
def test_a_stream_without_its_end_is_not_whole(events):
    assert not received_stream(events).whole


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (None, "body"),
        ({}, "choices"),
        ({"choices": []}, "choices"),
        ({"choices": {}}, "choices"),
        ({"choices": [1]}, "choices"),
        ({"choices": [choice(1)]}, "choices"),
        ({"choices": [choice(0), choice(0)]}, "choices"),
        ({"choices": [choice(True)]}, "choices.index"),
        ({"choices": [choice(MAX_OUTPUTS)]}, "choices.index"),
        ({"choices": [choice(message=None)]}, "choices[0].message"),
        ({"choices": [choice(content=1)]}, "choices[0].message.content"),
        ({"choices": [choice(finish_reason=1)]}, "choices[0].finish_reason"),
        ({"choices": [choice(message={"tool_calls": [{}]})]}, "choices[0].message.tool_calls.function"),
        ({"error": "x"}, "error"),
        ({"error": {"code": None, "message": "x"}}, "error.code"),
        ({"error": {"code": "x"}}, "error.message"),
    ],
)
def test_what_is_no_answer_is_refused_by_its_part(document, part):
    with pytest.raises(AnswerError) as caught:
        received_answer(document)
    assert caught.value.part == part


@pytest.mark.parametrize(
    ("events", "part"),
    [
        ([None], "event"),
        ([{"choices": 1}], "choices"),
        ([{"choices": [{"index": 0}]}], "choices.delta"),
        ([piece({}, -1)], "choices.index"),
        ([piece({}, MAX_OUTPUTS)], "choices.index"),
        ([piece({"content": "x"}, 1)], "choices"),
        ([piece({"content": 1})], "choices.delta.content"),
        ([piece({"tool_calls": [{"index": 10**9}]})], "choices.delta.tool_calls.index"),
        ([piece({"tool_calls": [{"index": 0, "function": 1}]})], "choices.delta.tool_calls.function"),
    ],
)
def test_what_is_no_stream_is_refused_by_its_part(events, part):
    with pytest.raises(AnswerError) as caught:
        received_stream(events)
    assert caught.value.part == part


RECORDED = (
    chat_output("A tally stick.", "stop"),
    chat_output(None, "tool_calls", [{"id": "c", "name": "n", "arguments": "{}"}]),
)


@pytest.mark.parametrize(
    ("outputs", "begins"),
    [
        ((), True),
        ((chat_output("", None),), True),
        ((chat_output(None, None),), True),
        ((chat_output("A tally", None),), True),
        (RECORDED, True),
        ((chat_output("A tally", None), chat_output(None, None, [{"id": "c", "name": "n", "arguments": "{"}])), True),
        ((chat_output("A tally!", None),), False),
        ((chat_output("A tally stick. And", None),), False),
        ((chat_output("A", None), chat_output("x", None)), False),
        ((chat_output("A", None), chat_output(None, None, [{"id": "d", "name": "n", "arguments": ""}])), False),
        ((*RECORDED, chat_output("", None)), False),
        ((replace(RECORDED[0], kind="text", content="A tally stick."),), False),
    ],
)
def test_what_arrived_of_a_broken_stream_begins_the_record_or_does_not(outputs, begins):
    assert is_beginning(Received(outputs=outputs, error=None, whole=False), RECORDED) is begins


def test_every_cut_of_a_stream_begins_what_was_recorded():
    texts = ["A ", "tally ", "stick."]
    events = [piece({"role": "assistant", "content": ""}), *(piece({"content": text}) for text in texts)]
    for end in range(len(events) + 1):
        assert is_beginning(received_stream(events[:end]), RECORDED)


def test_the_vectors_of_answers_differ_from_one_another():
    hashes = {case["response_hash"] for case in binding_vectors()["responses"]}
    assert len(hashes) == len(binding_vectors()["responses"])
    assert json.dumps(binding_vectors())
