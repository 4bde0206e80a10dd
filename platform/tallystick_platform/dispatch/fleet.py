"""The versions that are loaded beside the standing model, each by a worker of its own. Read `_load` first.

A version is unloaded only to make room for another that somebody asked for. A version that is claimed, computing, waited for or pinned
stays; of the others, the one unused for longest goes first.

Loads take turns: what a version will take of memory shows only once it is there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import msgspec
import structlog

from tallystick_platform import errors
from tallystick_platform.clock import NS_PER_S, Clock, bounded_wait_s
from tallystick_platform.dispatch.link import Link
from tallystick_platform.dispatch.place import Place, PlaceConfig
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Key, Servable
from tallystick_platform.protocol import ProviderInfo

MAX_LOADED = 16  # versions, a process each
MAX_WAITING_FOR_LOAD = 64  # requests, over all versions
USUAL_LOAD_S = 10.0  # of a version that was never loaded here
MAX_TIMED = 256  # versions whose time to load is remembered
FAILED_LOAD_PAUSE_S = 30.0  # a version that could not be loaded is not tried again before

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class LoadedVersion:
    """A loaded version and the place of its worker. Units: bytes, as estimated before it was loaded."""

    servable: Servable
    place: Place
    needed_bytes: int

    @property
    def requests(self) -> int:
        """Places taken in its worker: a cancelled request counts until the worker has confirmed the end."""
        link = self.place.link
        return 0 if link is None else link.load

    @property
    def used_ns(self) -> int:
        """When it was last used; a version whose worker is away is the first to go."""
        link = self.place.link
        return 0 if link is None else link.used_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a version could not be loaded, and until when it is not tried again."""

    reason: str
    until_ns: int


