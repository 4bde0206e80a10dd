"""Real worker processes with the constant engine, and ways to wait for them without sleeping."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tallystick.ids import Address
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.place import PoolConfig
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Servable
from tallystick_platform.errors import UnknownModel
from tallystick_platform.protocol import ProviderInfo
from tests.support.clocks import FixedClock

PROVIDER = ProviderInfo(id="p", name="Provider", address=b"\x11" * 20, price_per_hour_micros=500_000, currency="USD")
LIMIT_S = 60.0
NOW_US = 1_700_000_000_000_000


def pool_config(folder: Path, **changes: Any) -> PoolConfig:
    """One worker without a model."""
    values: dict[str, Any] = {
        "workers": 1,
        "engine": "constant",
        "model": "constant",
        "models_dir": folder / "models",
        "run_dir": folder / "run",
        "provider": PROVIDER,
        "max_requests": 8,
        "start_timeout_s": LIMIT_S,
    }
    return PoolConfig(**{**values, **changes})


class EmptyCatalog:
    """A registry without any model."""

    async def resolve(self, reference: str, viewer: Address | None) -> Servable:
        raise UnknownModel(model=reference)

    async def offered(self, reference: str) -> tuple[Servable | None, bool]:
        return None, False

    async def pinned(self) -> list[Servable]:
        return []

    def forget(self) -> None:
        return


def dispatcher_over(pool: WorkerPool) -> Dispatcher:
    """A dispatcher that has nothing but the pool's standing workers."""
    fleet = Fleet(pool, PROVIDER, needed=lambda _: 0, available=lambda: 0, clock=FixedClock(NOW_US))
    return Dispatcher(pool, EmptyCatalog(), fleet)


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[tuple[Dispatcher, WorkerPool]]:
    """A started pool whose first worker serves."""
    pool = WorkerPool(pool_config(folder, **changes), FixedClock(NOW_US))
    dispatcher = dispatcher_over(pool)
    await dispatcher.start_workers()
    try:
        async with asyncio.timeout(LIMIT_S):
            await dispatcher.wait_ready()
        yield dispatcher, pool
    finally:
        await dispatcher.stop_workers()


async def reader(awaited: Any) -> Any:
    """Await with the tests' bound."""
    async with asyncio.timeout(LIMIT_S):
        return await awaited


def wait_for_end(pid: int, limit_s: float = 20.0) -> bool:
    """Whether a process ends within the limit."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit_s)[0])
    finally:
        os.close(descriptor)
