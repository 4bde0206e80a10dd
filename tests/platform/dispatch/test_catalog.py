"""Which worker a reference leads to, and for whom."""

import asyncio
import hashlib
import os
from dataclasses import replace

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import dispatcher as dispatcher_module
from tallystick_platform.dispatch import pool as pool_module
from tallystick_platform.dispatch import versions
from tallystick_platform.dispatch.versions import needed_bytes
from tallystick_platform.engine.constant import DEFAULT_ANSWER
from tallystick_platform.formats.memory import MemoryEstimate
from tests.support.catalogs import OWNER, STRANGER, FakeCatalog, registered, rigged
from tests.support.workers import PROVIDER, reader, running, wait_for_end

CONSTANT_DIGEST = hashlib.sha256(DEFAULT_ANSWER.encode()).digest()


def standing(folder, **changes):
    """The model that the standing worker serves, as a registered version."""
    return registered(folder / "one", "constant", digest=CONSTANT_DIGEST, version=CONSTANT_DIGEST.hex()[:12], **changes)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def test_the_standing_model_answers_by_name_and_by_version_without_a_registry(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        placement = (await dispatcher.claim("constant", None, "chat")).placement
        digits = CONSTANT_DIGEST.hex()
        version = placement.model.version
        for reference in (f"constant@{version}", f"constant@{digits[:8]}", f"constant@{digits}"):
            assert (await dispatcher.claim(reference, None, "chat")).placement is placement
        for reference in (f"constant@{digits[:7]}", "constant@00000000", f"other@{version}"):
            with pytest.raises(errors.UnknownModel):
                await dispatcher.claim(reference, None, "chat")
        await dispatcher.load("constant", None)
        assert dispatcher.loaded() == []


async def test_a_registered_version_that_stands_already_is_not_loaded_a_second_time(tmp_path):
    async with rigged(tmp_path, standing(tmp_path)) as rig:
        claim = await rig.claim("constant")
        assert claim.placement.worker.startswith("worker-")
        assert (await rig.claim("constant")).placement is claim.placement
        assert rig.fleet.loads == 0
        with pytest.raises(errors.ModelPinned):
            await rig.dispatcher.unload("constant", None)


async def test_what_is_asked_for_before_the_standing_worker_is_up_waits_for_it(tmp_path):
    async with rigged(tmp_path, standing(tmp_path)) as rig:
        assert not rig.dispatcher.ready
        found = await reader(asyncio.gather(*(rig.claim("constant") for _ in range(3))))
        assert {claim.placement.worker for claim in found} == {rig.pool.standing[0].placement.worker}


async def test_a_standing_model_that_the_registry_never_knew_is_served(tmp_path):
    async with rigged(tmp_path) as rig:
        await rig.dispatcher.wait_ready()
        (await rig.claim("constant", STRANGER)).release()
        await rig.dispatcher.follow_registry()
        assert [model.id for model in rig.dispatcher.models()] == ["constant"]


@pytest.mark.parametrize("change", ["retired", "removed"])
async def test_a_standing_model_that_is_retired_or_removed_answers_nobody_any_more(tmp_path, change):
    one = standing(tmp_path)
    async with rigged(tmp_path, one) as rig:
        await rig.dispatcher.wait_ready()
        await rig.dispatcher.follow_registry()
        assert [model.id for model in rig.dispatcher.models()] == ["constant"]
        if change == "retired":
            rig.catalog.retire(one)
        else:
            rig.catalog.servables.remove(one)
        for viewer in (STRANGER, OWNER, None):
            for name in ("constant", one.reference):
                with pytest.raises(errors.UnknownModel):
                    await rig.claim(name, viewer)
        await rig.dispatcher.follow_registry()
        assert rig.dispatcher.models() == []


async def test_a_standing_model_that_is_retired_leaves_memory_once_it_is_idle_and_comes_back_with_its_version(
    tmp_path,
):
    one = standing(tmp_path)
    async with rigged(tmp_path, one) as rig:
        claim = await rig.claim("constant")
        (link,) = rig.pool.standing
        rig.catalog.retire(one)
        await reader(rig.dispatcher.follow_registry())
        assert rig.pool.standing == [link]  # the answer under way comes to its end
        claim.release()
        await reader(rig.dispatcher.follow_registry())
        assert await asyncio.to_thread(wait_for_end, link.pid)
        assert rig.pool.standing == []
        assert rig.dispatcher.ready  # nobody waits for a worker that should not be there
        assert not rig.dispatcher.serves("constant", CONSTANT_DIGEST)
        rig.catalog.servables.append(one)
        await reader(rig.dispatcher.follow_registry())
        assert not rig.dispatcher.ready
        again = await rig.claim("constant", STRANGER)
        assert again.placement.worker != link.placement.worker
        assert [model.id for model in rig.dispatcher.models()] == ["constant"]


async def test_a_standing_model_that_is_private_is_its_owners(tmp_path):
    async with rigged(tmp_path, standing(tmp_path, public=False)) as rig:
        await rig.dispatcher.wait_ready()
        (await rig.claim("constant", OWNER)).release()
        with pytest.raises(errors.UnknownModel):
            await rig.claim("constant", STRANGER)
        await rig.dispatcher.follow_registry()
        assert rig.dispatcher.models() == []


async def test_a_standing_worker_that_fails_does_not_keep_the_fleet_from_serving(tmp_path):
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one, engine="torch", model=str(tmp_path / "nothing")) as rig:
        await rig.used("m")
        assert rig.names() == ["m"]
        assert not rig.dispatcher.ready
        assert "neither 'demo' nor" in rig.dispatcher.last_fault


