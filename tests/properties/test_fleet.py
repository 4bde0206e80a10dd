"""The fleet under many clients, whatever the order: nothing busy is ever ended, and memory is never promised twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch.fleet import Fleet
from tallystick_platform.dispatch.link import Claim, Link
from tallystick_platform.dispatch.versions import Servable
from tallystick_platform.protocol import PROTOCOL_VERSION, GpuInfo, Hello, ModelInfo, ProviderInfo
from tests.support.exchange import TickingClock

CLIENTS, REQUESTS = 12, 8
TOTAL_BYTES = 100
MAX_LOADED = 4
PROVIDER = ProviderInfo(id="p", name="P", address=bytes(20), price_per_hour_micros=1, currency="USD")
GPU = GpuInfo(kind="cpu", name="none", uuid=None, count=1, memory_bytes=0, driver=None)


def servable(number: int, *, pinned: bool = False) -> Servable:
    return Servable(
        model_id=f"m{number}",
        version=f"{number:012x}",
        digest=bytes([number]) * 32,
        folder=Path("/nowhere"),
        task="chat",
        format="safetensors",
        pinned=pinned,
    )


def model_of(config) -> ModelInfo:
    version = config.version
    return ModelInfo(
        id=version.model_id,
        version=version.version,
        task="chat",
        tasks=("chat",),
        weights_digest=bytes.fromhex(version.digest),
        engine="none",
        engine_version="1",
        dtype="none",
        quantisation=None,
        device="cpu",
        context_length=1,
        max_prompt_tokens=1,
        chat_template=None,
        chat_template_digest=None,
        reproducibility="none",
        created_at=0,
    )


class Pool:
    """Places whose workers come up after a while, or do not; complains when one is closed under a request."""

    def __init__(self, dice: random.Random, needs: dict[str, int]) -> None:
        self.dice = dice
        self.needs = needs
        self.open_places: dict[str, SimpleNamespace] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.in_use: dict[str, int] = {}

    def used_bytes(self) -> int:
        return sum(self.needs[place.config.version.model_id] for place in self.open_places.values())

    def open(self, config) -> SimpleNamespace:
        loop = asyncio.get_running_loop()
        place = SimpleNamespace(config=config, first=loop.create_future(), link=None, over=False)
        place.offer = lambda provider: None
        self.open_places[config.name] = place
        assert self.used_bytes() <= TOTAL_BYTES
        assert len(self.open_places) <= MAX_LOADED
        task = loop.create_task(self._come_up(place))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return place

    async def _come_up(self, place: SimpleNamespace) -> None:
        await ticks(self.dice)
        if self.dice.random() < 0.2:
            place.first.set_result("exit code 1")
            return
        hello = Hello(
            protocol_version=PROTOCOL_VERSION, pid=1, model=model_of(place.config), gpu=GPU, max_requests=CLIENTS
        )
        place.link = Link(
            worker_id=f"{place.config.name}.1",
            hello=hello,
            provider=PROVIDER,
            send=lambda message: None,
            clock=TickingClock(),
            standing=False,
        )
        place.first.set_result(True)

    async def close(self, place: SimpleNamespace) -> None:
        assert not self.in_use.get(place.config.name), "ended under a request"
        place.link = None
        await ticks(self.dice)
        del self.open_places[place.config.name]


async def ticks(dice: random.Random) -> None:
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)


async def claimed(fleet: Fleet, wanted: Servable) -> Claim:
    """A place in a version: whoever is cancelled has none."""
    return (await fleet.obtain(wanted)).claim()


async def ask(dice: random.Random, pool: Pool, fleet: Fleet, versions: list[Servable], told: list[type]) -> None:
    for _ in range(REQUESTS):
        wanted = dice.choice(versions)
        asking = asyncio.ensure_future(claimed(fleet, wanted))
        if dice.random() < 0.2:
            await ticks(dice)
            asking.cancel()
        try:
            claim = await asking
        except asyncio.CancelledError:
            continue
        except errors.PlatformError as error:
            told.append(type(error))
            await ticks(dice)
            continue
        place = claim.placement.worker.rpartition(".")[0]
        assert claim.placement.model.weights_digest == wanted.digest
        pool.in_use[place] = pool.in_use.get(place, 0) + 1
        await ticks(dice)
        if dice.random() < 0.2 and not wanted.pinned:
            with pytest.raises(errors.ModelBusy):
                await fleet.unload(wanted)
        pool.in_use[place] -= 1
        claim.release()
        told.append(Claim)


@pytest.mark.parametrize("seed", range(60))
async def test_nothing_busy_is_ended_and_no_memory_promised_twice(seed: int) -> None:
    dice = random.Random(seed)
    versions = [servable(number, pinned=number == 0 and dice.random() < 0.5) for number in range(6)]
    needs = {version.model_id: dice.choice([10, 30, 60, 110]) for version in versions}
    pool = Pool(dice, needs)
    fleet = Fleet(
        pool,  # type: ignore[arg-type]
        PROVIDER,
        needed=lambda servable: needs[servable.model_id],
        available=lambda: TOTAL_BYTES - pool.used_bytes(),
        clock=TickingClock(),
        max_loaded=MAX_LOADED,
    )
    told: list[type] = []
    async with asyncio.timeout(20):
        await asyncio.gather(*(ask(dice, pool, fleet, versions, told) for _ in range(CLIENTS)))
        while fleet._loads:
            await asyncio.sleep(0)
    allowed = {
        Claim,
        errors.ModelLoadFailed,
        errors.ModelTooLarge,
        errors.NoRoomForModel,
        errors.Overloaded,
        errors.QueueFull,
    }
    assert set(told) <= allowed
    assert fleet._waiting == {}
    assert [version.requests for version in fleet.loaded()] == [0] * len(fleet.loaded())
    assert {version.place.config.name for version in fleet._versions.values()} == set(pool.open_places)
    assert fleet.loads - fleet.unloads == len(fleet.loaded())
    await fleet.stop()
