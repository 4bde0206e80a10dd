"""Who computes a request: the least loaded worker that serves its model, loaded first where it is only registered.

    reference = model ["@" version]     version: 8 or more of the first hexadecimal digits of its digest

The registry is asked first, because it alone knows what a name means today and who may know of it. The standing workers serve the
version that it names if they have it, and what the settings name even if no registry knows it.
"""

from __future__ import annotations

import asyncio

import structlog

from tallystick.ids import Address
from tallystick_platform import errors
from tallystick_platform.dispatch.catalog import Catalog, Servable
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.dispatch.link import Link, Placement
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import LoadedVersion
from tallystick_platform.protocol import GenerationRequest, ModelInfo, ProviderInfo

MIN_VERSION_CHARS = 8
WITHDRAWN_CHECK_S = 1.0  # the catalogue remembers what the registry says for as long

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Selects among the workers of a pool. Catalog and fleet come together or not at all."""

    def __init__(self, pool: WorkerPool, catalog: Catalog | None = None, fleet: Fleet | None = None) -> None:
        self._pool = pool
        self._catalog = catalog
        self._fleet = fleet
        self._seen: dict[tuple[str, bytes], ModelInfo] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether a standing worker serves now."""
        return bool(self._pool.standing)

    @property
    def last_fault(self) -> str | None:
        """Why the last standing worker that ended did."""
        return self._pool.last_fault

    def models(self) -> list[ModelInfo]:
        """The models that somebody serves now and everybody may see, each version once."""
        public = [one.servable for one in self.loaded() if one.servable.public and not self._withdrawn(one.servable)]
        shown = {(one.model_id, one.digest) for one in public}
        links = [link for link in self._pool.links if link.standing or _identity(link.placement.model) in shown]
        return list({_identity(link.placement.model): link.placement.model for link in links}.values())

    def loaded(self) -> list[LoadedVersion]:
        """The registered versions that are loaded beside the standing model."""
        return [] if self._fleet is None else self._fleet.loaded()

    def select(self, reference: str, viewer: Address | None = None) -> Placement | None:
        """Who computes this, claimed until it is released; None if its version is registered and not loaded.

        Raises: UnknownModel if nobody ever served it; NoProvider if nobody does now.
        """
        servable = self._resolve(reference, viewer)
        if servable is not None:
            if not self._stands(servable):
                return None if self._fleet is None else self._fleet.claim(servable)
            reference = servable.reference
        model_id, _, version = reference.partition("@")
        candidates = [link for link in self._pool.standing if _answers_to(link.placement.model, model_id, version)]
        if candidates:
            chosen: Link = min(candidates, key=lambda link: link.load)
            self._remember(chosen.placement.model)
            return chosen.placement
        if any(_answers_to(model, model_id, version) for model in self._seen.values()):
            raise errors.NoProvider(model=reference)
        if not self._pool.standing and not self._seen:
            raise errors.NoProvider(model=reference)  # nobody has said yet what is served
        raise errors.UnknownModel(model=reference)

    async def load(self, reference: str, viewer: Address | None = None) -> Placement:
        """Who computes this, claimed until it is released; loaded first if need be.

        Raises: UnknownModel, NoProvider, NotServable, ModelTooLarge, NoRoomForModel, ModelLoadFailed, QueueFull
        """
        await self._pool.settled()  # what is asked for may be what the standing workers are about to serve
        placement = self.select(reference, viewer)
        servable = self._resolve(reference, viewer)
        if placement is None and servable is not None and self._fleet is not None:
            placement = await self._fleet.obtain(servable)
        if placement is None:
            raise errors.UnknownModel(model=reference)
        return placement

    async def unload(self, reference: str, viewer: Address | None = None) -> bool:
        """Unload a version; whether it was loaded. One that was withdrawn since answers to its full name, for the operator.

        Raises: UnknownModel, ModelPinned, ModelBusy
        """
        servable = self._resolve(reference, viewer)
        if servable is None and viewer is None:
            servable = next((one.servable for one in self.loaded() if one.servable.reference == reference), None)
        if servable is None or self._fleet is None or self._stands(servable):
            self.select(reference, viewer)
            raise errors.ModelPinned(model=reference)
        return await self._fleet.unload(servable)

    async def unload_withdrawn(self) -> None:
        """Give back the memory of versions that the registry answers with no longer, once nobody uses them."""
        for one in self.loaded():
            if self._fleet is not None and self._withdrawn(one.servable) and await self._fleet.withdraw(one.servable):
                _log.info("model.withdrawn", model=one.servable.reference)

    def serves(self, model_id: str, digest: bytes) -> bool:
        """Whether a worker has this version loaded, or is loading it."""
        standing = any(_identity(link.placement.model) == (model_id, digest) for link in self._pool.standing)
        return standing or (self._fleet is not None and self._fleet.uses(model_id, digest))

    def forget(self) -> None:
        """The registry was changed in this process."""
        if self._catalog is not None:
            self._catalog.forget()

    def release(self, placement: Placement) -> None:
        """Give back what `select` or `load` claimed."""
        if self._fleet is not None:
            self._fleet.release(placement)

    def start(self, placement: Placement, request: GenerationRequest) -> Generation:
        """Hand a request to the worker of its placement.

        Raises: QueueFull; NoProvider if that worker is gone.
        """
        link = self._pool.link(placement.worker)
        if link is None:
            raise errors.NoProvider(model=placement.model.id)
        if link.full:
            raise errors.QueueFull(limit=link.max_requests)
        return link.submit(request)

    def provider(self, model_id: str) -> ProviderInfo:
        """Who offers a model, at the price of its worker if it has one now."""
        for link in self._pool.links:
            if link.placement.model.id == model_id:
                return link.placement.provider
        return self._pool.provider

    async def start_workers(self) -> None:
        """Start the pool; workers become ready later, and pinned versions after them."""
        await self._pool.start()
        if self._catalog is not None and self._fleet is not None:
            self._tasks.append(asyncio.create_task(self._preload(self._catalog), name="preload"))
            self._tasks.append(asyncio.create_task(self._watch_withdrawn(), name="withdrawn"))

    async def wait_ready(self) -> None:
        """Return once a standing worker serves."""
        await self._pool.wait_ready()

    async def stop_workers(self) -> None:
        """End the pool."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._fleet is not None:
            await self._fleet.stop()
        await self._pool.stop()

    async def _preload(self, catalog: Catalog) -> None:
        """Load what is pinned. What cannot be loaded now is tried again when it is asked for."""
        for servable in catalog.pinned():
            try:
                self.release(await self.load(servable.reference))
            except errors.PlatformError as error:
                _log.error("model.pinned_not_loaded", model=servable.reference, reason=str(error))

    async def _watch_withdrawn(self) -> None:
        while True:
            await asyncio.sleep(WITHDRAWN_CHECK_S)
            (fault,) = await asyncio.gather(self.unload_withdrawn(), return_exceptions=True)
            if fault is not None:  # looked for again in a moment
                _log.error("model.withdrawn_not_unloaded", exc_info=fault)

    def _withdrawn(self, servable: Servable) -> bool:
        """Whether the registry no longer answers with this very version, not even to the operator."""
        return self._catalog is not None and self._resolve(servable.reference, None) is None

    def _resolve(self, reference: str, viewer: Address | None) -> Servable | None:
        """What the registry has under this reference; None where it has nothing that this viewer may see."""
        if self._catalog is None:
            return None
        try:
            return self._catalog.resolve(reference, viewer)
        except errors.UnknownModel:
            return None

    def _stands(self, servable: Servable) -> bool:
        """Whether the standing workers serve this version, or did when they last said what they serve."""
        for link in self._pool.standing:
            self._remember(link.placement.model)
        return (servable.model_id, servable.digest) in self._seen

    def _remember(self, model: ModelInfo) -> None:
        self._seen[_identity(model)] = model


def _identity(model: ModelInfo) -> tuple[str, bytes]:
    return (model.id, model.weights_digest)


def _answers_to(model: ModelInfo, model_id: str, version: str) -> bool:
    """Whether a reference names this model: by its id, and by the beginning of its digest if it names a version."""
    if model.id != model_id:
        return False
    if not version:
        return True
    return len(version) >= MIN_VERSION_CHARS and model.weights_digest.hex().startswith(version)
