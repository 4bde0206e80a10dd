"""The workers of a started service: the standing ones that the settings name, and the fleet of registered versions beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tallystick.ids import checksum_address
from tallystick_platform.app.catalog import RegistryCatalog
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.link import Link
from tallystick_platform.dispatch.place import PoolConfig
from tallystick_platform.dispatch.pool import Show, WorkerPool, unseen
from tallystick_platform.dispatch.versions import needed_bytes
from tallystick_platform.engine.cpu import available_bytes
from tallystick_platform.errors import PlatformError, UnknownModel
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.keyring import Keyring
from tallystick_platform.metrics import Metrics
from tallystick_platform.protocol import ProviderInfo
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.registry import Registry
from tallystick_platform.registry.sources import GgufFile, LocalFolder, Source, packaged_source, register
from tallystick_platform.settings import Settings

CONSTANT_MODEL = "constant"  # answers without a model: for tests, and for measuring everything around one

_log = structlog.get_logger(__name__)


async def start_workers(
    settings: Settings,
    keys: Keyring,
    registry: Registry,
    clock: Clock,
    metrics: Metrics,
    stack: AsyncExitStack,
    show: Show,
) -> tuple[Dispatcher, Registrar]:
    """Start the pool with its standing workers, and the fleet; leaving the stack ends them."""
    provider = ProviderInfo(
        id=settings.provider_id,
        name=settings.provider_name,
        address=keys.operator.address,
        price_per_hour_micros=settings.price_per_hour_micros,
        currency=settings.price_currency,
    )
    config = PoolConfig(
        workers=settings.workers,
        engine=CONSTANT_MODEL if settings.model == CONSTANT_MODEL else "torch",
        model=settings.model,
        models_dir=settings.paths.models_dir,
        run_dir=settings.paths.run_dir,
        provider=provider,
        max_requests=settings.worker_max_concurrent,
        start_timeout_s=settings.worker_start_timeout_s,
    )
    pool = WorkerPool(config, clock)
    fleet = Fleet(pool, provider, needed=needed_bytes, available=available_bytes, clock=clock)
    catalog = RegistryCatalog(registry, keys.operator.address, clock)
    dispatcher = Dispatcher(pool, catalog, fleet)
    registrar = Registrar(settings.model, registry, catalog, show)
    pool.heard_of, pool.loading = registrar.hear, show
    stack.push_async_callback(registrar.stop)
    stack.push_async_callback(dispatcher.stop_workers)
    await dispatcher.start_workers()
    metrics.registry.register(WorkersCollector(pool, fleet))
    metrics.workers_ready.set_function(lambda: len(pool.links))
    metrics.worker_queue.set_function(lambda: sum(link.load for link in pool.links))
    _log.info("workers.started", workers=settings.workers, provider=checksum_address(keys.operator.address))
    return dispatcher, registrar


class WorkersCollector(Collector):
    """Counts what the pool and the fleet count, at the moment they are read."""

    def __init__(self, pool: WorkerPool, fleet: Fleet) -> None:
        self._pool = pool
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        pool, fleet, loaded = self._pool, self._fleet, self._fleet.loaded()
        memory_bytes, side_by_side = (
            sum(one.needed_bytes for one in loaded),
            sum(link.max_active for link in pool.links),
        )
        for family, name, text, value in (
            (CounterMetricFamily, "worker_restarts", "Workers started again.", pool.restarts),
            (GaugeMetricFamily, "models_loaded", "Versions beside the standing model.", len(loaded)),
            (GaugeMetricFamily, "models_memory_bytes", "Memory that they were estimated to take.", memory_bytes),
            (
                GaugeMetricFamily,
                "requests_side_by_side",
                "Requests that the workers can compute at once.",
                side_by_side,
            ),
            (CounterMetricFamily, "model_loads", "Versions loaded.", fleet.loads),
            (CounterMetricFamily, "model_load_failures", "Loads that failed.", fleet.failures),
            (CounterMetricFamily, "model_unloads", "Versions unloaded.", fleet.unloads),
        ):
            yield family(f"tallystick_{name}", text, value=value)


@dataclass(eq=False)
class Registrar:
    """Registers what the standing workers serve, once one of them has said what that is.

    Files are copied or linked in a thread; the model answers meanwhile, and the service calls itself ready only once that has ended.
    What cannot be registered is served all the same: it is the operator's own choice.
    """

    model: str
    registry: Registry
    catalog: RegistryCatalog
    show: Show = unseen
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def hear(self, link: Link) -> None:
        """A worker serves."""
        if link.standing and link.folder is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._register(link), name="register")

    @property
    def at_work(self) -> bool:
        """Whether a model that is served already is still being registered."""
        return self._task is not None and not self._task.done()

    async def ended(self) -> None:
        """Return once what is at work has ended, whether the model was registered, was there already or was refused."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Break off what is being copied; nothing of it is left."""
        self._stopping.set()
        await self.ended()

    async def _register(self, link: Link) -> None:
        model = link.placement.model
        reference = f"{model.id}@{model.version}"
        try:
            if await asyncio.to_thread(self._add, model.id, reference, Path(link.folder or "")):
                self.show("registration", "registered", 1.0)
                self.catalog.forget()
                _log.info("model.registered", model=reference)
        except (PlatformError, OSError) as error:
            _log.warning("model.not_registered", model=reference, reason=str(error))

    def _add(self, model_id: str, reference: str, folder: Path) -> bool:
        try:
            self.registry.find(reference, None)
        except UnknownModel:
            source: Source = LocalFolder(path=folder)
            if self.model in PACKAGED:
                source = packaged_source(self.model)
            elif self.model.endswith(".gguf"):
                source = GgufFile(model=self.model)
            arrival = Arrival(model=model_id, owner=None, visibility=Visibility.PUBLIC, stage=Stage.PRODUCTION)
            register(self.registry, source, arrival, self._progress)
            return True
        return False

    def _progress(self, stage: str, fraction: float) -> None:
        if self._stopping.is_set():
            raise Stopped
        self.show("registration", stage, fraction)


class Stopped(PlatformError):
    """The service stops, and with it what it was about to register."""

    def __init__(self) -> None:
        super().__init__("the service stopped before the model was registered; it is tried again at the next start")
