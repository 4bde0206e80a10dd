"""Where the workers of one pool reach the API process: a socket in a folder that nobody else enters."""

from __future__ import annotations

import tempfile
from pathlib import Path

import zmq

from tallystick_platform.protocol import MAX_FRAME_BYTES

MAX_SOCKET_PATH_BYTES = 100  # a Unix socket's path has at most 107


def socket_folder(run_dir: Path) -> Path:
    """A new folder, mode 0700, whose path is short enough for a Unix socket."""
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent: Path | None = run_dir if len(str(run_dir).encode()) <= MAX_SOCKET_PATH_BYTES - 40 else None
    return Path(tempfile.mkdtemp(prefix="workers-" if parent else "tallystick-workers-", dir=parent))


def open_router(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    """The API's end, bound."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a message to a worker that is gone is an error, not silence
    socket.setsockopt(zmq.SNDHWM, 0)  # what may wait is bounded by each worker's max_requests
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.bind(endpoint)
    return socket
