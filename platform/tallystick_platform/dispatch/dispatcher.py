"""Who computes a request: the least loaded worker that serves its model."""

from __future__ import annotations

from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.dispatch.link import Placement
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.errors import NoProvider, QueueFull, UnknownModel
from tallystick_platform.protocol import GenerationRequest, ModelInfo


class Dispatcher:
    """Selects among the workers of a pool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._seen: dict[str, ModelInfo] = {}

    @property
    def ready(self) -> bool:
        """Whether any worker serves now."""
        return bool(self._pool.links)

    @property
    def last_fault(self) -> str | None:
        """Why the last worker that ended did."""
        return self._pool.last_fault

    def models(self) -> list[ModelInfo]:
        """The models that somebody serves now, each once."""
        served = {link.placement.model.id: link.placement.model for link in self._pool.links}
        self._seen.update(served)
        return list(served.values())

    def select(self, model_id: str) -> Placement:
        """Who computes this model.

        Raises: UnknownModel if nobody ever served it; NoProvider if nobody does now.
        """
        candidates = [link for link in self._pool.links if link.placement.model.id == model_id]
        if candidates:
            chosen = min(candidates, key=lambda link: link.load)
            self._seen[model_id] = chosen.placement.model
            return chosen.placement
        if model_id in self._seen:
            raise NoProvider(model=model_id)
        if not self._pool.links and not self._seen:
            raise NoProvider(model=model_id)  # nobody has said yet what is served
        raise UnknownModel(model=model_id)

    def start(self, placement: Placement, request: GenerationRequest) -> Generation:
        """Hand a request to the worker of its placement.

        Raises: QueueFull; NoProvider if that worker is gone.
        """
        link = self._pool.link(placement.worker)
        if link is None:
            raise NoProvider(model=placement.model.id)
        if link.full:
            raise QueueFull(limit=link.max_requests)
        return link.submit(request)

    async def start_workers(self) -> None:
        """Start the pool; workers become ready later."""
        await self._pool.start()

    async def wait_ready(self) -> None:
        """Return once a worker serves."""
        await self._pool.wait_ready()

    async def stop_workers(self) -> None:
        """End the pool."""
        await self._pool.stop()
