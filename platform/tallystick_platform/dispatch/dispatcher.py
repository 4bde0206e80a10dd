"""Who computes a request: the least loaded worker that serves its model. A model that is only registered is loaded first.

    reference = model ["@" version]     version: 8 or more of the first hexadecimal digits of its digest

The registry is asked first. It alone decides for every name that it knows: which version that is today, who may ask for it, whether it is
retired. A standing worker that has this version serves it. The model that the settings name is served by its own name only until it is
registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from tallystick.ids import Address
from tallystick_platform import errors
from tallystick_platform.dispatch.fleet import Fleet, LoadedVersion
from tallystick_platform.dispatch.link import Claim, Link
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Catalog, Key, Servable
from tallystick_platform.protocol import ModelInfo, ProviderInfo

MIN_VERSION_CHARS = 8
WITHDRAWN_CHECK_S = 1.0  # the catalogue remembers what the registry says for as long

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Chooses among the workers of a pool; `fleet` loads versions of `catalog` beside the standing ones."""

    def __init__(self, pool: WorkerPool, catalog: Catalog, fleet: Fleet) -> None:
        self._pool = pool
        self._catalog = catalog
        self._fleet = fleet
        self._known: set[Key] = set()  # standing versions that the registry has known
        self._hidden: set[Key] = set()  # running versions that not everybody may ask for now
        self._resting = False  # what the standing places serve was withdrawn, so they are closed
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether the models show what a standing worker serves now, but for what not everybody may ask for."""
        shown = {_key(model) for model in self.models()} | self._hidden
        return self._resting or any(_key(link.placement.model) in shown for link in self._pool.standing)

    @property
    def last_fault(self) -> str | None:
        """Why the last standing worker that ended did."""
        return self._pool.last_fault

    def models(self) -> list[ModelInfo]:
        """The models that somebody serves now and everybody may ask for, each version once."""
        found = {_key(link.placement.model): link.placement.model for link in self._pool.links}
        private = {one.servable.key for one in self.loaded() if not one.servable.public}
        return [model for key, model in found.items() if key not in self._hidden | private]

    def loaded(self) -> list[LoadedVersion]:
        """The registered versions that are loaded beside the standing model."""
        return self._fleet.loaded()

    async def claim(self, reference: str, viewer: Address | None, task: str) -> Claim:
        """A place with the least loaded worker of this model, counted from now on; the model is loaded first if need be.

        Raises: UnknownModel, NoProvider, TaskNotServed, QueueFull, SignatureRefused, and why the model is not loaded: NotServable,
        ModelTooLarge, NoRoomForModel, Overloaded, ModelLoadFailed
        """
        links = await self._serving(reference, viewer)  # nothing is awaited between this and the claim
        return _claimed(links, reference, task)

    async def load(self, reference: str, viewer: Address | None) -> None:
        """Load a version, if it is not loaded. Raises: what `claim` does, but for QueueFull and TaskNotServed."""
        await self._serving(reference, viewer)

    async def unload(self, reference: str, viewer: Address | None) -> bool:
        """Unload a version; whether it was loaded. One that was withdrawn since answers to its full name, for the operator.

        Raises: UnknownModel, NoProvider, ModelPinned, ModelBusy
        """
        servable = await self._resolve(reference, viewer)
        if servable is None and viewer is None:
            servable = next((one.servable for one in self.loaded() if one.servable.reference == reference), None)
        if servable is None:
            await self._unregistered(reference)
        if servable is None or servable.key in self._pool.stood:
            raise errors.ModelPinned(model=reference)
        return await self._fleet.unload(servable)

    def serves(self, model_id: str, digest: bytes) -> bool:
        """Whether a worker has this version loaded, or is loading it."""
        key = (model_id, digest)
        standing = any(_key(link.placement.model) == key for link in self._pool.standing)
        return standing or self._fleet.uses(key)

    def forget(self) -> None:
        """The registry was changed in this process. Called from any thread."""
        self._catalog.forget()
        if self._loop is not None:
            with suppress(RuntimeError):  # closed: nobody asks any more
                self._loop.call_soon_threadsafe(self._changed.set)

    def provider(self, model_id: str) -> ProviderInfo:
        """Who offers a model, at the price of its worker if it has one now."""
        for link in self._pool.links:
            if link.placement.model.id == model_id:
                return link.placement.provider
        return self._pool.provider

    async def start_workers(self) -> None:
        """Start the pool; workers become ready later, and pinned versions after them."""
        self._loop = asyncio.get_running_loop()
        await self._pool.start()
        self._tasks.append(asyncio.create_task(self._preload(), name="preload"))
        self._tasks.append(asyncio.create_task(self._watch_registry(), name="registry"))

    async def wait_ready(self) -> None:
        """Return once a standing worker serves."""
        await self._pool.wait_ready()

    async def stop_workers(self) -> None:
        """End the pool."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._fleet.stop()
        await self._pool.stop()

    async def follow_registry(self) -> None:
        """Hide what the registry offers to everybody no longer, and give back the memory of what it offers to nobody once it is idle."""
        hidden: set[Key] = set()
        withdrawn: set[Key] = set()
        for key, model in list(self._pool.stood.items()):
            servable, known = await self._offered(model)
            if servable is None and known:
                withdrawn.add(key)
            elif servable is not None and not servable.public:
                hidden.add(key)
        for one in self.loaded():
            if (await self._catalog.offered(one.servable.reference))[0] is None:
                hidden.add(one.servable.key)
                if await self._fleet.withdraw(one.servable):
                    _log.info("model.withdrawn", model=one.servable.reference)
        self._hidden = hidden | withdrawn
        await self._rest_or_rise(withdrawn)

    async def _rest_or_rise(self, withdrawn: set[Key]) -> None:
        """Close the standing places once nobody may ask for what they serve and nobody uses it; open them when somebody may again."""
        standing = self._pool.standing
        if self._resting and not withdrawn.issuperset(self._pool.stood):
            self._resting = False
            self._pool.open_standing()
        elif standing and not any(link.load or _key(link.placement.model) not in withdrawn for link in standing):
            self._resting = True
            await self._pool.close_standing()
            _log.info("model.withdrawn", model=", ".join({link.placement.model.id for link in standing}))

    async def _watch_registry(self) -> None:
        while True:
            self._changed.clear()
            (fault,) = await asyncio.gather(self.follow_registry(), return_exceptions=True)
            if fault is not None:  # looked for again in a moment
                _log.error("model.withdrawn_not_unloaded", exc_info=fault)
            with suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAWN_CHECK_S):
                    await self._changed.wait()

    async def _preload(self) -> None:
        """Load what is pinned. What cannot be loaded now is tried again when it is asked for."""
        for servable in await self._catalog.pinned():
            try:
                await self.load(servable.reference, None)
            except errors.PlatformError as error:
                _log.error("model.pinned_not_loaded", model=servable.reference, reason=str(error))

    async def _serving(self, reference: str, viewer: Address | None) -> Sequence[Link]:
        """The workers that serve a model, at least one; the model is loaded first if need be."""
        servable = await self._resolve(reference, viewer)
        if servable is None:
            return await self._unregistered(reference)
        if not self._fleet.uses(servable.key):
            await self._pool.settled()  # what is asked for may be what the standing workers are about to serve
        if servable.key in self._pool.stood:
            self._known.add(servable.key)
            return self._standing([servable.key], reference)
        return [await self._fleet.obtain(servable)]

    async def _unregistered(self, reference: str) -> Sequence[Link]:
        """The standing workers of what the settings name so and no registry knows. Raises: UnknownModel, NoProvider"""
        named = [model for model in self._pool.stood.values() if _answers_to(model, reference)]
        free = [_key(model) for model in named if not (await self._offered(model))[1]]
        if free:
            return self._standing(free, reference)
        if not self._pool.stood:
            raise errors.NoProvider(model=reference)  # nobody has said yet what is served
        raise errors.UnknownModel(model=reference)

    def _standing(self, keys: Sequence[Key], reference: str) -> Sequence[Link]:
        links = [link for link in self._pool.standing if _key(link.placement.model) in keys]
        if not links:
            raise errors.NoProvider(model=reference)
        return links

    async def _resolve(self, reference: str, viewer: Address | None) -> Servable | None:
        """What the registry has under this reference; None where it has nothing that this viewer may ask for."""
        try:
            return await self._catalog.resolve(reference, viewer)
        except errors.UnknownModel:
            return None

    async def _offered(self, model: ModelInfo) -> tuple[Servable | None, bool]:
        """What the registry has of a standing version, and whether it knows it, or did: what was removed since is served no more than
        what is retired."""
        key = _key(model)
        servable, known = await self._catalog.offered(f"{model.id}@{model.weights_digest.hex()}")
        if known:
            self._known.add(key)
        return servable, key in self._known


def _claimed(links: Sequence[Link], reference: str, task: str) -> Claim:
    """A place with the least loaded of some workers of one model. Raises: TaskNotServed, QueueFull"""
    tasks = links[0].placement.model.tasks
    if task not in tasks:
        raise errors.TaskNotServed(model=reference, task=task, tasks=tasks)
    free = [link for link in links if not link.full]
    if not free:
        limit = sum(link.max_requests for link in links)
        raise errors.QueueFull(limit=limit, retry_after_s=min(link.wait_s for link in links))
    return min(free, key=lambda link: link.load).claim()


def _key(model: ModelInfo) -> Key:
    return (model.id, model.weights_digest)


def _answers_to(model: ModelInfo, reference: str) -> bool:
    """Whether a reference names this model: by its id, and by the beginning of its digest if it names a version."""
    model_id, at, version = reference.partition("@")
    if model.id != model_id:
        return False
    return not at or (len(version) >= MIN_VERSION_CHARS and model.weights_digest.hex().startswith(version))
