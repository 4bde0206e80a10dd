"""From settings to a served API, until somebody asks it to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

import structlog
import uvloop

from tallystick_platform.api import create_api
from tallystick_platform.app.banner import Ready
from tallystick_platform.app.economy import settle_memory
from tallystick_platform.app.listening import ApiServer, base_url, bind
from tallystick_platform.app.service import Service
from tallystick_platform.app.starting import started
from tallystick_platform.dispatch.pool import Show
from tallystick_platform.settings import Settings

_log = structlog.get_logger(__name__)


def serve(settings: Settings, on_ready: Callable[[Ready], None], show: Show) -> None:
    """Serve until a signal. `show` is told what the start waits for, `on_ready` is called once requests would be answered.

    Raises: PlatformError or TallystickError if the service cannot start.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, on_ready, show))


async def _serve(settings: Settings, on_ready: Callable[[Ready], None], show: Show) -> None:
    with closing(bind(settings.host, settings.port)) as listener:
        url = base_url(settings.host, listener.getsockname()[1])
        show("service", "packages loaded", 1.0)
        async with started(settings, base_url=url, show=show) as running:
            with closing(Service(running)) as service:
                leaving = asyncio.Event()
                server = ApiServer(
                    create_api(service.services, cors_origins=settings.cors_origins), on_leave=leaving.set
                )
                tasks = {
                    asyncio.create_task(_announce(service, url, on_ready), name="announce"),
                    asyncio.create_task(_leave(service, server, leaving), name="leave"),
                }
                try:
                    await server.run_on(listener)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
    _log.info("service.stopped")


async def _announce(service: Service, url: str, on_ready: Callable[[Ready], None]) -> None:
    ready = await service.ready(url)
    settle_memory()
    on_ready(ready)


async def _leave(service: Service, server: ApiServer, leaving: asyncio.Event) -> None:
    await leaving.wait()
    try:
        await service.drain()
    finally:
        server.leave()
