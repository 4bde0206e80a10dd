"""What an engine is to the worker that drives it. No torch here: the constant engine and the tests need none."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tallystick_platform.protocol import Call, GpuInfo, ModelInfo, StepEvent


class Engine(Protocol):
    """A model that computes many requests side by side, one step at a time, driven by one thread."""

    @property
    def model(self) -> ModelInfo:
        """What is served, with its digests."""
        ...

    @property
    def gpu(self) -> GpuInfo:
        """The hardware that it runs on."""
        ...

    @property
    def max_requests(self) -> int:
        """How many requests it holds at once, computing and waiting together."""
        ...

    @property
    def max_active(self) -> int:
        """How many of them are computed side by side."""
        ...

    @property
    def rows(self) -> int:
        """How many of these share one forward pass: 1 where requests would change each other's answers."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where the model's files lie; None where there are none."""
        ...

    def submit(self, call: Call) -> None:
        """Take a request. Cheap: what it costs, and why it fails, shows in later steps."""
        ...

    def cancel(self, request_id: bytes) -> None:
        """End a request with what it has; its last event is in the next step's. Unknown ids are ignored."""
        ...

    def has_work(self) -> bool:
        """Whether another step would do anything."""
        ...

    def requests(self) -> int:
        """How many requests are held now."""
        ...

    def step(self) -> list[StepEvent]:
        """Advance every request by a bounded piece of work; every request ends in exactly one Finished or Failed."""
        ...
