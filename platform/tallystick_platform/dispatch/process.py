"""Worker processes: how one is started, watched and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

import msgspec

from tallystick_platform.protocol import WorkerConfig

STOP_GRACE_S = 5.0
MODULE = "tallystick_platform.worker"


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
