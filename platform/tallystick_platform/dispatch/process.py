"""Worker processes: how one is started and ended, and the socket at which they reach this process."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import msgspec
import zmq

from tallystick_platform.protocol import MAX_FRAME_BYTES, WorkerConfig

STOP_GRACE_S = 5.0
MODULE = "tallystick_platform.worker"
MAX_SOCKET_PATH_BYTES = 100  # a Unix socket's path has at most 107


async def start(config: WorkerConfig) -> Process:
    """Start a worker. It leaves when its standard input ends, which happens when this process dies, however it dies."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULE,
        msgspec.json.encode(config).decode(),
        stdin=PIPE,
        stdout=DEVNULL,  # standard output is this process's own: a worker logs on standard error
        env={**os.environ, "TQDM_DISABLE": "1"},  # the libraries' own bars; progress is told in the protocol
        start_new_session=True,
    )


async def end(process: Process) -> int:
    """End a worker: by the end of its input, then by force."""
    if process.returncode is not None:
        return process.returncode
    if process.stdin is not None:
        process.stdin.close()
    try:
        return await asyncio.wait_for(process.wait(), STOP_GRACE_S)
    except TimeoutError:
        process.kill()
        return await process.wait()


def socket_folder(run_dir: Path) -> Path:
    """A new folder, mode 0700, that nobody else enters and whose path is short enough for a Unix socket."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent: Path | None = run_dir if len(str(run_dir).encode()) <= MAX_SOCKET_PATH_BYTES - 40 else None
    return Path(tempfile.mkdtemp(prefix="workers-" if parent else "tallystick-workers-", dir=parent))


def open_router(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """The API's end of the workers' socket, bound."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a message to a worker that is gone is an error, not silence
    socket.setsockopt(zmq.SNDHWM, 0)  # what may wait is bounded by each worker's max_requests
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.bind(endpoint)
    return socket