@dataclass(eq=False)
class Fleet:
    """Loads and unloads versions. Everything runs in one event loop.

    `needed` estimates a version's memory from its files, in a thread; `available` says what there is. Units: bytes.
    """

    pool: WorkerPool
    provider: ProviderInfo
    _: KW_ONLY
    needed: Callable[[Servable], int]
    available: Callable[[], int]
    clock: Clock
    max_loaded: int = MAX_LOADED

    def __post_init__(self) -> None:
        self._versions: dict[Key, LoadedVersion] = {}
        self._loads: dict[Key, asyncio.Task[None]] = {}
        self._failures: dict[Key, Failure] = {}
        self._took_s: dict[Key, float] = {}
        self._waiting: dict[Key, int] = {}
        self._turn = asyncio.Semaphore(1)
        self._places = 0
        self.loads = 0
        self.failures = 0
        self.unloads = 0

    def loaded(self) -> list[LoadedVersion]:
        """The versions that are loaded now."""
        return list(self._versions.values())

    def uses(self, key: Key) -> bool:
        """Whether a version is loaded or being loaded."""
        return key in self._versions or key in self._loads

    async def obtain(self, servable: Servable) -> Link:
        """Its worker, once the version is loaded. Whoever claims a place before it awaits anything else finds it there.

        Raises: NotServable, ModelTooLarge, NoRoomForModel, Overloaded, ModelLoadFailed, NoProvider; QueueFull if too many wait
        """
        link = self._link(servable)
        if link is not None:
            return link
        servable.check_served()
        key, waiting = servable.key, self._waiting
        if sum(waiting.values()) >= MAX_WAITING_FOR_LOAD:
            raise errors.QueueFull(limit=MAX_WAITING_FOR_LOAD, retry_after_s=self._usual_s(key))
        waiting[key] = waiting.get(key, 0) + 1
        try:
            while (link := self._link(servable)) is None:
                self._refuse_failed(servable)
                # Whoever waits may leave; the load goes on for the others, and for whoever asks next.
                await asyncio.shield(self._loading(servable))
            return link
        finally:
            waiting[key] -= 1
            if not waiting[key]:
                del waiting[key]

    async def unload(self, servable: Servable) -> bool:
        """Unload a version at an operator's word; whether it was loaded. Raises: ModelPinned, ModelBusy."""
        version = self._versions.get(servable.key)
        if version is None:
            return False
        if version.servable.pinned:
            raise errors.ModelPinned(model=servable.reference)
        if not self._idle(version):
            waiting = self._waiting.get(servable.key, 0)
            raise errors.ModelBusy(model=servable.reference, requests=version.requests + waiting)
        await self._end(version)
        return True

    async def withdraw(self, servable: Servable) -> bool:
        """Unload a version that nobody may ask for any more, pinned or not, unless somebody uses it; whether it was unloaded."""
        version = self._versions.get(servable.key)
        if version is None or version.requests or servable.key in self._waiting:
            return False
        await self._end(version)
        return True

    async def stop(self) -> None:
        """End what is being loaded; the pool ends what is loaded."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    def _link(self, servable: Servable) -> Link | None:
        """The worker that has it loaded; None if it is not loaded. Raises: NoProvider if its worker is being started again."""
        version = self._versions.get(servable.key)
        if version is None:
            return None
        if version.place.link is None:
            if not version.place.over:
                raise errors.NoProvider(model=servable.reference, retry_after_s=self._usual_s(servable.key))
            del self._versions[servable.key]
            return None
        if servable is not version.servable:  # pinned, shown or priced otherwise than when it was loaded
            version.servable = servable
            version.place.offer(self._provider_of(servable))
        return version.place.link

    def _loading(self, servable: Servable) -> asyncio.Task[None]:
        key, loads = servable.key, self._loads
        if key not in loads:
            loads[key] = asyncio.get_running_loop().create_task(self._load(servable), name=f"load {servable.reference}")
            loads[key].add_done_callback(lambda done: self._loaded(servable, done))
        return loads[key]

    def _loaded(self, servable: Servable, done: asyncio.Task[None]) -> None:
        del self._loads[servable.key]
        error = None if done.cancelled() else done.exception()
        if error is not None:  # told to whoever still waits; here in case that nobody does
            _log.warning("model.not_loaded", model=servable.reference, reason=str(error))

    async def _load(self, servable: Servable) -> None:
        """Estimate, make room, start a worker, and keep it if it came up with this very version."""
        async with self._turn:
            try:
                needed = await asyncio.to_thread(self.needed, servable)
            except (errors.PlatformError, OSError) as error:
                raise self._failed(servable, str(error)) from error
            await self._make_room(servable, needed)
            self._places += 1
            began_ns = self.clock.monotonic_ns()
            config = PlaceConfig(
                name=f"model-{self._places}", provider=self._provider_of(servable), version=servable.config()
            )
            place = self.pool.open(config)
            came_up: bool | str = "it was given up"
            try:
                came_up = await place.first
            finally:
                if came_up is not True:
                    await self.pool.close(place)
            if came_up is not True:
                raise self._failed(servable, str(came_up))
        self.loads += 1
        self._time(servable.key, (self.clock.monotonic_ns() - began_ns) / NS_PER_S)
        self._versions[servable.key] = LoadedVersion(servable=servable, place=place, needed_bytes=needed)
        _log.info("model.loaded", model=servable.reference, needed_bytes=needed, loaded=len(self._versions))

    async def _make_room(self, servable: Servable, needed: int) -> None:
        """Unload what is idle, one by one, until the version fits. Nothing is unloaded for one that will not fit even so.

        Raises: ModelTooLarge, NoRoomForModel, Overloaded
        """
        while True:
            versions, free = list(self._versions.values()), self.available()
            idle = sorted((version for version in versions if self._idle(version)), key=lambda version: version.used_ns)
            if needed <= free and len(versions) < self.max_loaded:
                return
            most = free + sum(version.needed_bytes for version in idle)
            busy = [version for version in versions if not version.servable.pinned and version not in idle]
            if needed <= most and not idle:  # so it is their number that stands in the way
                bound, limit = "models loaded side by side", self.max_loaded
                raise errors.Overloaded(bound=bound, limit=limit, retry_after_s=_wait_s(busy))
            if needed > most:
                name = servable.reference
                if needed > most + sum(version.needed_bytes for version in busy):
                    raise errors.ModelTooLarge(model=name, needed_bytes=needed, available_bytes=most)
                raise errors.NoRoomForModel(
                    model=name, needed_bytes=needed, available_bytes=most, retry_after_s=_wait_s(busy)
                )
            await self._end(idle[0])

    def _idle(self, version: LoadedVersion) -> bool:
        return not (version.servable.pinned or version.requests or version.servable.key in self._waiting)

    async def _end(self, version: LoadedVersion) -> None:
        del self._versions[version.servable.key]  # first of all: from here on nobody can claim it
        await self.pool.close(version.place)
        self.unloads += 1
        _log.info("model.unloaded", model=version.servable.reference, loaded=len(self._versions))

    def _usual_s(self, key: Key) -> int:
        """How long a version takes to load: as long as it did last. Units: whole seconds."""
        return bounded_wait_s(self._took_s.get(key, USUAL_LOAD_S))

    def _time(self, key: Key, took_s: float) -> None:
        """Remember how long a version took to load."""
        self._took_s.pop(key, None)
        self._took_s[key] = took_s
        if len(self._took_s) > MAX_TIMED:
            del self._took_s[next(iter(self._took_s))]

    def _failed(self, servable: Servable, reason: str) -> errors.ModelLoadFailed:
        for folder in (servable.folder, servable.base_folder):
            reason = reason.replace(str(folder), "its folder")  # where files lie is the operator's business alone
        self.failures += 1
        failures, now_ns = self._failures, self.clock.monotonic_ns()
        for key in [key for key, failure in failures.items() if failure.until_ns <= now_ns]:
            del failures[key]
        failures[servable.key] = Failure(reason=reason, until_ns=now_ns + round(FAILED_LOAD_PAUSE_S * NS_PER_S))
        return errors.ModelLoadFailed(
            model=servable.reference, reason=reason, retry_after_s=math.ceil(FAILED_LOAD_PAUSE_S)
        )

    def _refuse_failed(self, servable: Servable) -> None:
        """Raises: ModelLoadFailed for a version that failed a moment ago: loading it costs the others time and memory."""
        failure = self._failures.get(servable.key)
        left_ns = 0 if failure is None else failure.until_ns - self.clock.monotonic_ns()
        if failure is not None and left_ns > 0:
            retry_after_s = math.ceil(left_ns / NS_PER_S)
            raise errors.ModelLoadFailed(model=servable.reference, reason=failure.reason, retry_after_s=retry_after_s)

    def _provider_of(self, servable: Servable) -> ProviderInfo:
        if servable.price_per_hour_micros is None:
            return self.provider
        return msgspec.structs.replace(
            self.provider,
            price_per_hour_micros=servable.price_per_hour_micros,
            currency=servable.currency or self.provider.currency,
        )


def _wait_s(busy: list[LoadedVersion]) -> int:
    """How long until the first of some busy versions has nothing left to do. Units: whole seconds."""
    return min((one.place.link.wait_s for one in busy if one.place.link is not None), default=bounded_wait_s(0))