async def test_a_registered_version_that_stood_has_no_provider_while_its_worker_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "FIRST_DELAY_S", 30.0)
    async with rigged(tmp_path, standing(tmp_path)) as rig:
        await rig.claim("constant")
        os.kill(rig.pool.standing[0].pid, 9)
        await until(lambda: not rig.pool.standing)
        with pytest.raises(errors.NoProvider):
            await rig.claim("constant")


async def test_what_is_loaded_or_loading_is_in_use(tmp_path):
    one, two = registered(tmp_path / "one", "m"), registered(tmp_path / "two", "m", "other")
    async with rigged(tmp_path, one, two) as rig:
        await rig.dispatcher.wait_ready()
        assert rig.dispatcher.serves("constant", CONSTANT_DIGEST)
        assert not rig.dispatcher.serves("m", one.digest)
        loading = asyncio.create_task(rig.dispatcher.load(one.reference, None))
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
        assert await rig.dispatcher.unload(one.reference, None)
        assert rig.names() == []


async def test_a_private_version_does_not_exist_for_strangers(tmp_path):
    private = registered(tmp_path / "one", "m", public=False)
    async with rigged(tmp_path, private) as rig:
        await rig.claim("m", OWNER)
        attempts = (rig.claim("m", STRANGER), rig.dispatcher.load("m", STRANGER), rig.dispatcher.unload("m", STRANGER))
        for attempt in attempts:
            with pytest.raises(errors.UnknownModel):
                await attempt
        assert [model.id for model in rig.dispatcher.models()] == ["constant"]
        assert rig.names() == ["m"]


async def test_the_viewer_is_asked_about_at_every_request(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.claim("m", OWNER)
        rig.catalog.asked.clear()
        await rig.claim("m", STRANGER)
        assert ("m", STRANGER) in rig.catalog.asked
        rig.catalog.servables.clear()
        with pytest.raises(errors.UnknownModel):
            await rig.claim("m", OWNER)


async def test_a_new_price_counts_from_the_next_request_on(tmp_path):
    one = registered(tmp_path / "one", "m", price_per_hour_micros=5, currency="EUR")
    async with rigged(tmp_path, one) as rig:
        before = (await rig.claim("m")).placement
        rig.catalog.servables[:] = [replace(one, price_per_hour_micros=9)]
        after = (await rig.claim("m")).placement
        assert (before.provider.price_per_hour_micros, after.provider.price_per_hour_micros) == (5, 9)
        assert rig.dispatcher.provider("m") == after.provider


async def test_a_model_that_nobody_serves_yet_is_offered_by_the_pools_provider(tmp_path):
    async with rigged(tmp_path) as rig:
        assert rig.dispatcher.provider("m") is PROVIDER


async def test_a_pin_set_after_the_load_counts_from_the_next_request_on(tmp_path):
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one) as rig:
        await rig.used("m")
        rig.catalog.servables[:] = [replace(one, pinned=True)]
        (await rig.claim("m")).release()
        with pytest.raises(errors.ModelPinned):
            await rig.dispatcher.unload("m", None)


async def test_a_version_is_told_to_its_worker_with_its_base(tmp_path):
    base = registered(tmp_path / "base", "base")
    adapter = registered(tmp_path / "adapter", "a", base_folder=base.folder, base_digest=base.digest)
    told = adapter.config()
    assert (told.folder, told.digest) == (str(adapter.folder), adapter.digest.hex())
    assert (told.base_folder, told.base_digest) == (str(base.folder), base.digest.hex())
    assert await FakeCatalog(base, adapter).resolve(f"a@{adapter.version}", None) is adapter
    assert dispatcher_module.MIN_VERSION_CHARS == 8


def test_an_adapter_comes_on_top_of_its_base(tmp_path, monkeypatch):
    asked = []

    def estimate(folder, *, kv_tokens):
        asked.append((folder, kv_tokens))
        return MemoryEstimate(weights_bytes=100, kv_bytes=10, overhead_bytes=1)

    monkeypatch.setattr(versions, "estimate", estimate)
    whole = registered(tmp_path / "base", "base")
    adapter = registered(tmp_path / "adapter", "adapter", "12345", base_folder=whole.folder)
    assert needed_bytes(whole) == 111
    assert needed_bytes(adapter) == 116
    assert asked == [(whole.folder, versions.KV_TOKENS)] * 2
