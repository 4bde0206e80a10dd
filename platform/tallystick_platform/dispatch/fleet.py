"""The versions that are loaded beside the standing model, each by a worker of its own. Read `_load` first.

A version is *claimed* for as long as a request may use it. What is claimed, computing or pinned is never unloaded; among the rest, the
one unclaimed for longest goes first, and only when a version that somebody asked for does not fit beside it.

Loads take turns: what a version will take of memory shows only once it is there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import msgspec
import structlog

from tallystick_platform import errors
from tallystick_platform.dispatch.catalog import Servable
from tallystick_platform.dispatch.link import Placement
from tallystick_platform.dispatch.place import PlaceConfig
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Books, Failure, Key, LoadedVersion, Version, key_of, refuse_unservable
from tallystick_platform.protocol import ProviderInfo

MAX_LOADED = 16  # versions, a process each
MAX_WAITING_FOR_LOAD = 64  # requests, over all versions
RETRY_BUSY_S = 10
FAILED_LOAD_PAUSE_S = 30.0  # a version that could not be loaded is not tried again before

_log = structlog.get_logger(__name__)


class Fleet:
    """Loads and unloads versions. Everything runs in one event loop.

    `needed` estimates a version's memory from its files, in a thread; `available` says what there is. Units: bytes.
    """

    def __init__(
        self,
        pool: WorkerPool,
        provider: ProviderInfo,
        *,
        needed: Callable[[Servable], int],
        available: Callable[[], int],
        monotonic_s: Callable[[], float],
        max_loaded: int = MAX_LOADED,
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._needed = needed
        self._available = available
        self._monotonic_s = monotonic_s
        self._max_loaded = max_loaded
        self._books = Books()
        self._turn = asyncio.Semaphore(1)
        self._places = 0
        self.loads = 0
        self.failures = 0
        self.unloads = 0

    def loaded(self) -> list[LoadedVersion]:
        """The versions that are loaded now."""
        return [
            LoadedVersion(
                servable=version.servable,
                serving=version.place.link is not None,
                requests=version.requests,
                needed_bytes=version.needed_bytes,
            )
            for version in self._books.versions.values()
        ]

    def uses(self, model_id: str, digest: bytes) -> bool:
        """Whether a version is loaded or being loaded."""
        return (model_id, digest) in self._books.versions or (model_id, digest) in self._books.loads

    def claim(self, servable: Servable) -> Placement | None:
        """A placement that stays until it is released; None if the version is not loaded.

        Raises: NoProvider if its worker is being started again.
        """
        version = self._books.versions.get(key_of(servable))
        if version is None:
            return None
        if version.place.link is None:
            if not version.place.over:
                raise errors.NoProvider(model=servable.reference)
            self._forget(version)
            return None
        if servable is not version.servable:  # pinned, shown or priced otherwise than when it was loaded
            version.servable = servable
            version.place.offer(self._provider_of(servable))
        version.claims += 1
        version.used_s = self._monotonic_s()
        return version.place.link.placement

    def release(self, placement: Placement) -> None:
        """Give a claim back. Placements of others are ignored."""
        version = self._books.by_place.get(placement.worker.rpartition(".")[0])
        if version is not None:
            version.claims -= 1
            version.used_s = self._monotonic_s()

    async def obtain(self, servable: Servable) -> Placement:
        """A claimed placement, once the version is loaded.

        Raises: NotServable, ModelTooLarge, NoRoomForModel, Overloaded, ModelLoadFailed, NoProvider; QueueFull if too many wait
        """
        refuse_unservable(servable)
        key, waiting = key_of(servable), self._books.waiting
        if sum(waiting.values()) >= MAX_WAITING_FOR_LOAD:
            raise errors.QueueFull(limit=MAX_WAITING_FOR_LOAD)
        waiting[key] = waiting.get(key, 0) + 1
        try:
            while (placement := self.claim(servable)) is None:
                self._refuse_failed(servable)
                # Whoever waits may leave; the load goes on for the others, and for whoever asks next.
                await asyncio.shield(self._loading(servable))
            return placement
        finally:
            waiting[key] -= 1
            if not waiting[key]:
                del waiting[key]

    async def unload(self, servable: Servable) -> bool:
        """Unload a version at an operator's word; whether it was loaded. Raises: ModelPinned, ModelBusy."""
        version = self._books.versions.get(key_of(servable))
        if version is None:
            return False
        if version.servable.pinned:
            raise errors.ModelPinned(model=servable.reference)
        if not self._idle(version):
            waiting = self._books.waiting.get(key_of(servable), 0)
            raise errors.ModelBusy(model=servable.reference, requests=version.requests + waiting)
        await self._end(version)
        return True

    async def withdraw(self, servable: Servable) -> bool:
        """Unload a version that nobody may ask for any more, pinned or not, unless somebody uses it; whether it was unloaded."""
        version = self._books.versions.get(key_of(servable))
        if version is None or version.requests or self._books.waiting.get(key_of(servable), 0):
            return False
        await self._end(version)
        return True

    async def stop(self) -> None:
        """End what is being loaded; the pool ends what is loaded."""
        loads = list(self._books.loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    def _loading(self, servable: Servable) -> asyncio.Task[None]:
        key, loads = key_of(servable), self._books.loads
        if key not in loads:
            loads[key] = asyncio.get_running_loop().create_task(self._load(servable), name=f"load {servable.reference}")
            loads[key].add_done_callback(lambda done: self._loaded(key, servable, done))
        return loads[key]

    def _loaded(self, key: Key, servable: Servable, done: asyncio.Task[None]) -> None:
        del self._books.loads[key]
        error = None if done.cancelled() else done.exception()
        if error is not None:  # told to whoever still waits; here in case that nobody does
            _log.warning("model.not_loaded", model=servable.reference, reason=str(error))

    async def _load(self, servable: Servable) -> None:
        """Estimate, make room, start a worker, and keep it if it came up with this very version."""
        async with self._turn:
            try:
                needed = await asyncio.to_thread(self._needed, servable)
            except (errors.PlatformError, OSError) as error:
                raise self._failed(servable, str(error)) from error
            await self._make_room(servable, needed)
            self._places += 1
            place = self._pool.open(
                PlaceConfig(
                    name=f"model-{self._places}", provider=self._provider_of(servable), version=servable.config()
                )
            )
            came_up: bool | str = "it was given up"
            try:
                came_up = await place.first
            finally:
                if came_up is not True:
                    await self._pool.close(place)
            if came_up is not True:
                raise self._failed(servable, str(came_up))
        self.loads += 1
        version = Version(servable=servable, place=place, needed_bytes=needed, used_s=self._monotonic_s())
        self._books.versions[key_of(servable)] = self._books.by_place[place.config.name] = version
        _log.info("model.loaded", model=servable.reference, needed_bytes=needed, loaded=len(self._books.versions))

    async def _make_room(self, servable: Servable, needed: int) -> None:
        """Unload what is idle, one by one, until the version fits. Nothing is unloaded for one that will not fit even so.

        Raises: ModelTooLarge, NoRoomForModel, Overloaded
        """
        while True:
            versions, free = list(self._books.versions.values()), self._available()
            idle = sorted((version for version in versions if self._idle(version)), key=lambda version: version.used_s)
            if needed <= free and len(versions) < self._max_loaded:
                return
            most = free + sum(version.needed_bytes for version in idle)
            if needed <= most and not idle:  # so it is their number that stands in the way
                bound, limit = "models loaded side by side", self._max_loaded
                raise errors.Overloaded(bound=bound, limit=limit, retry_after_s=RETRY_BUSY_S)
            if needed > most:
                busy = [version for version in versions if not version.servable.pinned and version not in idle]
                if needed > most + sum(version.needed_bytes for version in busy):
                    raise errors.ModelTooLarge(model=servable.reference, needed_bytes=needed, available_bytes=most)
                raise errors.NoRoomForModel(model=servable.reference, needed_bytes=needed, available_bytes=most)
            await self._end(idle[0])

    def _idle(self, version: Version) -> bool:
        waited_for = self._books.waiting.get(key_of(version.servable), 0)
        return not version.servable.pinned and not waited_for and version.requests == 0

    async def _end(self, version: Version) -> None:
        self._forget(version)  # first of all: from here on nobody can claim it
        await self._pool.close(version.place)
        self.unloads += 1
        _log.info("model.unloaded", model=version.servable.reference, loaded=len(self._books.versions))

    def _forget(self, version: Version) -> None:
        del self._books.versions[key_of(version.servable)]
        del self._books.by_place[version.place.config.name]

    def _failed(self, servable: Servable, reason: str) -> errors.ModelLoadFailed:
        for folder in (
            servable.folder,
            servable.base_folder,
        ):  # where files lie is nobody's business but the operator's
            reason = reason.replace(str(folder), "its folder")
        self.failures += 1
        failures, now_s = self._books.failures, self._monotonic_s()
        for key in [key for key, failure in failures.items() if failure.until_s <= now_s]:
            del failures[key]
        failures[key_of(servable)] = Failure(reason=reason, until_s=now_s + FAILED_LOAD_PAUSE_S)
        return errors.ModelLoadFailed(
            model=servable.reference, reason=reason, retry_after_s=math.ceil(FAILED_LOAD_PAUSE_S)
        )

    def _refuse_failed(self, servable: Servable) -> None:
        """Raises: ModelLoadFailed for a version that failed a moment ago: loading it costs the others time and memory."""
        failure = self._books.failures.get(key_of(servable))
        left_s = 0.0 if failure is None else failure.until_s - self._monotonic_s()
        if failure is not None and left_s > 0:
            raise errors.ModelLoadFailed(
                model=servable.reference, reason=failure.reason, retry_after_s=math.ceil(left_s)
            )

    def _provider_of(self, servable: Servable) -> ProviderInfo:
        if servable.price_per_hour_micros is None:
            return self._provider
        return msgspec.structs.replace(
            self._provider,
            price_per_hour_micros=servable.price_per_hour_micros,
            currency=servable.currency or self._provider.currency,
        )
