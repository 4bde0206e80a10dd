import pytest

from tallystick_platform.engine import oneshot
from tallystick_platform.engine.kind import Answer, Input
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.oneshot import OneShotEngine
from tallystick_platform.protocol import Call, Failed, Finished, Piece, Started
from tests.support.tiny_encoder import LONGEST, WIDTH, write_tiny_encoder
from tests.support.tiny_model import embedding, request

TEXTS = ("the sun", "a stick of the miller", "moon", "the river of the moon of the sun", "the moon")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pooling = {"pooling_mode_mean_tokens": True}
    return write_tiny_encoder(tmp_path_factory.mktemp("oneshot") / "tiny", pooling=pooling)


@pytest.fixture
def engine(folder, tmp_path):
    config = EngineConfig(model=str(folder), models_dir=tmp_path, device="cpu", threads=1, max_requests=4)
    return load_engine(config, lambda stage, fraction: None)


def run(engine, *calls):
    for one in calls:
        engine.submit(one)
    steps = []
    while engine.has_work():
        steps.append(engine.step())
        assert len(steps) < 2_000
    return steps


def events_of(steps, call, kind=object):
    return [
        event for step in steps for event in step if event.request_id == call.request_id and isinstance(event, kind)
    ]


def vectors_of(steps, call):
    return [piece.data for piece in events_of(steps, call, Piece)]


def test_every_text_gets_its_vector_in_the_order_in_which_it_was_asked_for(engine):
    call = embedding(1, TEXTS, WIDTH)
    steps = run(engine, call)
    alone = [vectors_of(run(engine, one := embedding(2, (text,), WIDTH)), one)[0] for text in TEXTS]
    assert vectors_of(steps, call) == alone
    assert len(set(alone)) == len(TEXTS)
    kinds = [type(event) for event in events_of(steps, call)]
    assert kinds == [Started, *[Piece] * len(TEXTS), Finished]
    (end,) = events_of(steps, call, Finished)
    assert (end.finish_reason, end.usage) == (None, {"input_tokens": 4 + 7 + 3 + 10 + 4, "vectors": 5})
    assert end.device_time_us > 0


def test_neighbours_do_not_change_a_vector(engine):
    call, others = embedding(1, TEXTS, WIDTH), [embedding(n, TEXTS[::-1] * n, 7) for n in (2, 3)]
    alone = vectors_of(run(engine, call), call)
    assert vectors_of(run(engine, others[0], call, others[1]), call) == alone


def test_requests_may_ask_for_other_lengths_of_the_same_pass(engine):
    one, other = embedding(1, ("moon",), WIDTH), embedding(2, ("moon",), 3)
    steps = run(engine, one, other)
    assert [len(vector) for call in (one, other) for vector in vectors_of(steps, call)] == [4 * WIDTH, 12]


def test_a_short_request_beside_one_of_2048_inputs_is_answered_in_the_next_step(engine):
    long, short = embedding(1, ("the river of the moon",) * 2_048, WIDTH), embedding(2, ("sun",), WIDTH)
    engine.submit(long)
    while not events_of([engine.step()], long, Piece):
        pass
    engine.submit(short)
    assert [type(event) for event in events_of([engine.step()], short)] == [Started, Piece, Finished]
    steps = run(engine)
    assert max(len(events_of([step], long, Piece)) for step in steps) <= engine._step_size // 7 + 1
    assert events_of(steps, long, Finished)[0].usage["vectors"] == 2_048


def test_reading_a_large_request_does_not_hold_up_a_short_one(engine, monkeypatch):
    monkeypatch.setattr(oneshot, "READ_PER_STEP", 64)
    long, short = embedding(1, ("the river of the moon",) * 500, WIDTH), embedding(2, ("sun",), WIDTH)
    engine.submit(long)
    engine.step()
    engine.submit(short)
    assert isinstance(events_of([engine.step()], short)[-1], Finished)
    assert not events_of([engine.step()], long, Piece)


