"""Versions loaded beside the standing model, over real worker processes that need no torch."""

import asyncio
import os
import signal

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import dispatcher as dispatcher_module
from tallystick_platform.dispatch import fleet as fleet_module
from tallystick_platform.dispatch import place as place_module
from tallystick_platform.dispatch import pool as pool_module
from tests.support.catalogs import GIB, Memory, registered, rigged
from tests.support.tiny_model import request
from tests.support.workers import reader, wait_for_end


async def text_of(generation):
    return "".join([piece.data async for piece in generation])


async def until(condition):
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def test_a_registered_version_is_loaded_when_it_is_asked_for_and_serves_under_its_name(tmp_path):
    one = registered(tmp_path / "one", "Acme/One", price_per_hour_micros=7, currency="EUR")
    async with rigged(tmp_path, one) as rig:
        assert rig.dispatcher.loaded() == []
        claim = await rig.claim("Acme/One")
        model, provider = claim.placement.model, claim.placement.provider
        assert (model.id, model.version) == ("Acme/One", one.version)
        assert model.weights_digest == one.digest
        assert (provider.price_per_hour_micros, provider.currency) == (7, "EUR")
        await rig.claim("Acme/One")
        (loaded,) = rig.dispatcher.loaded()
        assert (loaded.servable, loaded.place.link is not None, loaded.requests) == (one, True, 2)
        assert await reader(text_of(claim.start(request(max_tokens=100))))
        assert rig.dispatcher.loaded()[0].requests == 1
        assert {model.id for model in rig.dispatcher.models()} == {"constant", "Acme/One"}
        assert rig.fleet.loads == 1


async def test_two_versions_of_one_model_answer_side_by_side_each_with_its_own_digest(tmp_path):
    old, new = (registered(tmp_path / text, "m", text) for text in ("old", "new"))
    async with rigged(tmp_path, old, new, step_s=0.02) as rig:
        claims = [await rig.claim(name) for name in (old.reference, new.reference)]
        assert [claim.placement.model.weights_digest for claim in claims] == [old.digest, new.digest]
        assert (await rig.claim("m")).placement is claims[1].placement
        held = [claim.start(request(n)) for n, claim in enumerate(claims)]
        assert {generation.worker for generation in held} == {claim.placement.worker for claim in claims}
        texts = await asyncio.gather(*(reader(text_of(generation)) for generation in held))
        assert all(texts)
        assert len({model.version for model in rig.dispatcher.models() if model.id == "m"}) == 2


async def test_a_version_that_is_retired_while_loaded_is_neither_listed_nor_answered_and_its_memory_comes_back(
    tmp_path,
):
    one = registered(tmp_path / "one", "m", pinned=True)
    async with rigged(tmp_path, one, step_s=0.02) as rig:
        held = (await rig.claim("m")).start(request(1))
        free = rig.memory.available()
        rig.catalog.retire(one)
        with pytest.raises(errors.UnknownModel):
            await rig.claim(one.reference)
        await reader(rig.dispatcher.follow_registry())
        assert {model.id for model in rig.dispatcher.models()} == {"constant"}
        assert rig.names() == ["m"]  # the answer under way comes to its end
        assert await reader(text_of(held))
        await reader(rig.dispatcher.follow_registry())
        assert rig.names() == []
        assert rig.memory.available() == free + GIB
        assert not rig.dispatcher.serves("m", one.digest)


async def test_retired_versions_are_looked_for_by_themselves_whatever_goes_wrong_once(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatcher_module, "WITHDRAWN_CHECK_S", 0.001)
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one) as rig:
        await rig.used("m")
        faults = iter([RuntimeError("the database is away")])
        offered = rig.catalog.offered

        async def once(reference):
            for fault in faults:
                raise fault
            return await offered(reference)

        monkeypatch.setattr(rig.catalog, "offered", once)
        rig.catalog.servables.remove(one)
        await until(lambda: rig.names() == [])


