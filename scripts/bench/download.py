"""Downloading a published file, with its admission and record, against a plain file server in the same process and run.

The service runs whole: embedded chain, journal, anchoring. The peer is the framework's own file response on the same HTTP server and
event loop, without authentication, conditions or ledger. Both send the same file, in turns, to a client in another process that reads
and drops it. What aiohttp sends by sendfile(2) is shown beside them, for orientation: this HTTP server cannot do that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psutil
import uvloop
from aiohttp import web
from harness import in_client, judged, options, whole_service
from litestar import Litestar, get
from litestar.response import File

from tallystick.ids import parse_address
from tallystick.manifest import hash_folder
from tallystick_platform.api import create_api
from tallystick_platform.app.starting import Running
from tallystick_platform.logs import configure_logs
from tallystick_platform.store.database import Database
from tallystick_platform.store.jobs import ExportJob, JobState, JobStore, StoredFile
from tallystick_platform.store.row_macs import RowMacs
from tests.support.job_rows import a_job
from tests.support.plain_side import served

SPEED_BAR = 0.80
MEMORY_BAR_MIB = 64
MIB = 1_048_576
NAME = "model.safetensors"
SAMPLE_S = 0.005
READ_BYTES = 1_048_576


async def measure(port: int, path: str, token: str | None) -> float:
    """MiB per second of one download by another process."""
    found = await in_client(__file__, "--fetch", {"port": port, "path": path, "token": token})
    return float(found["bytes"] / MIB / found["seconds"])


def fetch(port: int, path: str, token: str | None) -> None:
    """The fetching process: one GET, read to its end and dropped."""
    import socket

    lines = [f"GET {path} HTTP/1.1", "host: bench", "connection: close"]
    if token is not None:
        lines.append(f"authorization: Bearer {token}")
    buffer = memoryview(bytearray(READ_BYTES))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        count = connection.recv_into(buffer)
        head, _, body = bytes(buffer[:count]).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        size = len(body)
        while count := connection.recv_into(buffer):
            size += count
        seconds = time.perf_counter() - began
    assert size == length, f"{size} bytes of {length}"
    print(json.dumps({"bytes": size, "seconds": seconds}))


def publish(running: Running, size: int) -> ExportJob:
    """A finished export of one file, put where finished exports lie."""
    home = running.settings.paths
    folder = home.exports_dir / "exp_bench"
    folder.mkdir()
    block = hashlib.shake_256(b"bench").digest(MIB)
    with (folder / NAME).open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    manifest = hash_folder(folder)
    assert running.client_file is not None
    job = a_job(
        id=folder.name,
        owner=parse_address(json.loads(running.client_file.read_text())["address"]),
        state=JobState.FINISHED,
        files=tuple(StoredFile(name=e.name, size=e.size, sha256=e.sha256) for e in manifest.files),
        digest=manifest.digest,
        finished_at=1,
    )
    with closing(Database.open(home.journal_path)) as database:
        return JobStore(database, RowMacs(running.keys.operator.secret)).insert(job)


def plain_server(path: Path) -> Litestar:
    @get("/file")
    async def plain_file() -> File:
        return File(path, filename=path.name)

    return Litestar(route_handlers=[plain_file], openapi_config=None, logging_config=None)


@contextlib.asynccontextmanager
async def sendfile_server(path: Path) -> AsyncIterator[int]:
    """The same file by aiohttp; gives the port."""

    async def plain_file(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    app = web.Application()
    app.router.add_get("/file", plain_file)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def watched_memory(peaks: list[float]) -> AsyncIterator[None]:
    """Appends how much this process grew meanwhile, at its most. Units: MiB."""
    process = psutil.Process()
    before = peak = process.memory_info().rss

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(SAMPLE_S)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        peaks.append((peak - before) / MIB)


async def compare(home: Path, rounds: int, size: int) -> tuple[dict[str, list[float]], list[float]]:
    """Speeds in MiB/s of each side by round, and the growth of the process at each download of ours."""
    speeds: dict[str, list[float]] = {"plain": [], "ours": [], "sendfile": []}
    growth: list[float] = []
    async with whole_service(home, "constant") as (service, token):
        job = publish(service.running, size)
        path = service.running.settings.paths.exports_dir / job.id / NAME
        async with (
            served(plain_server(path)) as plain,
            served(create_api(service.services)) as ours,
            sendfile_server(path) as sendfile,
        ):
            sides = {
                "plain": (plain, "/file", None),
                "ours": (ours, f"/v1/exports/{job.id}/files/{NAME}", token),
                "sendfile": (sendfile, "/file", None),
            }
            for name, side in sides.items():  # the first of ours counts for memory, not for speed
                async with watched_memory(growth if name == "ours" else []):
                    await measure(*side)
            for number in range(rounds):
                order = list(sides) if number % 2 == 0 else list(sides)[::-1]
                for name in order:
                    async with watched_memory(growth if name == "ours" else []):
                        speeds[name].append(await measure(*sides[name]))
                latest = ", ".join(f"{name} {found[-1]:.0f}" for name, found in speeds.items())
                print(f"  round {number + 1}: {latest} MiB/s; ours grew by {max(growth):.1f} MiB at most", flush=True)
    return speeds, growth


def main() -> int:
    parser = options(__doc__, "a smaller file, fewer rounds")
    parser.add_argument("--fetch", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch(**json.loads(arguments.fetch))
        return 0
    configure_logs("error")
    rounds, size = (5, 256 * MIB) if arguments.short else (9, 1_024 * MIB)
    with tempfile.TemporaryDirectory() as home:
        speeds, growth = uvloop.run(compare(Path(home), rounds, size))
    ratio = statistics.median(ours / plain for ours, plain in zip(speeds["ours"], speeds["plain"], strict=True))
    beside = statistics.median(speeds["sendfile"])
    fast = judged(f"download over a plain file server: {ratio:.2f} (bar: {SPEED_BAR:.2f})", ratio >= SPEED_BAR)
    most = max(growth)
    small = judged(f"memory of a download: {most:.1f} MiB (bar: {MEMORY_BAR_MIB})", most <= MEMORY_BAR_MIB)
    print(f"for orientation, sendfile: {beside:.0f} MiB/s")
    return 0 if fast and small else 1


if __name__ == "__main__":
    sys.exit(main())
