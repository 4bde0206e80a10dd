"""What can be done with models over HTTP: the desk, which gives space back now and then, and loading at somebody's word."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from tallystick.ids import Address
from tallystick_platform.api.services import LoadState
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.errors import UnknownModel
from tallystick_platform.keyring import Keyring
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.registry.entries import ModelVersion, Stage
from tallystick_platform.registry.registrations import Registrations
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.uploads import Uploads
from tallystick_platform.settings import Settings
from tallystick_platform.store.database import Database
from tallystick_platform.store.row_macs import RowMacs


def start_models(
    settings: Settings,
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
        await desk.registrations.stop()

    stack.push_async_callback(stop)
    return desk


@dataclass(frozen=True, slots=True)
class LoadingDesk:
    """Implements `api.services.Loading`, for a model's owner and the operator."""

    dispatcher: Dispatcher
    registry: Registry
    operator: Address

    async def load(self, reference: str, address: Address) -> LoadState:
        """Load a version. Raises: UnknownModel, NotTheOwner, and whatever keeps it from being loaded."""
        version = await asyncio.to_thread(self.registry.owned, reference, self._viewer(address))
        if version.stage is Stage.RETIRED:
            raise UnknownModel(model=reference)
        await self.dispatcher.load(version.reference, address)
        return self._state(version)

    async def unload(self, reference: str, address: Address) -> LoadState:
        """Unload a version. Raises: UnknownModel, NotTheOwner, ModelPinned, ModelBusy."""
        version = await asyncio.to_thread(self.registry.owned, reference, self._viewer(address))
        await self.dispatcher.unload(version.reference, None)
        return self._state(version)

    def _viewer(self, address: Address) -> Address | None:
        return None if address == self.operator else address

    def _state(self, version: ModelVersion) -> LoadState:
        beside = [one for one in self.dispatcher.loaded() if one.servable.reference == version.reference]
        stands = not beside and self.dispatcher.serves(version.model.id, version.digest)
        return LoadState(
            id=version.model.id,
            version=version.version,
            loaded=bool(beside) or stands,
            pinned=stands or version.pinned,
            memory_bytes=beside[0].needed_bytes if beside else None,
        )
