from collections import deque

from tallystick_platform.engine.constant import ConstantConfig, ConstantEngine
from tallystick_platform.engine.hardware import probe_cpu
from tallystick_platform.protocol import Alive, Cancel, Finished, Hello, Piece, StepReport, Stop, Submit
from tallystick_platform.worker.loop import serve
from tests.support.tiny_model import request


class FakeChannel:
    """Gives its inbox out one batch per wait; a wait on an empty inbox with nothing left stops the worker."""

    def __init__(self, *batches):
        self.batches = deque(batches)
        self.inbox = deque()
        self.sent = []
        self.waits = []

    def send(self, message):
        self.sent.append(message)

    def receive(self, timeout_s):
        if self.inbox:
            return self.inbox.popleft()
        if self._between_steps:
            self._between_steps = False
            self.waits.append(timeout_s)
            self.inbox.extend(self.batches.popleft() if self.batches else [Stop()])
            return self.inbox.popleft() if self.inbox else None
        self._between_steps = True
        return None

    _between_steps = True


def run(*batches, clock=None, **changes):
    channel = FakeChannel(*batches)
    engine = ConstantEngine(ConstantConfig(answer="a b c d e f", **changes), probe_cpu())
    serve(engine, channel, heartbeat_s=1.0, monotonic_s=clock or (lambda: 0.0))
    return channel


def reports(channel):
    return [message.events for message in channel.sent if isinstance(message, StepReport)]


def test_the_first_word_is_hello():
    hello = run().sent[0]
    assert isinstance(hello, Hello)
    assert hello.model.engine == "constant"
    assert hello.max_requests == 64
    assert (hello.max_active, hello.rows) == (64, 1)


def test_a_step_is_one_message_that_carries_every_delta():
    channel = run([Submit(request(1)), Submit(request(2))])
    (events,) = reports(channel)
    assert [event.request_id[-1] for event in events if isinstance(event, Piece)] == [1, 2]


def test_a_cancellation_takes_effect_within_one_step():
    one = request(1)
    channel = run([Submit(one)], [Cancel(one.request_id)])
    assert [event.finish_reason for event in reports(channel)[1] if isinstance(event, Finished)] == ["cancelled"]
    assert not any(isinstance(event, Piece) for event in reports(channel)[1])


def test_an_idle_worker_waits_and_a_busy_one_does_not():
    channel = run([Submit(request(1, max_tokens=1))], [])
    assert channel.waits[0] == 1.0
    channel = run([Submit(request(1))], [])
    assert channel.waits[1] == 0.0


def test_an_idle_worker_gives_signs_of_life():
    times = iter(range(100))
    channel = run([], [], [], clock=lambda: float(next(times)))
    assert Alive(0) in channel.sent


def test_a_worker_whose_steps_say_nothing_gives_signs_of_life():
    class Silent(ConstantEngine):
        def step(self):
            return []

    times = iter(range(100))
    channel = FakeChannel([Submit(request(1))], [], [])
    serve(Silent(ConstantConfig(), probe_cpu()), channel, heartbeat_s=1.0, monotonic_s=lambda: float(next(times)))
    assert Alive(1) in channel.sent


def test_stop_ends_the_loop_although_requests_are_held():
    channel = run([Submit(request(1)), Stop(), Submit(request(2))])
    assert reports(channel) == []
