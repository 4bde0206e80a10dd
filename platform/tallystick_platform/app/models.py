"""What can be done with models over HTTP, in a started service; space is given back at the start and from then on now and then."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

from tallystick_platform.clock import Clock
from tallystick_platform.dispatch import Dispatcher
from tallystick_platform.keyring import Keyring
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.registry.entries import ModelVersion
from tallystick_platform.registry.registrations import Registrations
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.uploads import Uploads
from tallystick_platform.settings import Settings
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


def start_models(
    settings: Settings,
    *,
    keys: Keyring,
    registry: Registry,
    dispatcher: Dispatcher,
    database: Database,
    macs: RowMacs,
    clock: Clock,
    stack: AsyncExitStack,
) -> ModelDesk:
    """The desk, sweeping in the background; leaving the stack ends both."""
    operator = keys.operator.address

    def served(version: ModelVersion) -> bool:
        return dispatcher.serves(version.model.id, version.digest)

    uploads = Uploads(registry, database, macs, clock, lifetime_s=settings.upload_lifetime_s, operator=operator)
    desk = ModelDesk(registry, uploads, Registrations(), operator=operator, served=served, changed=dispatcher.forget)
    sweeping = asyncio.create_task(desk.sweep_forever(), name="sweep")

    async def stop() -> None:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        await desk.stop()

    stack.push_async_callback(stop)
    return desk
