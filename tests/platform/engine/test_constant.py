import pytest

from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine
from tallystick_platform.engine.hardware import probe_cpu
from tallystick_platform.protocol import Failed, Finished, Started, TextDelta
from tests.support.tiny_model import request

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
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_every_request_gets_the_answer():
    events = run(engine(), request(max_tokens=9))
    assert isinstance(events[0], Started)
    assert text_of(events) == ANSWER
    assert isinstance(events[-1], Finished)
    assert (events[-1].finish_reason, events[-1].output_tokens) == ("stop", 4)


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
    assert [type(event) for event in it.step()] == [Started, TextDelta, Started, TextDelta]


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
    assert (last.finish_reason, last.output_tokens) == ("cancelled", 1)


@pytest.mark.parametrize("step_s", [0.0, 0.25])
def test_a_step_takes_as_long_as_it_is_told(step_s):
    slept = []
    it = ConstantEngine(ConstantConfig(answer=ANSWER, step_s=step_s), probe_cpu(), sleep=slept.append)
    it.submit(request(max_tokens=2))
    it.step()
    assert slept == ([step_s] if step_s else [])
