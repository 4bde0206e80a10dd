"""The registry as the dispatcher asks it: what a name means to one who asks, remembered for less than a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tallystick.ids import Address
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch.versions import Servable
from tallystick_platform.errors import PlatformError, UnknownModel
from tallystick_platform.registry.entries import ModelVersion, Stage, Visibility
from tallystick_platform.registry.registry import Registry
from tallystick_platform.store.remembered import Remembered

MAX_REFERENCE_CHARS = 192  # longer ones name nothing, and are not kept


class RegistryCatalog:
    """Implements `dispatch.Catalog`. The registry is asked in threads. A caller with the operator's own address is the operator."""

    def __init__(self, registry: Registry, operator: Address, clock: Clock) -> None:
        self._registry = registry
        self._operator = operator
        self._found: Remembered[tuple[str, Address | None], Servable | PlatformError] = Remembered(self._look_up, clock)
        self._offered: Remembered[str, tuple[Servable | None, bool]] = Remembered(self._offer, clock)

    async def resolve(self, reference: str, viewer: Address | None) -> Servable:
        """The version that answers. Raises: UnknownModel; SignatureRefused where the policy asks for a signature that it lacks."""
        if len(reference) > MAX_REFERENCE_CHARS:
            raise UnknownModel(model=reference[:MAX_REFERENCE_CHARS])
        found = await self._found.get((reference, None if viewer == self._operator else viewer))
        if isinstance(found, PlatformError):
            raise found.with_traceback(None)  # raised again and again, it would grow
        return found

    async def offered(self, reference: str) -> tuple[Servable | None, bool]:
        """What answers the operator, and whether it is registered at whatever stage; see `dispatch.Catalog`."""
        return await self._offered.get(reference)

    async def pinned(self) -> Sequence[Servable]:
        """The versions to be loaded from the start; what may not be loaded is left to be refused when it is asked for."""
        return await asyncio.to_thread(self._pinned)

    def forget(self) -> None:
        """Ask the registry anew: something was changed in this process. Called from any thread."""
        self._found.forget()
        self._offered.forget()

    def _pinned(self) -> list[Servable]:
        versions = [one for one in self._registry.all_versions() if one.pinned and one.stage is not Stage.RETIRED]
        found = [self._look_up((version.reference, None)) for version in versions]
        return [servable for servable in found if isinstance(servable, Servable)]

    def _look_up(self, asked: tuple[str, Address | None]) -> Servable | PlatformError:
        try:
            version = self._registry.resolve(*asked)
            self._registry.signatures.clear(version)
            return self._servable(version)
        except PlatformError as error:
            return error

    def _offer(self, reference: str) -> tuple[Servable | None, bool]:
        try:
            self._registry.find(reference, None)
        except UnknownModel:
            return None, False
        found = self._look_up(
            (reference, None)
        )  # after the other: what is found there is here, unless it was withdrawn
        return (found if isinstance(found, Servable) else None), True

    def _servable(self, version: ModelVersion) -> Servable:
        base = None if version.base is None else self._registry.find(version.base, None)
        price = version.price
        return Servable(
            model_id=version.model.id,
            version=version.version,
            digest=version.digest,
            folder=self._registry.path(version),
            task=version.task,
            format=version.format,
            pinned=version.pinned,
            public=version.model.visibility is Visibility.PUBLIC and version.stage is Stage.PRODUCTION,
            price_per_hour_micros=None if price is None else price.per_hour_micros,
            currency=None if price is None else price.currency,
            base_folder=None if base is None else self._registry.path(base),
            base_digest=None if base is None else base.digest,
        )