def test_those_that_a_step_has_no_room_for_come_first_in_the_next(engine):
    engine._step_size = 1
    calls = [embedding(number, ("sun", "moon"), WIDTH) for number in (1, 2)]
    pieces = [e.request_id[-1] for step in run(engine, *calls) for e in step if isinstance(e, Piece)]
    assert pieces == [1, 2, 1, 2]


def test_a_text_that_is_too_long_refuses_the_request_before_anything_is_computed(engine):
    long = embedding(1, ("moon", "sun " * (LONGEST - 1)), WIDTH)
    steps = run(engine, long)
    (failed,) = events_of(steps, long)
    assert (failed.kind, failed.limit, failed.found) == ("prompt-too-long", LONGEST, LONGEST + 1)
    assert failed.reason == "input 1 is too long"
    fits = embedding(2, ("sun " * (LONGEST - 2),), WIDTH)
    assert events_of(run(engine, fits), fits, Finished)[0].usage["input_tokens"] == LONGEST


def test_a_text_that_is_far_too_long_is_refused_by_its_beginning(engine):
    (failed,) = events_of(run(engine, call := embedding(1, ("moon", "sun " * 100_000), WIDTH)), call)
    assert (failed.kind, failed.reason, failed.limit) == ("prompt-too-long", "input 1 is too long", LONGEST)
    assert 2 * LONGEST < failed.found < 100_000


@pytest.mark.parametrize(
    ("call", "kind", "reason"),
    [
        (embedding(1, ("moon", (4, 99)), 3), "prompt-rejected", "input 1: the prompt has the token 99"),
        (embedding(1, ((),), 3), "prompt-rejected", "input 0: the prompt is empty"),
        (embedding(1, (), 3), "prompt-rejected", "there is nothing to compute"),
        (request(1), "prompt-rejected", "does not serve the task chat"),
        (Call((1).to_bytes(16), "embedding", b"\xc1"), "engine-failed", "does not understand"),
    ],
)
def test_what_cannot_be_computed_fails_alone(engine, call, kind, reason):
    good = embedding(2, TEXTS, WIDTH)
    steps = run(engine, call, good)
    (failed,) = events_of(steps, call)
    assert failed.kind == kind
    assert reason in failed.reason
    assert len(vectors_of(steps, good)) == len(TEXTS)


def test_a_pass_that_cannot_be_computed_costs_its_requests_and_not_the_worker(engine, monkeypatch):
    def fail(rows):
        raise RuntimeError("out of memory at /srv/models: text was secret")

    monkeypatch.setattr(engine._kind, "vectors", fail)
    bad = [embedding(number, TEXTS, WIDTH) for number in (1, 2)]
    steps = run(engine, *bad)
    assert [event.reason for one in bad for event in events_of(steps, one, Failed)] == ["the computation failed"] * 2
    monkeypatch.undo()
    assert vectors_of(run(engine, good := embedding(3, TEXTS, WIDTH)), good)


def test_a_request_beyond_the_bound_is_refused(engine):
    calls = [embedding(number, ("sun",), WIDTH) for number in range(1, 6)]
    steps = run(engine, *calls)
    assert [type(events_of(steps, call)[-1]) for call in calls] == [Finished] * 4 + [Failed]
    assert events_of(steps, calls[4])[0].kind == "queue-full"


def test_answers_of_one_step_keep_within_a_frame(engine, monkeypatch):
    monkeypatch.setattr(oneshot, "ANSWER_BYTES_PER_STEP", 3 * 4 * WIDTH)
    call = embedding(1, TEXTS, WIDTH)
    steps = run(engine, call)
    assert [len(events_of([step], call, Piece)) for step in steps] == [3, 2]
    monkeypatch.undo()
    assert vectors_of(steps, call) == vectors_of(run(engine, again := embedding(2, TEXTS, WIDTH)), again)


