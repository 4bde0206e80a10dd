"""A backend: one worker incarnation, the places in it, and the generations that it computes.

    claim() -> Claim --start(call)--> Generation

A claim takes its place at once, so that many requests at one moment spread over the workers. The place is free again when a claim that
started nothing is released, or when the worker has confirmed that the generation ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass

from tallystick_platform import errors
from tallystick_platform.clock import Clock, Pace
from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.dispatch.placement import Placement
from tallystick_platform.protocol import (
    Call,
    Cancel,
    Failed,
    Finished,
    Hello,
    ProviderInfo,
    StepReport,
    Submit,
    ToWorker,
)


class Claim:
    """One place in a worker, for one request."""

    __slots__ = ("_generation", "_link", "_waiting", "placement")

    def __init__(self, link: Link) -> None:
        self.placement = link.placement
        self._link = link
        self._waiting = True  # until it is used or released
        self._generation: Generation | None = None

    def start(self, call: Call) -> Generation:
        """Hand the request to the worker. Requires: neither started nor released. Raises: NoProvider if the worker is gone."""
        if not self._waiting:
            raise RuntimeError("a claim is used once")
        self._generation = generation = self._link.submit(call)
        self._waiting = False
        return generation

    def release(self) -> None:
        """Give the place back, and what was started up; more than once does nothing."""
        if self._generation is not None:
            self._generation.cancel()
        elif self._waiting:
            self._waiting = False
            self._link.give_back()


@dataclass(kw_only=True, eq=False)
class Link:
    """One worker that said hello, at a standing place or at one opened for a version. `send` hands one message to it.

    `max_active` requests are computed side by side. Units: `used_ns` monotonic nanoseconds, when a place was last taken or freed.
    """

    worker_id: InitVar[str]
    hello: InitVar[Hello]
    provider: InitVar[ProviderInfo]
    send: Callable[[ToWorker], None]
    clock: Clock
    standing: bool = True

    def __post_init__(self, worker_id: str, hello: Hello, provider: ProviderInfo) -> None:
        self.folder = hello.folder
        self.placement = Placement(model=hello.model, provider=provider, gpu=hello.gpu, worker=worker_id)
        self.max_requests = hello.max_requests
        self.max_active = hello.max_active
        self.pid = hello.pid
        self.used_ns = self.clock.monotonic_ns()
        self._pace = Pace(self.clock)
        self._claimed = 0
        self._dead = False
        self._generations: dict[bytes, Generation] = {}

    @property
    def load(self) -> int:
        """Places that are taken: by claims that wait, and by what the worker holds."""
        return self._claimed + len(self._generations)

    @property
    def full(self) -> bool:
        """Whether it may take no further request."""
        return self.load >= self.max_requests

    @property
    def wait_s(self) -> int:
        """How long until what it has now is done, as fast as it was lately. Units: whole seconds."""
        return self._pace.wait_s(self.load)

    def claim(self) -> Claim:
        """Take a place. Requires: not `full`."""
        self._pace.begun(self.load)
        self._claimed += 1
        self.used_ns = self.clock.monotonic_ns()
        return Claim(self)

    def submit(self, call: Call) -> Generation:
        """Hand over what a claim is for. Called by the claim. Raises: NoProvider"""
        if self._dead:
            raise errors.NoProvider(model=self.placement.model.id)
        request_id = call.request_id

        def cancel() -> None:
            if request_id in self._generations:
                self.send(Cancel(request_id))

        generation = Generation(worker=self.placement.worker, now_us=self.clock.now_us, cancel=cancel)
        self._generations[request_id] = generation
        self._claimed -= 1
        self.send(Submit(call))
        return generation

    def give_back(self) -> None:
        """A claim ends that started nothing. Called by the claim."""
        self._claimed -= 1
        self.used_ns = self.clock.monotonic_ns()

    def take(self, report: StepReport) -> None:
        """Hand each event of a step to its generation."""
        generations = self._generations
        for event in report.events:
            if isinstance(event, Finished | Failed):
                generation = generations.pop(event.request_id, None)
                if generation is not None:
                    self.used_ns = self.clock.monotonic_ns()
                    self._pace.ended()
            else:
                generation = generations.get(event.request_id)
            if generation is not None and not generation.ended:
                generation.feed(event)

    def die(self, reason: str) -> None:
        """The worker is gone: every generation ends with what it had delivered."""
        self._dead = True
        generations, self._generations = self._generations, {}
        for generation in generations.values():
            generation.fail(errors.WorkerDied(worker=self.placement.worker, reason=reason))
