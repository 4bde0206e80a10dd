"""The worker's one thread: take messages, step the engine, report.

    messages  ->  engine.step()  ->  one StepReport with everything that the step produced

Between steps every waiting message is taken, so a new request or a cancellation waits for one step at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from tallystick_platform.engine.interface import Engine
from tallystick_platform.protocol import (
    PROTOCOL_VERSION,
    Alive,
    Cancel,
    FromWorker,
    Hello,
    StepReport,
    Stop,
    Submit,
    ToWorker,
)


class Channel(Protocol):
    """The way to the API process."""

    def send(self, message: FromWorker) -> None:
        """Hand over one message."""
        ...

    def receive(self, timeout_s: float) -> ToWorker | None:
        """The next message, or None after the timeout; 0 does not wait."""
        ...


def serve(
    engine: Engine, channel: Channel, *, heartbeat_s: float, monotonic_s: Callable[[], float] = time.monotonic
) -> None:
    """Serve until told to stop, giving a sign of life at least every `heartbeat_s` or step, whichever is longer."""
    channel.send(
        Hello(
            protocol_version=PROTOCOL_VERSION,
            pid=os.getpid(),
            model=engine.model,
            gpu=engine.gpu,
            max_requests=engine.max_requests,
            max_active=engine.max_active,
            rows=engine.rows,
            folder=None if engine.folder is None else str(engine.folder),
        )
    )
    spoke_s = monotonic_s()
    while True:
        message = channel.receive(0.0 if engine.has_work() else heartbeat_s)
        while message is not None:
            if isinstance(message, Stop):
                return
            _take(engine, message)
            message = channel.receive(0.0)
        if engine.has_work():
            events = engine.step()
            if events:
                channel.send(StepReport(events))
                spoke_s = monotonic_s()
        # Long prompts take many steps that have nothing to report; silence would be taken for a hang.
        if monotonic_s() - spoke_s >= heartbeat_s:
            channel.send(Alive(engine.requests()))
            spoke_s = monotonic_s()


def _take(engine: Engine, message: Submit | Cancel) -> None:
    if isinstance(message, Submit):
        engine.submit(message.call)
    else:
        engine.cancel(message.request_id)
