"""Loading and unloading at somebody's word: the operator's, or the model's owner's."""

from __future__ import annotations

import asyncio

from tallystick.ids import Address
from tallystick_platform.api.services import LoadState
from tallystick_platform.dispatch import Dispatcher
from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import ModelVersion, Stage
from tallystick_platform.registry.registry import Registry


class LoadingDesk:
    """Implements `api.services.Loading`, for a model's owner and the operator."""

    def __init__(self, dispatcher: Dispatcher, registry: Registry, operator: Address) -> None:
        self._dispatcher = dispatcher
        self._registry = registry
        self._operator = operator

    async def load(self, reference: str, address: Address) -> LoadState:
        """Load a version. Raises: UnknownModel, NotTheOwner, and whatever keeps it from being loaded."""
        version = await asyncio.to_thread(self._registry.owned, reference, self._viewer(address))
        if version.stage is Stage.RETIRED:
            raise UnknownModel(model=reference)
        await self._dispatcher.load(version.reference, address)
        return self._state(version)

    async def unload(self, reference: str, address: Address) -> LoadState:
        """Unload a version. Raises: UnknownModel, NotTheOwner, ModelPinned, ModelBusy."""
        version = await asyncio.to_thread(self._registry.owned, reference, self._viewer(address))
        await self._dispatcher.unload(version.reference, None)
        return self._state(version)

    def _viewer(self, address: Address) -> Address | None:
        return None if address == self._operator else address

    def _state(self, version: ModelVersion) -> LoadState:
        beside = [one for one in self._dispatcher.loaded() if one.servable.reference == version.reference]
        stands = not beside and self._dispatcher.serves(version.model.id, version.digest)
        return LoadState(
            id=version.model.id,
            version=version.version,
            loaded=bool(beside) or stands,
            pinned=stands or version.pinned,
            memory_bytes=beside[0].needed_bytes if beside else None,
        )
