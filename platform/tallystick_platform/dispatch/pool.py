"""The worker pool: starts worker processes, listens to them, and starts them again when they end.

Per worker place, forever:

1. *Start* a process under a new identity. Messages of an earlier one can then not be taken for its own.
2. *Wait for hello*, within the start bound. A worker that reports Fatal, ends or stays silent is ended: back to 1, after a delay.
3. *Serve* until the process ends or is silent beyond `silence_s`.
4. *Fail* every generation that it held with `WorkerDied`; back to 1, after a delay that grows with each quick death and is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import zmq

from tallystick_platform.dispatch import process as worker_process
from tallystick_platform.dispatch.link import Link
from tallystick_platform.protocol import (
    MAX_FRAME_BYTES,
    PROTOCOL_VERSION,
    Alive,
    Fatal,
    FromWorker,
    Hello,
    Loading,
    ProtocolFault,
    ProviderInfo,
    StepReport,
    ToWorker,
    WorkerConfig,
    decode_from_worker,
    encode,
)

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 15.0
STEADY_AFTER_S = 60.0
"""A worker that lived this long died of something new: the delay starts over."""
DEFAULT_SILENCE_S = 60.0
"""Longer than any engine step; a worker that says nothing for so long hangs."""
STOPPING = "the server stops"
MAX_SOCKET_PATH_BYTES = 100  # a Unix socket's path has at most 107

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """What to run. Units: seconds."""

    workers: int
    engine: str
    model: str
    models_dir: Path
    run_dir: Path
    provider: ProviderInfo
    max_requests: int
    start_timeout_s: float
    step_s: float = 0.0
    silence_s: float = DEFAULT_SILENCE_S


class WorkerPool:
    """Owns the socket and one supervising task per worker place. Everything runs in one event loop."""

    def __init__(self, config: PoolConfig, now_us: Callable[[], int]) -> None:
        self._config = config
        self._now_us = now_us
        self._links: dict[str, Link] = {}
        self._greeted: dict[str, asyncio.Future[Hello]] = {}
        self._heard: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._folder: Path | None = None
        self._changed = asyncio.Event()
        self.last_fault: str | None = None
        self.restarts = 0

    @property
    def links(self) -> list[Link]:
        """The workers that serve now."""
        return list(self._links.values())

    def link(self, worker_id: str) -> Link | None:
        """One of them by its identity."""
        return self._links.get(worker_id)

    async def start(self) -> None:
        """Bind the socket and start supervising; workers become ready later."""
        loop = asyncio.get_running_loop()
        self._folder = _socket_folder(self._config.run_dir)
        self._context = zmq.Context()
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a message to a worker that is gone is an error, not silence
        socket.setsockopt(zmq.SNDHWM, 0)  # what may wait is bounded by each worker's max_requests
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.bind(self._endpoint)
        self._socket = socket
        loop.add_reader(socket.fileno(), self._drain)
        self._tasks = [
            loop.create_task(self._supervise(place), name=f"worker place {place}")
            for place in range(self._config.workers)
        ]

    async def wait_ready(self) -> None:
        """Return once a worker serves."""
        while not self._links:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """End the workers and the supervision."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
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

    async def _supervise(self, place: int) -> None:
        delay, incarnation = FIRST_DELAY_S, 0
        loop = asyncio.get_running_loop()
        while True:
            incarnation += 1
            born = loop.time()
            reason = await self._live(f"worker-{place}.{incarnation}")
            self.last_fault = reason
            self.restarts += 1
            delay = FIRST_DELAY_S if loop.time() - born > STEADY_AFTER_S else delay
            _log.warning("worker.ended", place=place, reason=reason, restart_in_s=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, MAX_DELAY_S)

    async def _live(self, worker_id: str) -> str:
        """One incarnation from start to end; why it ended."""
        try:
            process = await worker_process.start(self._told(worker_id))
        except OSError as error:  # no memory, no file descriptors: that may pass
            return f"it could not be started: {error}"

        ended = asyncio.ensure_future(process.wait())
        greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._greeted[worker_id] = greeted
        reason = STOPPING
        try:
            hello = await self._greeting(greeted, ended)
            if isinstance(hello, str):
                reason = hello
                return reason
            self._serve(worker_id, hello)
            reason = await self._watch(worker_id, ended)
            return reason
        finally:
            self._greeted.pop(worker_id, None)
            self._heard.pop(worker_id, None)
            link = self._links.pop(worker_id, None)
            if reason is not STOPPING:
                self.last_fault = reason
            if link is not None:
                link.die(reason)
            await asyncio.shield(worker_process.end(process))
            ended.cancel()

    def _told(self, worker_id: str) -> WorkerConfig:
        config = self._config
        return WorkerConfig(
            endpoint=self._endpoint,
            worker_id=worker_id,
            engine="constant" if config.engine == "constant" else "torch",
            model=config.model,
            models_dir=str(config.models_dir),
            max_requests=config.max_requests,
            step_s=config.step_s,
        )

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

    def _serve(self, worker_id: str, hello: Hello) -> None:
        self._links[worker_id] = Link(
            worker_id=worker_id,
            hello=hello,
            provider=self._config.provider,
            send=lambda message: self._send(worker_id, message),
            now_us=self._now_us,
        )
        _log.info("worker.ready", worker=worker_id, model=hello.model.id, engine=hello.model.engine, pid=hello.pid)
        self._changed.set()

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


def _socket_folder(run_dir: Path) -> Path:
    """A new folder, mode 0700, whose path is short enough for a Unix socket."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent: Path | None = run_dir if len(str(run_dir).encode()) <= MAX_SOCKET_PATH_BYTES - 40 else None
    return Path(tempfile.mkdtemp(prefix="workers-" if parent else "tallystick-workers-", dir=parent))
