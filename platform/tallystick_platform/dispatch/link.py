"""The API's side of one worker incarnation: what it serves, and the generations it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.protocol import (
    Cancel,
    Failed,
    Finished,
    GenerationRequest,
    GpuInfo,
    Hello,
    ModelInfo,
    ProviderInfo,
    StepReport,
    Submit,
    ToWorker,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Who will compute: one worker with its model, hardware and provider."""

    model: ModelInfo
    provider: ProviderInfo
    gpu: GpuInfo
    worker: str


class Link:
    """One worker that said hello, at a standing place or at one opened for a version. `send` hands one message to it."""

    __slots__ = ("_generations", "_now_us", "_send", "folder", "max_requests", "pid", "placement", "standing")

    def __init__(
        self,
        *,
        worker_id: str,
        hello: Hello,
        provider: ProviderInfo,
        send: Callable[[ToWorker], None],
        now_us: Callable[[], int],
        standing: bool = True,
    ) -> None:
        self.standing = standing
        self.folder = hello.folder
        self.placement = Placement(model=hello.model, provider=provider, gpu=hello.gpu, worker=worker_id)
        self.max_requests = hello.max_requests
        self.pid = hello.pid
        self._send = send
        self._now_us = now_us
        self._generations: dict[bytes, Generation] = {}

    @property
    def load(self) -> int:
        """Requests that it holds."""
        return len(self._generations)

    @property
    def full(self) -> bool:
        """Whether it may take no further request."""
        return len(self._generations) >= self.max_requests

    def submit(self, request: GenerationRequest) -> Generation:
        """Hand a request over. Requires: not `full`."""
        request_id = request.request_id

        def cancel() -> None:
            # The place stays taken until the worker has confirmed the end: the bound counts what it really holds.
            if request_id in self._generations:
                self._send(Cancel(request_id))

        generation = Generation(worker=self.placement.worker, now_us=self._now_us, cancel=cancel)
        self._send(Submit(request))
        self._generations[request_id] = generation
        return generation

    def take(self, report: StepReport) -> None:
        """Hand each event of a step to its generation."""
        generations = self._generations
        for event in report.events:
            if isinstance(event, Finished | Failed):
                generation = generations.pop(event.request_id, None)
            else:
                generation = generations.get(event.request_id)
            if generation is not None and not generation.ended:
                generation.feed(event)

    def die(self, reason: str) -> None:
        """The worker is gone: every generation ends with what it had delivered."""
        generations, self._generations = self._generations, {}
        for generation in generations.values():
            generation.die(reason)