async def test_requests_that_wait_for_one_version_share_one_load(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        claims = await reader(asyncio.gather(*(rig.claim("m") for _ in range(8))))
        assert len({id(claim.placement) for claim in claims}) == 1
        assert rig.fleet.loads == 1
        assert rig.fleet.loaded()[0].requests == 8


async def test_who_leaves_while_it_waits_does_not_end_the_load_for_the_others(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        leaving, staying = (asyncio.create_task(rig.claim("m")) for _ in range(2))
        await until(lambda: rig.fleet._waiting.get(("m", rig.catalog.servables[0].digest)) == 2)
        leaving.cancel()
        await reader(staying)
        assert rig.fleet.loads == 1
        assert rig.fleet.loaded()[0].requests == 1


async def test_no_more_requests_wait_for_loads_than_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(fleet_module, "MAX_WAITING_FOR_LOAD", 2)
    one, two = registered(tmp_path / "one", "a"), registered(tmp_path / "two", "b")
    async with rigged(tmp_path, one, two) as rig:
        await rig.dispatcher.wait_ready()
        waiting = [asyncio.create_task(rig.dispatcher.load(name, None)) for name in "ab"]
        await until(lambda: len(rig.fleet._waiting) == 2)
        with pytest.raises(errors.QueueFull) as caught:
            await rig.dispatcher.load("a", None)
        assert (caught.value.limit, caught.value.retry_after_s) == (2, fleet_module.USUAL_LOAD_S)
        await reader(asyncio.gather(*waiting))
        assert rig.fleet._waiting == {}


async def test_a_worker_whose_files_changed_refuses_and_says_both_digests(tmp_path):
    one = registered(tmp_path / "one", "m")
    (one.folder / "weights.txt").write_text("other")
    async with rigged(tmp_path, one) as rig:
        with pytest.raises(errors.ModelLoadFailed, match=one.digest.hex()) as caught:
            await reader(rig.dispatcher.load("m", None))
        assert "they were changed since" in caught.value.reason
        assert rig.names() == []
        assert rig.pool.last_fault is None


async def test_a_version_that_failed_is_not_tried_again_before_its_pause_is_over(tmp_path):
    one = registered(tmp_path / "one", "m")
    (one.folder / "weights.txt").write_text("other")
    async with rigged(tmp_path, one) as rig:
        with pytest.raises(errors.ModelLoadFailed):
            await reader(rig.dispatcher.load("m", None))
        (one.folder / "weights.txt").write_text("weights")
        with pytest.raises(errors.ModelLoadFailed) as caught:
            await reader(rig.dispatcher.load("m", None))
        assert 0 < caught.value.retry_after_s <= fleet_module.FAILED_LOAD_PAUSE_S
        rig.clock.advance(fleet_module.FAILED_LOAD_PAUSE_S)
        await rig.used("m")
        assert rig.names() == ["m"]


async def test_a_worker_that_dies_while_it_loads_is_told_to_everyone_who_waits(tmp_path, monkeypatch):
    started = pool_module.worker_process.start
    died = asyncio.Event()

    async def start(config):
        process = await started(config)
        if config.version is not None:
            process.kill()
            died.set()
        return process

    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.dispatcher.wait_ready()
        monkeypatch.setattr(pool_module.worker_process, "start", start)
        found = await reader(
            asyncio.gather(*(rig.dispatcher.load("m", None) for _ in range(3)), return_exceptions=True)
        )
        assert died.is_set()
        assert [type(error) for error in found] == [errors.ModelLoadFailed] * 3
        assert "exit code -9" in found[0].reason
        assert rig.names() == []


async def test_files_that_cannot_be_estimated_are_told_as_the_reason(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:

        def broken(servable):
            raise OSError("no such header")

        rig.fleet.needed = broken
        with pytest.raises(errors.ModelLoadFailed, match="no such header"):
            await reader(rig.dispatcher.load("m", None))


async def test_a_version_that_does_not_fit_is_refused_with_the_figures_and_unloads_nothing(tmp_path):
    small, large = registered(tmp_path / "small", "small"), registered(tmp_path / "large", "large", "big")
    memory = Memory(total_bytes=4 * GIB)
    memory.needs["large"] = 9 * GIB
    async with rigged(tmp_path, small, large, memory=memory) as rig:
        await rig.used("small")
        with pytest.raises(errors.ModelTooLarge) as caught:
            await reader(rig.dispatcher.load("large", None))
        assert (caught.value.needed_bytes, caught.value.available_bytes) == (9 * GIB, 4 * GIB)
        assert caught.value.model == large.reference
        assert "needs 9216 MiB of memory (9663676416 bytes) and 4096 MiB (4294967296 bytes)" in str(caught.value)
        assert rig.names() == ["small"]


async def test_the_version_unused_for_longest_makes_room(tmp_path):
    versions = [registered(tmp_path / name, name) for name in "abc"]
    async with rigged(tmp_path, *versions, memory=Memory(total_bytes=2 * GIB)) as rig:
        for name in ("a", "b", "a"):
            await rig.used(name)
        (pid,) = [link.pid for link in rig.pool.links if link.placement.model.id == "b"]
        await rig.used("c")
        assert rig.names() == ["a", "c"]
        assert rig.fleet.unloads == 1
        assert await asyncio.to_thread(wait_for_end, pid)


async def test_a_busy_version_is_never_unloaded(tmp_path):
    one, two = registered(tmp_path / "one", "one"), registered(tmp_path / "two", "two")
    async with rigged(tmp_path, one, two, memory=Memory(total_bytes=GIB)) as rig:
        claim = await rig.claim("one")
        with pytest.raises(errors.NoRoomForModel) as caught:
            await reader(rig.dispatcher.load("two", None))
        assert (caught.value.needed_bytes, caught.value.available_bytes) == (GIB, 0)
        with pytest.raises(errors.ModelBusy):
            await rig.dispatcher.unload("one", None)
        assert rig.names() == ["one"]
        claim.release()
        await rig.used("two")
        assert rig.names() == ["two"]


async def test_a_cancelled_request_keeps_its_version_until_the_worker_has_confirmed(tmp_path):
    one, two = registered(tmp_path / "one", "one"), registered(tmp_path / "two", "two")
    async with rigged(tmp_path, one, two, memory=Memory(total_bytes=GIB), step_s=0.05) as rig:
        claim = await rig.claim("one")
        claim.start(request(max_tokens=1_000))
        claim.release()
        with pytest.raises(errors.NoRoomForModel):
            await reader(rig.dispatcher.load("two", None))
        await until(lambda: rig.fleet.loaded()[0].requests == 0)
        await rig.used("two")
        assert rig.names() == ["two"]


async def test_pinned_versions_are_loaded_at_the_start_and_never_unloaded(tmp_path):
    pinned = registered(tmp_path / "one", "one", pinned=True)
    other = registered(tmp_path / "two", "two")
    async with rigged(tmp_path, pinned, other, memory=Memory(total_bytes=GIB)) as rig:
        await until(lambda: rig.names() == ["one"])
        with pytest.raises(errors.ModelTooLarge) as caught:
            await reader(rig.dispatcher.load("two", None))
        assert caught.value.available_bytes == 0
        with pytest.raises(errors.ModelPinned):
            await rig.dispatcher.unload("one", None)
        assert rig.names() == ["one"]


async def test_a_pinned_version_that_cannot_be_loaded_does_not_keep_the_next_from_it(tmp_path):
    broken, sound = (registered(tmp_path / name, name, pinned=True) for name in ("broken", "sound"))
    (broken.folder / "weights.txt").write_text("other")
    async with rigged(tmp_path, broken, sound) as rig:
        await until(lambda: rig.names() == ["sound"])


async def test_no_more_versions_are_loaded_than_the_bound(tmp_path):
    versions = [registered(tmp_path / name, name) for name in "abc"]
    async with rigged(tmp_path, *versions, max_loaded=2) as rig:
        held = [await rig.claim(name) for name in "ab"]
        with pytest.raises(errors.Overloaded) as caught:
            await reader(rig.dispatcher.load("c", None))
        assert caught.value.limit == 2
        held[0].release()
        await rig.used("c")
        assert rig.names() == ["b", "c"]


async def test_unloading_ends_the_process_and_the_next_request_loads_again(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.used("m")
        pid = next(link.pid for link in rig.pool.links if not link.standing)
        assert await rig.dispatcher.unload("m", None)
        assert await asyncio.to_thread(wait_for_end, pid)
        assert not await rig.dispatcher.unload("m", None)
        assert rig.names() == []
        await rig.used("m")
        assert rig.fleet.loads == 2


async def test_a_task_or_format_that_no_worker_computes_is_refused_by_name(tmp_path):
    wrong_task = registered(tmp_path / "one", "a", task="other")
    wrong_format = registered(tmp_path / "two", "b", format="onnx")
    wrong_table = registered(tmp_path / "three", "c", task="classical")
    async with rigged(tmp_path, wrong_task, wrong_format, wrong_table) as rig:
        with pytest.raises(errors.NotServable, match="its task is other"):
            await reader(rig.dispatcher.load("a", None))
        with pytest.raises(errors.NotServable, match="its format is onnx"):
            await reader(rig.dispatcher.load("b", None))
        with pytest.raises(
            errors.NotServable, match="its format is safetensors, and workers here compute onnx and skops"
        ):
            await reader(rig.dispatcher.load("c", None))


async def test_a_loaded_worker_that_dies_is_started_again(tmp_path):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.used("m")
        (link,) = [link for link in rig.pool.links if not link.standing]
        os.kill(link.pid, signal.SIGKILL)
        await until(lambda: link not in rig.pool.links)
        with pytest.raises(errors.NoProvider):
            await rig.claim("m")
        await until(lambda: rig.fleet.loaded()[0].place.link is not None)
        assert (await rig.claim("m")).placement.worker != link.placement.worker


async def test_a_loaded_version_whose_worker_never_comes_up_again_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(place_module, "MAX_FUTILE_STARTS", 2)
    monkeypatch.setattr(pool_module, "FIRST_DELAY_S", 0.0)
    one = registered(tmp_path / "one", "m")
    async with rigged(tmp_path, one) as rig:
        await rig.used("m")
        (link,) = [link for link in rig.pool.links if not link.standing]
        (one.folder / "weights.txt").write_text("other")
        os.kill(link.pid, signal.SIGKILL)
        version = rig.fleet._versions[("m", one.digest)]
        await until(lambda: version.place.over)
        with pytest.raises(errors.ModelLoadFailed):
            await rig.claim("m")
        assert rig.names() == []


async def test_stopping_while_a_version_loads_leaves_no_process(tmp_path, monkeypatch):
    started, pids = pool_module.worker_process.start, []

    async def start(config):
        process = await started(config)
        pids.append(process.pid)
        return process

    monkeypatch.setattr(pool_module.worker_process, "start", start)
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        waiting = asyncio.create_task(rig.dispatcher.load("m", None))
        await until(lambda: len(pids) == 2)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for pid in pids:
        assert await asyncio.to_thread(wait_for_end, pid)


async def test_who_is_sent_away_while_a_version_loads_is_told_how_long_that_took_the_last_time(tmp_path, monkeypatch):
    loading = fleet_module.Fleet._make_room

    async def slow(fleet, servable, needed):
        await loading(fleet, servable, needed)
        asyncio.get_running_loop().call_soon(rig.clock.advance, 42)

    monkeypatch.setattr(fleet_module.Fleet, "_make_room", slow)
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.used("m")
        await rig.dispatcher.unload("m", None)
        monkeypatch.setattr(fleet_module, "MAX_WAITING_FOR_LOAD", 0)
        with pytest.raises(errors.QueueFull) as caught:
            await rig.dispatcher.load("m", None)
        assert caught.value.retry_after_s == 42
        for number in range(fleet_module.MAX_TIMED):
            rig.fleet._time(("other", number.to_bytes(2)), 1.0)
        assert len(rig.fleet._took_s) == fleet_module.MAX_TIMED == 256


async def test_a_version_whose_signature_counts_no_longer_is_given_back_like_a_retired_one(tmp_path, monkeypatch):
    async with rigged(tmp_path, registered(tmp_path / "one", "m")) as rig:
        await rig.used("m")

        async def not_signed(_reference):
            return None, True

        monkeypatch.setattr(rig.catalog, "offered", not_signed)
        await reader(rig.dispatcher.follow_registry())
        assert rig.names() == []
