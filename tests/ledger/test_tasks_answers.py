"""What a client received, in the form of the record."""

import json
import struct
from base64 import b64encode

import pytest

from tallystick.encoding import encode_outcome
from tallystick.errors import AnswerError
from tallystick.record import MAX_OUTPUTS, RecordFault
from tallystick.tasks import Received, chat_output, received_answer, received_stream
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
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


def test_the_vectors_of_answers_differ_from_one_another():
    hashes = {case["response_hash"] for case in binding_vectors()["responses"]}
    assert len(hashes) == len(binding_vectors()["responses"])
    assert json.dumps(binding_vectors())


def completed(*choices: dict[str, object]) -> dict[str, object]:
    return {"object": "text_completion", "choices": list(choices)}


def embedded(*vectors: object, **changes: object) -> dict[str, object]:
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return {"object": "list", "data": data} | changes


def test_a_completion_and_its_stream_are_the_same():
    answer = received_answer(completed({"index": 0, "text": "A tally.", "finish_reason": "stop", "logprobs": None}))
    stream = [completed({"index": 0, "text": text, "finish_reason": None}) for text in ("A ", "tally.")]
    end = [completed({"index": 0, "text": "", "finish_reason": "stop"}), completed()]
    assert received_stream([*stream, *end]) == answer
    assert answer == Received(outputs=(text_output("A tally.", "stop"),), error=None, whole=True)
    assert encode_outcome(None, answer.outputs)


def test_a_completion_of_no_text_holds_the_empty_text():
    event = completed({"index": 0, "finish_reason": "stop"})
    assert received_stream([event]).outputs == (text_output("", "stop"),)


@pytest.mark.parametrize(
    "numbers", [[0.1, -2.5, 1e-45, 0.0], [1, 2], [], [1 + 2**-24]], ids=["floats", "whole", "none", "between two"]
)
def test_an_embedding_is_the_same_however_it_travelled(numbers):
    data = struct.pack(f"<{len(numbers)}f", *numbers)
    as_numbers = received_answer(embedded(numbers))
    assert as_numbers == Received(outputs=(vector_output(data),), error=None, whole=True)
    if data:
        assert received_answer(embedded(b64encode(data).decode())) == as_numbers
    assert encode_outcome(None, as_numbers.outputs)


def test_embeddings_stand_in_the_order_of_their_inputs():
    answer = embedded([1.0], [2.0])
    answer["data"].reverse()
    assert received_answer(answer) == received_answer(embedded([1.0], [2.0]))


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (completed(), "choices"),
        (completed({"index": 0}), "choices[0].text"),
        (completed({"index": 0, "text": "A", "finish_reason": 1}), "choices[0].finish_reason"),
        (completed({"index": 1, "text": "A"}), "choices"),
        ({"object": "list", "data": []}, "choices"),
        ({"object": "list", "data": [{"object": "model"}]}, "choices"),
        ({"object": ["list"], "data": 1}, "choices"),
        (embedded([1.0], None), "data[1].embedding"),
        (embedded(["1"]), "data[0].embedding"),
        (embedded([True]), "data[0].embedding"),
        (embedded([1e39]), "data[0].embedding"),
        (embedded([10**400]), "data[0].embedding"),
        (embedded("AAAA"), "data[0].embedding"),
        (embedded(""), "data[0].embedding"),
        (embedded("AAAAAA=!"), "data[0].embedding"),
        (embedded("\u00e9AAAAA=="), "data[0].embedding"),
        ({"object": "list", "data": [{"object": "embedding", "index": 1, "embedding": []}]}, "data"),
        ({"object": "list", "data": [{"object": "embedding", "index": "0", "embedding": []}]}, "data.index"),
        ({"object": "list", "data": [{"object": "embedding"}] * (MAX_OUTPUTS + 1)}, "data"),
    ],
)
def test_what_is_no_answer_of_its_task_is_refused_by_its_part(document, part):
    with pytest.raises(AnswerError) as caught:
        received_answer(document)
    assert caught.value.part == part


@pytest.mark.parametrize(
    ("events", "part"),
    [
        ([completed({"index": 0, "text": 1})], "choices.text"),
        ([{"object": "chat.completion.chunk", "choices": [{"index": 0, "text": "A"}]}], "choices.delta"),
    ],
)
def test_pieces_are_those_of_the_task_that_their_stream_names(events, part):
    with pytest.raises(AnswerError) as caught:
        received_stream(events)
    assert caught.value.part == part
