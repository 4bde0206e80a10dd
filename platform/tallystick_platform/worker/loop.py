"""The worker's one thread: take messages, step the engine, report.

    messages  ->  engine.step()  ->  one StepReport with everything that the step produced

Between steps every waiting message is taken, so a new request or a cancellation waits for one step at most.
"""

from __future__ import annotations

import os
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


def serve(engine: Engine, channel: Channel, *, heartbeat_s: float) -> None:
    """Serve until told to stop."""
    channel.send(
        Hello(
            protocol_version=PROTOCOL_VERSION,
            pid=os.getpid(),
            model=engine.model,
            gpu=engine.gpu,
            max_requests=engine.max_requests,
        )
    )
    while True:
        message = channel.receive(0.0 if engine.has_work() else heartbeat_s)
        if message is None and not engine.has_work():
            channel.send(Alive(engine.requests()))
        while message is not None:
            if isinstance(message, Stop):
                return
            _take(engine, message)
            message = channel.receive(0.0)
        if engine.has_work():
            events = engine.step()
            if events:
                channel.send(StepReport(events))


def _take(engine: Engine, message: Submit | Cancel) -> None:
    if isinstance(message, Submit):
        engine.submit(message.request)
    else:
        engine.cancel(message.request_id)