def test_like_lengths_of_a_request_share_passes_however_they_are_mixed(engine, monkeypatch):
    sizes, vectors = [], engine._kind.vectors
    monkeypatch.setattr(engine._kind, "vectors", lambda rows: (sizes.append(len(rows)), vectors(rows))[1])
    mixed = embedding(1, ("sun", "the sun", "the sun of the moon") * 32, WIDTH)
    steps = run(engine, mixed)
    assert len(sizes) <= 8
    assert vectors_of(steps, mixed) == vectors_of(steps, mixed)[:3] * 32


def test_cancelling_ends_a_request_with_the_vectors_that_it_has(engine):
    call = embedding(1, ("the river of the moon",) * 500, WIDTH)
    engine.submit(call)
    got = engine.step()
    engine.cancel(call.request_id)
    engine.cancel(call.request_id)
    (last,) = engine.step()
    assert (last.finish_reason, last.usage["vectors"]) == ("cancelled", len(events_of([got], call, Piece)))
    assert not engine.has_work()


@pytest.mark.parametrize("read", [False, True])
def test_cancelling_one_that_waits_leaves_nothing(engine, monkeypatch, read):
    monkeypatch.setattr(oneshot, "READ_PER_STEP", 8)
    call = embedding(1, TEXTS, WIDTH)
    engine.submit(call)
    if read:
        engine.step()
    engine.cancel(call.request_id)
    engine.cancel(b"?" * 16)
    assert [event.finish_reason for event in engine.step()] == ["cancelled"]
    assert engine.requests() == 0


class Slow:
    """A kind whose passes take as many steps as a call says. `closed` counts those that were given up."""

    def __init__(self):
        self.closed, self.passes = 0, 0

    def inputs(self, call):
        return Counted(int(call.body))

    def room(self, group):
        return 800

    def compute(self, inputs):
        self.passes += 1
        try:
            for _ in range(inputs[0].data):
                yield None
            yield [f"after {one.data}" for one in inputs]
        except GeneratorExit:
            self.closed += 1


class Counted:
    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return 2

    def read(self, at):
        return Input(data=self.steps, group=self.steps, size=100, counts={"images": 1})

    def answer(self, result):
        self.steps -= 1
        return Answer(piece=result, counts={"pictures": 1}) if self.steps % 2 else None


@pytest.fixture
def slow(engine):
    return OneShotEngine(model=engine.model, gpu=engine.gpu, kind=Slow(), rows=8, max_requests=8)


def slow_call(number, steps):
    return Call(number.to_bytes(16), "embedding", str(steps).encode())


def test_a_pass_that_takes_long_goes_on_beside_others_for_a_piece_in_each_step(slow):
    long, short = slow_call(1, 6), slow_call(2, 1)
    slow.submit(long)
    assert not events_of([slow.step()], long, Piece)
    slow.submit(short)
    slow.step()
    assert isinstance(events_of([slow.step()], short)[-1], Finished)
    steps = run(slow)
    assert len(steps) == 4
    assert vectors_of(steps, long) == ["after 6"]  # its other result is needed for nothing but the first
    assert events_of(steps, long, Finished)[0].usage == {"images": 2, "pictures": 1}
    assert slow._kind.passes == 2


def test_no_more_is_begun_than_a_step_may_hold(slow):
    calls = [slow_call(number, number) for number in range(2, 8)]
    for call in calls:
        slow.submit(call)
    for _ in range(3):
        slow.step()
    assert sum(place.input.size for one in slow._passes for place in one.places) <= oneshot.STEP_SIZE
    assert all(isinstance(events_of(steps, call)[-1], Finished) for steps in [run(slow)] for call in calls[1:])


def test_a_pass_that_nobody_waits_for_is_given_up(slow):
    slow.submit(call := slow_call(1, 1_000))
    slow.step()
    slow.cancel(call.request_id)
    assert [type(event) for event in slow.step()] == [Finished]
    assert slow._kind.closed == 1
    assert not slow.has_work()
