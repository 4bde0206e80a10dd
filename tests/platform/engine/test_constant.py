import math
import struct

import pytest

from tallystick.tasks.structure import Structure
from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine
from tallystick_platform.engine.hardware import probe_cpu
from tallystick_platform.protocol import Call, Failed, Finished, Piece, Started
from tallystick_platform.tasks.drawing import encode_call
from tests.support.tiny_model import completion, draw, embedding, request

ANSWER = "one two three four"


def engine(**changes):
    return ConstantEngine(ConstantConfig(answer=ANSWER, **changes), probe_cpu())


def run(it, *requests):
    for one in requests:
        it.submit(one)
    events = []
    while it.has_work():
        events += it.step()
    return events


def text_of(events):
    return "".join(event.data for event in events if isinstance(event, Piece))


def test_every_request_gets_the_answer():
    events = run(engine(), request(max_tokens=9))
    assert isinstance(events[0], Started)
    assert text_of(events) == ANSWER
    assert isinstance(events[-1], Finished)
    assert (events[-1].finish_reason, events[-1].usage["output_tokens"]) == ("stop", 4)


def test_it_names_itself_as_what_it_is():
    assert (engine().model.engine, engine().model.dtype) == ("constant", "none")


def test_max_tokens_cuts_the_answer():
    events = run(engine(), request(max_tokens=2))
    assert text_of(events) == "one two"
    assert events[-1].finish_reason == "length"


def test_a_stop_string_ends_the_answer():
    events = run(engine(), request(max_tokens=9, stop=("two th",)))
    assert text_of(events) == "one "
    assert events[-1].finish_reason == "stop"


def test_requests_advance_side_by_side():
    it = engine()
    it.submit(request(1))
    it.submit(request(2))
    assert [type(event) for event in it.step()] == [Started, Piece, Started, Piece]


def test_a_prompt_beyond_the_context_is_refused():
    (failed,) = run(engine(context_length=4), request(1, "a b c d"))
    assert (failed.kind, failed.limit, failed.found) == ("prompt-too-long", 3, 4)


def test_a_request_beyond_the_bound_is_refused():
    it = engine(max_requests=1)
    events = run(it, request(1), request(2))
    assert [event.request_id[-1] for event in events if isinstance(event, Failed)] == [2]


def test_cancelling_ends_a_request_with_what_it_has():
    it = engine()
    it.submit(request(1))
    it.step()
    it.cancel(request(1).request_id)
    it.cancel(request(1).request_id)
    (last,) = it.step()
    assert (last.finish_reason, last.usage["output_tokens"]) == ("cancelled", 1)


@pytest.mark.parametrize("step_s", [0.0, 0.25])
def test_a_step_takes_as_long_as_it_is_told(step_s):
    slept = []
    it = ConstantEngine(ConstantConfig(answer=ANSWER, step_s=step_s), probe_cpu(), sleep=slept.append)
    it.submit(request(max_tokens=2))
    it.step()
    assert slept == ([step_s] if step_s else [])


def test_a_completion_gets_the_same_words():
    events = run(engine(), completion(1, "one two", max_tokens=9), completion(2, (1, 2, 3), max_tokens=2))
    assert text_of([event for event in events if event.request_id[-1] == 1]) == ANSWER
    ends = [event for event in events if isinstance(event, Finished)]
    assert [end.usage for end in ends] == [
        {"input_tokens": 3, "output_tokens": 2},
        {"input_tokens": 2, "output_tokens": 4},
    ]


def test_several_answers_are_the_same_words_and_count_each():
    events = run(engine(), completion(1, "one two", max_tokens=2, n=3))
    for at in range(3):
        assert text_of([event for event in events if isinstance(event, Piece) and event.output == at]) == "one two"
    assert events[-1].finish_reasons == ("length",) * 3
    assert events[-1].usage == {"input_tokens": 2, "output_tokens": 6}


def test_a_prompt_is_echoed_and_words_come_with_their_certainty():
    body = encode_call(draw(max_tokens=1), prompt="say: ", echo=True, logprobs=2)
    events = run(engine(), Call(b"1" * 16, "completion", body))
    assert text_of(events) == "say: one"
    assert [entry.logprob for event in events if isinstance(event, Piece) for entry in event.logprobs] == [0.0, 0.0]


def test_no_word_is_said_where_none_is_wanted():
    events = run(engine(), completion(1, "one two", max_tokens=0))
    assert (text_of(events), events[-1].finish_reason, events[-1].usage["output_tokens"]) == ("", "length", 0)


def test_a_form_of_the_answer_is_refused_by_name():
    body = encode_call(draw(), prompt="x", structure=Structure(kind="regex", source="a", param="guided_regex"))
    (failed,) = run(engine(), Call(b"1" * 16, "completion", body))
    assert (failed.kind, failed.param) == ("parameter-rejected", "guided_regex")


def vectors(inputs, dimensions=8, **changes):
    events = run(engine(**changes), embedding(1, inputs, dimensions))
    return [event.data for event in events if isinstance(event, Piece)], events


def test_a_text_gets_a_vector_of_unit_length_that_no_other_text_gets():
    found, events = vectors(("a b", "c", (1, 2), "a b"))
    assert len(set(found)) == 3
    assert found[0] == found[3] == vectors(("a b",))[0][0]
    assert all(math.hypot(*struct.unpack("<8f", vector)) == pytest.approx(1) for vector in found)
    assert isinstance(events[0], Started)
    assert (events[-1].finish_reason, events[-1].usage) == (None, {"input_tokens": 7, "vectors": 4})


def test_a_shorter_vector_is_the_beginning_of_the_longer_one_at_unit_length():
    (whole,), (short,) = vectors(("a",))[0], vectors(("a",), 3)[0]
    first = struct.unpack("<8f", whole)[:3]
    assert struct.unpack("<3f", short) == pytest.approx([number / math.hypot(*first) for number in first])


def test_many_vectors_come_in_several_steps_and_can_be_cancelled():
    it = engine()
    it.submit(embedding(1, ("x",) * 1_000, 8))
    it.step()
    it.cancel((1).to_bytes(16))
    (last,) = it.step()
    assert last.finish_reason == "cancelled"
    assert 0 < last.usage["vectors"] < 1_000


def test_a_text_beyond_the_context_refuses_the_request():
    _, (failed,) = vectors(("a", "a b c d"), context_length=4)
    assert (failed.kind, failed.limit, failed.found) == ("prompt-too-long", 3, 4)


def test_a_call_that_is_none_fails():
    (failed,) = run(engine(), Call(b"1" * 16, "embedding", b"\xc1"))
    assert failed.kind == "engine-failed"
