"""The worker pool: starts worker processes, listens to them, and starts them again when they end.

Per worker place, for as long as the place is open:

1. *Start* a process under a new identity. Messages of an earlier one can then not be taken for its own.
2. *Wait for hello*, within the start bound. A worker that reports Fatal, ends or stays silent is ended: back to 1, after a delay.
3. *Serve* until the process ends or is silent beyond `silence_s`.
4. *Fail* every generation that it held with `WorkerDied`; back to 1, after a delay that grows with each quick death and is bounded.

Standing places serve what the configuration names and are open from start to stop. Others are opened for a registered version and
closed again; such a place ends by itself if its first worker fails in step 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import zmq

from tallystick_platform.clock import Clock
from tallystick_platform.dispatch import process as worker_process
from tallystick_platform.dispatch.link import Link
from tallystick_platform.dispatch.place import Place, PlaceConfig, PoolConfig, misfit, worker_config
from tallystick_platform.dispatch.process import open_router, socket_folder
from tallystick_platform.dispatch.versions import Key
from tallystick_platform.protocol import (
    PROTOCOL_VERSION,
    Alive,
    Fatal,
    FromWorker,
    Hello,
    Loading,
    ModelInfo,
    ProtocolFault,
    ProviderInfo,
    StepReport,
    ToWorker,
    decode_from_worker,
    encode,
)

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 15.0
STEADY_AFTER_S = 60.0
"""A worker that lived this long died of something new: the delay starts over."""
STOPPING = "the server stops"
Show = Callable[[str, str, float], bool]
"""Is told which stage something is in and how much of it is done, from 0 to 1; says whether a person sees it."""

_log = structlog.get_logger(__name__)


def unseen(_what: str, _stage: str, _fraction: float) -> bool:
    """Nobody looks."""
    return False


class WorkerPool:
    """Owns the socket and one supervising task per worker place. Everything runs in one event loop.

    `stood` are the models that standing places have served until now. `heard_of` is told each worker that begins to serve, `loading` how
    far a place is with its model; what a worker says of that and nobody sees is logged.
    """

    def __init__(self, config: PoolConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._links: dict[str, Link] = {}
        self._greeted: dict[str, asyncio.Future[Hello]] = {}
        self._heard: dict[str, float] = {}
        self._places: dict[str, Place] = {}
        self._opened = 0
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._folder: Path | None = None
        self._changed = asyncio.Event()
        self.last_fault: str | None = None
        self.restarts = 0
        self.stood: dict[Key, ModelInfo] = {}
        self.heard_of: Callable[[Link], None] | None = None
        self.loading: Show = unseen

    @property
    def links(self) -> list[Link]:
        """The workers that serve now."""
        return list(self._links.values())

    @property
    def provider(self) -> ProviderInfo:
        """Who offers the standing places."""
        return self._config.provider

    @property
    def standing(self) -> list[Link]:
        """Those at standing places."""
        return [link for link in self._links.values() if link.standing]

    async def start(self) -> None:
        """Bind the socket and start supervising; workers become ready later."""
        self._folder = socket_folder(self._config.run_dir)
        self._context = zmq.Context()
        self._socket = open_router(self._context, self._endpoint)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._drain)
        self.open_standing()

    def open_standing(self) -> None:
        """Open the standing places. Requires: none is open."""
        for _ in range(self._config.workers):
            self.open(PlaceConfig(name=f"worker-{self._opened}", provider=self._config.provider))
            self._opened += 1

    async def close_standing(self) -> None:
        """Close the standing places: what they serve is asked for no longer."""
        await asyncio.gather(*(self.close(place) for place in list(self._places.values()) if place.config.standing))

    def open(self, config: PlaceConfig) -> Place:
        """Open a place. Requires: the pool is started, and no open place has this name."""
        place = self._places[config.name] = Place(config)
        place.task = asyncio.get_running_loop().create_task(self._supervise(place), name=f"place {config.name}")
        return place

    async def close(self, place: Place) -> None:
        """End what runs at a place; what it held ends with `WorkerDied`."""
        self._places.pop(place.config.name, None)
        if place.task is not None:
            place.task.cancel()
            await asyncio.gather(place.task, return_exceptions=True)
        place.settle(STOPPING)

    async def settled(self) -> None:
        """Return once each standing place serves or failed for the first time."""
        waited = [place.first for place in self._places.values() if place.config.standing]
        if waited:
            await asyncio.wait(waited)

    async def wait_ready(self) -> None:
        """Return once a standing place serves."""
        while not self.standing:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """End the workers and the supervision."""
        await asyncio.gather(*(self.close(place) for place in list(self._places.values())))
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _endpoint(self) -> str:
        return f"ipc://{self._folder}/workers.sock"

    async def _supervise(self, place: Place) -> None:
        delay, incarnation = FIRST_DELAY_S, 0
        loop = asyncio.get_running_loop()
        while True:
            incarnation += 1
            place.futile += 1
            born = loop.time()
            reason = await self._live(place, f"{place.config.name}.{incarnation}")
            place.settle(reason)
            if place.hopeless():
                _log.warning("worker.given_up", place=place.config.name, reason=reason)
                return
            self.last_fault = reason
            self.restarts += 1
            delay = FIRST_DELAY_S if loop.time() - born > STEADY_AFTER_S else delay
            _log.warning("worker.ended", place=place.config.name, reason=reason, restart_in_s=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, MAX_DELAY_S)

    async def _live(self, place: Place, worker_id: str) -> str:
        """One incarnation from start to end; why it ended."""
        greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        # Before the start: where the loop is busy, a worker may speak before that has returned.
        self._greeted[worker_id] = greeted
        try:
            process = await worker_process.start(worker_config(self._config, place.config, self._endpoint, worker_id))
        except OSError as error:  # no memory, no file descriptors: that may pass
            del self._greeted[worker_id]
            return f"it could not be started: {error}"

        self.loading(place.config.name, "starting", 0.0)
        ended = asyncio.ensure_future(process.wait())
        reason = STOPPING
        try:
            hello = await self._greeting(greeted, ended)
            if not isinstance(hello, str) and (wrong := misfit(place.config, hello)) is not None:
                hello = wrong
            if isinstance(hello, str):
                reason = hello
                return reason
            self._serve(place, worker_id, hello)
            reason = await self._watch(worker_id, ended)
            return reason
        finally:
            self._greeted.pop(worker_id, None)
            self._heard.pop(worker_id, None)
            link = self._links.pop(worker_id, None)
            place.link = None
            if reason is not STOPPING and place.config.standing:
                self.last_fault = reason
            if link is not None:
                link.die(reason)
            await asyncio.shield(worker_process.end(process))
            ended.cancel()

    async def _greeting(self, greeted: asyncio.Future[Hello], ended: asyncio.Future[int]) -> Hello | str:
        either: list[asyncio.Future[Any]] = [greeted, ended]
        await asyncio.wait(either, timeout=self._config.start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        self._drain()  # its last words say more than its exit code
        if greeted.done():
            failure = greeted.exception()
            return str(failure) if failure is not None else greeted.result()
        greeted.cancel()
        if ended.done():
            return f"it ended with exit code {ended.result()} before it was ready"
        return f"it was not ready within {self._config.start_timeout_s:g} s"

    def _serve(self, place: Place, worker_id: str, hello: Hello) -> None:
        link = self._links[worker_id] = place.link = Link(
            worker_id=worker_id,
            hello=hello,
            provider=place.config.provider,
            send=lambda message: self._send(worker_id, message),
            clock=self._clock,
            standing=place.config.standing,
        )
        model = hello.model
        if place.config.standing:
            self.stood[(model.id, model.weights_digest)] = model
        _log.info(
            "worker.ready",
            worker=worker_id,
            model=model.id,
            version=model.version,
            engine=model.engine,
            pid=hello.pid,
            side_by_side=hello.max_active,
            rows=hello.rows,
        )
        self.loading(place.config.name, "ready", 1.0)
        place.futile = 0
        place.settle(True)
        self._changed.set()
        if self.heard_of is not None:
            self.heard_of(link)

    async def _watch(self, worker_id: str, ended: asyncio.Future[int]) -> str:
        loop, silence_s = asyncio.get_running_loop(), self._config.silence_s
        while True:
            await asyncio.wait({ended}, timeout=silence_s / 4)
            self._drain()  # what it said before it ended counts as delivered
            if ended.done():
                return f"exit code {ended.result()}"
            if loop.time() - self._heard.get(worker_id, 0.0) > silence_s:
                return f"silent for {silence_s:g} s"

    def _send(self, worker_id: str, message: ToWorker) -> None:
        if self._socket is None:
            return
        # A peer that is gone is noticed by `_watch`, which ends its generations; nothing is lost by not sending.
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([worker_id.encode(), encode(message)], zmq.NOBLOCK)
        # The socket's descriptor signals changes, not states, and sending may have used one up.
        if self._socket.poll(0):
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        while self._socket is not None:
            try:
                identity, frame = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:
                continue  # not two frames: no worker of ours
            self._hear(identity.decode(errors="replace"), frame)

    def _hear(self, worker_id: str, frame: bytes) -> None:
        if worker_id not in self._greeted:
            return  # an earlier incarnation's last words
        try:
            message: FromWorker = decode_from_worker(frame)
        except ProtocolFault as error:
            _log.error("worker.protocol", worker=worker_id, reason=str(error))
            return
        self._heard[worker_id] = asyncio.get_running_loop().time()
        greeted = self._greeted[worker_id]
        if isinstance(message, StepReport):
            if (link := self._links.get(worker_id)) is not None:
                link.take(message)
        elif isinstance(message, Loading):
            if not self.loading(worker_id.rpartition(".")[0], message.stage, message.fraction):
                _log.info("worker.loading", worker=worker_id, stage=message.stage, fraction=round(message.fraction, 2))
        elif isinstance(message, Hello) and not greeted.done():
            if message.protocol_version == PROTOCOL_VERSION:
                greeted.set_result(message)
            else:
                greeted.set_exception(ProtocolFault(f"it speaks protocol {message.protocol_version}"))
        elif isinstance(message, Fatal):
            _log.error("worker.fatal", worker=worker_id, reason=message.reason)
            if not greeted.done():
                greeted.set_exception(ProtocolFault(message.reason))
        elif not isinstance(message, Alive):
            _log.error("worker.protocol", worker=worker_id, reason=f"unexpected {type(message).__name__}")
