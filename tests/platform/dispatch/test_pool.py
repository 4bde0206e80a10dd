import asyncio
import os
import signal
import stat

import msgspec
import pytest
from structlog.testing import capture_logs

from tallystick_platform import errors
from tallystick_platform.dispatch import place as place_module
from tallystick_platform.dispatch import pool as pool_module
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.protocol import PROTOCOL_VERSION, Hello, Loading, encode
from tests.support.catalogs import registered
from tests.support.clocks import FixedClock
from tests.support.tiny_model import request
from tests.support.workers import PROVIDER, pool_config, reader, running, wait_for_end


async def until(pool, condition):
    """Wait until the pool has changed into what is asked for."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)


async def started(dispatcher, **changes):
    return (await dispatcher.claim("constant", None, "chat")).start(request(**changes))


async def read_to_death(generation):
    """What was still delivered, and the error that ended it."""
    text = ""
    try:
        async with asyncio.timeout(30):
            async for piece in generation:
                text += piece.data
    except errors.WorkerDied as death:
        return text, death
    pytest.fail("the generation came to its own end")


async def test_a_worker_that_is_heard_before_its_start_is_known_to_have_succeeded_serves(tmp_path, monkeypatch):
    pool = WorkerPool(pool_config(tmp_path), FixedClock())
    start = pool_module.worker_process.start

    async def slow_start(config):
        process = await start(config)
        assert pool._socket.poll(30_000)  # the loop does something else until its first words lie there
        pool._drain()
        return process

    monkeypatch.setattr(pool_module.worker_process, "start", slow_start)
    await pool.start()
    try:
        await asyncio.wait_for(pool.wait_ready(), 30)
    finally:
        await pool.stop()


async def test_the_socket_lies_in_a_folder_of_its_own_that_only_its_owner_enters(tmp_path):
    async with running(tmp_path) as (_, pool):
        assert stat.S_IMODE(pool._folder.stat().st_mode) == 0o700
        assert [path.name for path in pool._folder.iterdir()] == ["workers.sock"]
    assert not pool._folder.exists()


async def test_a_run_folder_whose_path_is_too_long_for_a_socket_still_works(tmp_path):
    async with running(tmp_path / ("long" * 30)) as (dispatcher, pool):
        assert dispatcher.ready
        assert stat.S_IMODE(pool._folder.stat().st_mode) == 0o700


async def test_a_killed_worker_fails_what_it_held_and_is_replaced(tmp_path):
    async with running(tmp_path, step_s=0.05) as (dispatcher, pool):
        generation = await started(dispatcher, max_tokens=1_000)
        first = await reader(anext(generation))
        os.kill(pool.links[0].pid, signal.SIGKILL)
        text, death = await read_to_death(generation)
        assert generation.progress.usage["output_tokens"] == len((first.data + text).split())
        assert str(death).endswith(": exit code -9")
        assert dispatcher.last_fault == "exit code -9"
        await reader(dispatcher.wait_ready())
        assert (await dispatcher.claim("constant", None, "chat")).placement.worker != generation.worker
        assert pool.restarts == 1


async def test_a_worker_that_hangs_is_found_by_its_silence(tmp_path):
    async with running(tmp_path, silence_s=3.0) as (dispatcher, pool):
        pid = pool.links[0].pid
        os.kill(pid, signal.SIGSTOP)
        await until(pool, lambda: pool.restarts == 1)
        assert dispatcher.last_fault == "silent for 3 s"
        assert await asyncio.to_thread(wait_for_end, pid)


async def test_a_model_that_cannot_be_served_is_told_as_the_fault(tmp_path):
    config = pool_config(tmp_path, engine="torch", model=str(tmp_path / "nothing"))
    pool = WorkerPool(config, FixedClock())
    await pool.start()
    try:
        await until(pool, lambda: pool.restarts > 0)
    finally:
        await pool.stop()
    assert "neither 'demo' nor" in pool.last_fault


async def test_a_worker_that_is_not_ready_in_time_is_ended(tmp_path):
    pool = WorkerPool(pool_config(tmp_path, start_timeout_s=0.01), FixedClock())
    await pool.start()
    try:
        await until(pool, lambda: pool.restarts > 0)
    finally:
        await pool.stop()
    assert pool.last_fault == "it was not ready within 0.01 s"


async def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path, monkeypatch):
    async def fail(config):
        raise OSError("no memory")

    monkeypatch.setattr(pool_module.worker_process, "start", fail)
    monkeypatch.setattr(pool_module, "FIRST_DELAY_S", 0.0)
    pool = WorkerPool(pool_config(tmp_path), FixedClock())
    await pool.start()
    try:
        await until(pool, lambda: pool.restarts >= 3)
    finally:
        await pool.stop()
    assert pool.last_fault == "it could not be started: no memory"


async def test_restarts_wait_longer_each_time_and_never_beyond_the_bound(tmp_path, monkeypatch):
    delays = []

    async def fail(config):
        raise OSError("no memory")

    async def sleep(delay):
        delays.append(delay)
        if len(delays) == 12:
            await asyncio.Event().wait()

    monkeypatch.setattr(pool_module.worker_process, "start", fail)
    monkeypatch.setattr(pool_module.asyncio, "sleep", sleep)
    pool = WorkerPool(pool_config(tmp_path), FixedClock())
    await pool.start()
    await until(pool, lambda: len(delays) == 12)
    await pool.stop()
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == pool_module.MAX_DELAY_S


async def test_stopping_ends_the_processes_and_what_they_held(tmp_path):
    async with running(tmp_path, step_s=0.05) as (dispatcher, pool):
        generation = await started(dispatcher, max_tokens=1_000)
        pid = pool.links[0].pid
        await dispatcher.stop_workers()
        with pytest.raises(errors.WorkerDied, match="the server stops"):
            async for _ in generation:
                pass
        assert await asyncio.to_thread(wait_for_end, pid)


async def test_messages_of_strangers_and_broken_ones_change_nothing(tmp_path):
    async with running(tmp_path) as (dispatcher, pool):
        (worker,) = pool._links
        pool._hear("stranger", b"\x00")
        pool._hear(worker, b"\x00")
        pool._hear(
            worker,
            encode(
                Hello(
                    protocol_version=1,
                    pid=1,
                    model=dispatcher.models()[0],
                    gpu=pool.links[0].placement.gpu,
                    max_requests=1,
                )
            ),
        )
        assert len(pool.links) == 1
        generation = await started(dispatcher)
        assert [piece async for piece in generation]


async def test_how_far_a_worker_is_with_its_model_is_shown_or_logged(tmp_path):
    told = []
    async with running(tmp_path) as (_, pool):
        (worker,) = pool._links
        with capture_logs() as logs:
            pool._hear(worker, encode(Loading("converting", 0.25)))
            pool.loading = lambda *news: told.append(news) or True
            pool._hear(worker, encode(Loading("converting", 0.5)))
            pool._hear("stranger", encode(Loading("converting", 1.0)))
    assert told == [("worker-0", "converting", 0.5)]
    assert [(line["event"], line["fraction"]) for line in logs] == [("worker.loading", 0.25)]


async def test_a_worker_of_another_protocol_version_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "PROTOCOL_VERSION", PROTOCOL_VERSION + 1)
    pool = WorkerPool(pool_config(tmp_path), FixedClock())
    await pool.start()
    try:
        await until(pool, lambda: pool.restarts > 0)
    finally:
        await pool.stop()
    assert pool.last_fault == f"it speaks protocol {PROTOCOL_VERSION}"


async def test_a_worker_that_serves_something_else_than_its_place_is_for_is_ended(tmp_path, monkeypatch):
    told = place_module.worker_config

    def tell_otherwise(pool, place, endpoint, worker_id):
        return msgspec.structs.replace(told(pool, place, endpoint, worker_id), version=None)

    async with running(tmp_path, version_engine="constant") as (dispatcher, pool):
        monkeypatch.setattr(pool_module, "worker_config", tell_otherwise)
        version = registered(tmp_path / "one", "m").config()
        place = pool.open(place_module.PlaceConfig(name="model-1", provider=PROVIDER, version=version))
        reason = await reader(place.first)
        assert reason.startswith("it serves constant@")
        assert place.link is None
        assert len(pool.links) == 1
        await pool.close(place)
        assert dispatcher.ready


async def test_a_place_that_is_closed_before_its_worker_is_up_says_so(tmp_path):
    async with running(tmp_path) as (_, pool):
        version = registered(tmp_path / "one", "m").config()
        place = pool.open(place_module.PlaceConfig(name="model-1", provider=PROVIDER, version=version))
        await pool.close(place)
        assert place.first.result() == pool_module.STOPPING
        assert place.over
