"""The HTTP surface over a real engine in the same process, for a model of a few thousand numbers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tallystick.record import Record
from tallystick.verify.model_checks import Replayed
from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.engine.audit import AuditEngine
from tallystick_platform.engine.loading import EngineConfig, load_engine
from tallystick_platform.engine.rerun import rerun
from tallystick_platform.engine.scheduler import SchedulerConfig
from tallystick_platform.protocol import Call
from tests.support.api import Api
from tests.support.exchange import MODEL, PLACEMENT, FakeClaim


def loaded(folder: Path) -> AuditEngine:
    """An engine for a folder, for a few requests side by side."""
    scheduler = SchedulerConfig(max_active=4, max_waiting=32)
    with TemporaryDirectory() as scratch:
        config = EngineConfig(model=str(folder), models_dir=Path(scratch), device="cpu", scheduler=scheduler, threads=1)
        return load_engine(config, lambda *_: None)


class EngineClaim(FakeClaim):
    """A claim on the engine, which works as long as it has work."""

    def start(self, call: Call) -> Generation:
        dispatcher = self._dispatcher
        dispatcher.calls.append(call)
        engine: AuditEngine = dispatcher.engine

        def cancel() -> None:
            engine.cancel(call.request_id)

        generation = Generation(worker="worker-0", now_us=dispatcher.clock.now_us, cancel=cancel)
        dispatcher.running[call.request_id] = generation
        engine.submit(call)
        if dispatcher.work is None or dispatcher.work.done():
            dispatcher.work = asyncio.create_task(_work(dispatcher))
        return generation


async def _work(dispatcher: object) -> None:
    while dispatcher.engine.has_work():
        for event in dispatcher.engine.step():
            generation = dispatcher.running[event.request_id]
            if not generation.ended:
                generation.feed(event)
        dispatcher.clock.us += 1_000_000  # more than a step takes: the engine measures its own time by another clock
        await asyncio.sleep(0)


class EngineApi(Api):
    """`engine` is served under the name of the scripted model; its files lie in `folder`."""

    def __init__(self, engine: AuditEngine, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.dispatcher.engine = engine
        self.dispatcher.running = {}
        self.dispatcher.work = None
        model = msgspec.structs.replace(engine.model, id=MODEL.id)
        self.dispatcher.placement = replace(PLACEMENT, model=model, gpu=engine.gpu)

        async def claim(*_: object) -> EngineClaim:
            return EngineClaim(self.dispatcher)

        self.dispatcher.claim = claim

    def again(self, record: Record) -> Replayed:
        """A record's answer, computed again from it alone."""
        return rerun(self.folder, record)
