"""A registry in memory, and fleets over real workers that need no torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tallystick.ids import Address
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.link import Claim
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.dispatch.versions import Servable
from tallystick_platform.engine.weights_digest import compute
from tallystick_platform.errors import UnknownModel
from tests.support.clocks import FixedClock
from tests.support.workers import LIMIT_S, NOW_US, PROVIDER, pool_config, reader

GIB = 1_073_741_824
OWNER = Address(b"\x21" * 20)
STRANGER = Address(b"\x22" * 20)


def registered(folder: Path, model_id: str, text: str = "weights", **changes: Any) -> Servable:
    """A version whose folder holds these words."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.txt").write_text(text)
    return servable_of(folder, model_id, **changes)


def servable_of(folder: Path, model_id: str, **changes: Any) -> Servable:
    """The version that a folder is."""
    digest = compute(folder).digest
    values: dict[str, Any] = {
        "model_id": model_id,
        "version": digest.hex()[:12],
        "digest": digest,
        "folder": folder,
        "task": "chat",
        "format": "safetensors",
    }
    return Servable(**{**values, **changes})


class FakeCatalog:
    """Versions in the order in which they came: the newest one answers to a bare name. Private ones are their owner's.

    What is `retired` is known and answers nobody.
    """

    def __init__(self, *servables: Servable) -> None:
        self.servables = list(servables)
        self.retired: list[Servable] = []
        self.asked: list[tuple[str, Address | None]] = []

    async def resolve(self, reference: str, viewer: Address | None) -> Servable:
        self.asked.append((reference, viewer))
        model_id, _, version = reference.partition("@")
        for servable in reversed(self.servables):
            named = servable.model_id == model_id and servable.digest.hex().startswith(version)
            if named and (servable.public or viewer in {None, OWNER}):
                return servable
        raise UnknownModel(model=reference)

    async def offered(self, reference: str) -> tuple[Servable | None, bool]:
        model_id, _, version = reference.partition("@")
        known = [*self.servables, *self.retired]
        found = [one for one in known if one.model_id == model_id and one.digest.hex().startswith(version)]
        return next((one for one in reversed(found) if one in self.servables), None), bool(found)

    def retire(self, servable: Servable) -> None:
        self.servables.remove(servable)
        self.retired.append(servable)

    def forget(self) -> None:
        self.asked.clear()

    async def pinned(self) -> list[Servable]:
        return [servable for servable in self.servables if servable.pinned]


class Memory:
    """A machine whose memory is what its loaded versions leave. `needs` is per model id. Units: bytes."""

    def __init__(self, total_bytes: int = 100 * GIB, each_bytes: int = GIB) -> None:
        self.total_bytes = total_bytes
        self.each_bytes = each_bytes
        self.needs: dict[str, int] = {}
        self.fleet: Fleet | None = None

    def needed(self, servable: Servable) -> int:
        return self.needs.get(servable.model_id, self.each_bytes)

    def available(self) -> int:
        loaded = [] if self.fleet is None else self.fleet.loaded()
        return self.total_bytes - sum(version.needed_bytes for version in loaded)


class Rig:
    """A pool with one standing worker, a catalog and a fleet."""

    def __init__(self, folder: Path, *servables: Servable, memory: Memory | None = None, **changes: Any) -> None:
        bounds = {name: changes.pop(name) for name in ("max_loaded",) if name in changes}
        self.catalog = FakeCatalog(*servables)
        self.memory = memory or Memory()
        self.clock = FixedClock(NOW_US)
        self.pool = WorkerPool(pool_config(folder, version_engine="constant", **changes), self.clock)
        self.fleet = Fleet(
            self.pool,
            PROVIDER,
            needed=self.memory.needed,
            available=self.memory.available,
            clock=self.clock,
            **bounds,
        )
        self.memory.fleet = self.fleet
        self.dispatcher = Dispatcher(self.pool, self.catalog, self.fleet)

    def names(self) -> list[str]:
        """The models that the fleet has loaded."""
        return sorted(version.servable.model_id for version in self.fleet.loaded())

    async def used(self, reference: str) -> None:
        """Load a version, claim a place in it, and leave it idle again."""
        self.clock.advance(1)
        (await self.claim(reference)).release()

    async def claim(self, reference: str, viewer: Address | None = None) -> Claim:
        """A place in a version, within the tests' bound."""
        return await reader(self.dispatcher.claim(reference, viewer, "chat"))


@asynccontextmanager
async def rigged(folder: Path, *servables: Servable, **changes: Any) -> AsyncIterator[Rig]:
    """A rig whose standing worker has been started."""
    rig = Rig(folder, *servables, **changes)
    await rig.dispatcher.start_workers()
    try:
        yield rig
    finally:
        async with asyncio.timeout(LIMIT_S):
            await rig.dispatcher.stop_workers()
