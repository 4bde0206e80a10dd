"""No query of the service runs in its event loop: while the database answers nobody, everything that needs no query goes on."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, event

from tallystick_platform.api import create_api
from tallystick_platform.app.service import Service
from tallystick_platform.app.starting import started
from tallystick_platform.clock import SystemClock
from tallystick_platform.settings import Settings
from tallystick_platform.store import database as database_module
from tallystick_platform.store.remembered import REMEMBER_NS

pytestmark = [pytest.mark.xdist_group("system")]

BASE_URL = "http://127.0.0.1:8000"
CHAT = {"model": "constant", "messages": [{"role": "user", "content": "Hello"}]}
LIMIT_S = 60
TURNS = 2_000  # of the loop, while the database stands still
READS = (
    "/v1/models",
    "/v1/models/constant",
    "/v1/records",
    "/v1/exports",
    "/v1/ledger",
    "/v1/ledger/batches",
    "/readyz",
    "/metrics",
)


class MovedClock(SystemClock):
    """The machine's clock, whose durations a test may move ahead."""

    __slots__ = ("ahead_ns",)

    def __init__(self) -> None:
        super().__init__()
        self.ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


class Watched:
    """Every statement that any connection to the journal's database runs: in which thread, and held while `go` is not set."""

    def __init__(self) -> None:
        self.loop_thread: int | None = None
        self.in_loop: list[str] = []
        self.held = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def watch(self, engine: Engine) -> Engine:
        @event.listens_for(engine, "connect")
        def _trace(connection: sqlite3.Connection, _record: object) -> None:
            connection.set_trace_callback(self._statement)

        return engine

    def _statement(self, sql: str) -> None:
        if threading.get_ident() == self.loop_thread:
            self.in_loop.append(sql)
            return
        if not self.go.is_set():
            self.held.set()
            self.go.wait(LIMIT_S)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched, engine_of = Watched(), database_module._engine
    monkeypatch.setattr(database_module, "_engine", lambda path: watched.watch(engine_of(path)))
    return watched


@asynccontextmanager
async def serving(home: Path, clock: MovedClock) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(home=home, model="constant", chain_port=0, batch_max_age_ms=50)
    async with started(settings, base_url=BASE_URL, clock=clock) as running:
        with closing(Service(running)) as service:
            await running.dispatcher.wait_ready()
            token = json.loads(running.client_file.read_text())["token"]
            transport = httpx.ASGITransport(create_api(service.services))
            headers = {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(
                transport=transport, base_url=BASE_URL, headers=headers, timeout=LIMIT_S
            ) as client:
                yield client
            await service.drain()


async def test_requests_of_every_kind_leave_the_event_loop_to_others_while_the_database_stands_still(
    tmp_path: Path, watched: Watched
) -> None:
    clock = MovedClock()
    async with serving(tmp_path, clock) as client:
        first = await client.post("/v1/chat/completions", json=CHAT)
        record_id = first.json()["tallystick"]["record_id"]
        clock.ahead_ns += REMEMBER_NS  # what was remembered counts no longer
        watched.loop_thread = threading.get_ident()
        watched.go.clear()
        asked = [
            asyncio.create_task(client.post("/v1/chat/completions", json=CHAT)),
            asyncio.create_task(client.post("/v1/chat/completions", json={**CHAT, "stream": True})),
            asyncio.create_task(client.post("/v1/embeddings", json={"model": "constant", "input": ["Hello"]})),
            asyncio.create_task(client.post("/v1/completions", json={"model": "constant", "prompt": "Hello"})),
            asyncio.create_task(client.post("/v1/models/constant/exports", json={"format": "gguf"})),
            *(asyncio.create_task(client.get(path)) for path in (*READS, f"/v1/records/{record_id}")),
        ]
        try:
            assert await asyncio.to_thread(watched.held.wait, LIMIT_S)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert (await client.get("/healthz")).status_code == 200
            assert not asked[0].done()
        finally:
            watched.go.set()
        answers = await asyncio.gather(*asked)
        watched.loop_thread = None
        assert [answer.status_code for answer in answers[:4]] == [200] * 4
        assert [answer.status_code for answer in answers[4:] if answer.status_code >= 500] == []
        assert watched.in_loop == []
