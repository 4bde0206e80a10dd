"""Which worker a reference leads to, and for whom."""

import asyncio
import hashlib
import os
from dataclasses import replace

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import dispatcher as dispatcher_module
from tallystick_platform.dispatch import pool as pool_module
from tallystick_platform.engine.constant import DEFAULT_ANSWER
from tests.support.catalogs import OWNER, STRANGER, FakeCatalog, registered, rigged
from tests.support.workers import PROVIDER, reader, running

CONSTANT_DIGEST = hashlib.sha256(DEFAULT_ANSWER.encode()).digest()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def test_the_standing_model_answers_by_name_and_by_version_without_a_registry(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        placement = dispatcher.select("constant")
        digits = CONSTANT_DIGEST.hex()
        version = placement.model.version
        for reference in (f"constant@{version}", f"constant@{digits[:8]}", f"constant@{digits}"):
            assert dispatcher.select(reference) is placement
        for reference in (f"constant@{digits[:7]}", "constant@00000000", f"other@{version}"):
            with pytest.raises(errors.UnknownModel):
                dispatcher.select(reference)
        assert await dispatcher.load("constant") is placement
        dispatcher.release(placement)
        assert dispatcher.loaded() == []


async def test_a_registered_version_that_stands_already_is_not_loaded_a_second_time(tmp_path):
    same = registered(tmp_path / "one", "constant", digest=CONSTANT_DIGEST, version=CONSTANT_DIGEST.hex()[:12])
    async with rigged(tmp_path, same) as rig:
        placement = await reader(rig.dispatcher.load("constant"))
        assert placement.worker.startswith("worker-")
        assert rig.dispatcher.select("constant") is placement
        assert rig.fleet.loads == 0
        with pytest.raises(errors.ModelPinned):
            await rig.dispatcher.unload("constant")


async def test_what_is_asked_for_before_the_standing_worker_is_up_waits_for_it(tmp_path):
    same = registered(tmp_path / "one", "constant", digest=CONSTANT_DIGEST, version=CONSTANT_DIGEST.hex()[:12])
    async with rigged(tmp_path, same) as rig:
        assert rig.dispatcher.select("constant") is None
        found = await reader(asyncio.gather(*(rig.dispatcher.load("constant") for _ in range(3))))
        assert {placement.worker for placement in found} == {rig.pool.standing[0].placement.worker}


async def test_a_standing_worker_that_fails_does_not_keep_the_fleet_from_serving(tmp_path):
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one, engine="torch", model=str(tmp_path / "nothing")) as rig:
        await rig.used("m")
        assert rig.names() == ["m"]
        assert not rig.dispatcher.ready
        assert "neither 'demo' nor a folder" in rig.dispatcher.last_fault


async def test_a_registered_version_that_stood_has_no_provider_while_its_worker_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "FIRST_DELAY_S", 30.0)
    same = registered(tmp_path / "one", "constant", digest=CONSTANT_DIGEST, version=CONSTANT_DIGEST.hex()[:12])
    async with rigged(tmp_path, same) as rig:
        await reader(rig.dispatcher.load("constant"))
        os.kill(rig.pool.standing[0].pid, 9)
        await until(lambda: not rig.pool.standing)
        with pytest.raises(errors.NoProvider):
            rig.dispatcher.select("constant")


async def test_what_is_loaded_or_loading_is_in_use(tmp_path):
    one, two = registered(tmp_path / "one", "m"), registered(tmp_path / "two", "m", "other")
    async with rigged(tmp_path, one, two) as rig:
        await rig.dispatcher.wait_ready()
        assert rig.dispatcher.serves("constant", CONSTANT_DIGEST)
        assert not rig.dispatcher.serves("m", one.digest)
        loading = asyncio.create_task(rig.dispatcher.load(one.reference))
        await until(lambda: rig.dispatcher.serves("m", one.digest))
        await reader(loading)
        assert rig.dispatcher.serves("m", one.digest)
        assert not rig.dispatcher.serves("m", two.digest)
        assert not rig.dispatcher.serves("n", one.digest)


async def test_the_operator_unloads_what_was_withdrawn_since(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.used("m")
        (one,) = rig.catalog.servables
        rig.catalog.servables.clear()
        rig.dispatcher.forget()
        with pytest.raises(errors.UnknownModel):
            await rig.dispatcher.unload(one.reference, OWNER)
        assert await rig.dispatcher.unload(one.reference)
        assert rig.names() == []


async def test_a_private_version_does_not_exist_for_strangers(tmp_path):
    private = registered(tmp_path / "one", "m", public=False)
    async with rigged(tmp_path, private) as rig:
        placement = await reader(rig.dispatcher.load("m", OWNER))
        assert rig.dispatcher.select("m", OWNER) is placement
        for attempt in (rig.dispatcher.load("m", STRANGER), rig.dispatcher.unload("m", STRANGER)):
            with pytest.raises(errors.UnknownModel):
                await attempt
        with pytest.raises(errors.UnknownModel):
            rig.dispatcher.select("m", STRANGER)
        assert [model.id for model in rig.dispatcher.models()] == ["constant"]
        assert rig.names() == ["m"]


async def test_the_viewer_is_asked_about_at_every_request(tmp_path):
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one) as rig:
        await reader(rig.dispatcher.load("m", OWNER))
        rig.catalog.asked.clear()
        rig.dispatcher.select("m", STRANGER)
        assert rig.catalog.asked == [("m", STRANGER)]
        rig.catalog.servables.clear()
        with pytest.raises(errors.UnknownModel):
            rig.dispatcher.select("m", OWNER)


async def test_a_new_price_counts_from_the_next_request_on(tmp_path):

    one = registered(tmp_path / "one", "m", price_per_hour_micros=5, currency="EUR")
    async with rigged(tmp_path, one) as rig:
        before = await reader(rig.dispatcher.load("m"))
        rig.catalog.servables[:] = [replace(one, price_per_hour_micros=9)]
        after = rig.dispatcher.select("m")
        assert (before.provider.price_per_hour_micros, after.provider.price_per_hour_micros) == (5, 9)
        assert rig.dispatcher.provider("m") == after.provider
        rig.dispatcher.release(before)
        rig.dispatcher.release(after)
        assert rig.fleet.loaded()[0].requests == 0


async def test_a_model_that_nobody_serves_yet_is_offered_by_the_pools_provider(tmp_path):
    async with rigged(tmp_path) as rig:
        assert rig.dispatcher.provider("m") is PROVIDER


async def test_a_pin_set_after_the_load_counts_from_the_next_request_on(tmp_path):

    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one) as rig:
        await rig.used("m")
        rig.catalog.servables[:] = [replace(one, pinned=True)]
        rig.dispatcher.release(rig.dispatcher.select("m"))
        with pytest.raises(errors.ModelPinned):
            await rig.dispatcher.unload("m")


def test_a_version_is_told_to_its_worker_with_its_base(tmp_path):
    base = registered(tmp_path / "base", "base")
    adapter = registered(tmp_path / "adapter", "a", base_folder=base.folder, base_digest=base.digest)
    told = adapter.config()
    assert (told.folder, told.digest) == (str(adapter.folder), adapter.digest.hex())
    assert (told.base_folder, told.base_digest) == (str(base.folder), base.digest.hex())
    assert FakeCatalog(base, adapter).resolve(f"a@{adapter.version}", None) is adapter
    assert dispatcher_module.MIN_VERSION_CHARS == 8
