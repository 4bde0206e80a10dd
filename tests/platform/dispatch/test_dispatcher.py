import os
import signal
import subprocess
import sys

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import Dispatcher, WorkerPool
from tests.support.tiny_model import request
from tests.support.workers import PROVIDER, pool_config, reader, running

SLOW = {"step_s": 0.05}


async def text_of(generation):
    return "".join([delta.text async for delta in generation])


async def test_a_request_is_answered_through_a_real_worker_process(tmp_path):
    async with running(tmp_path) as (dispatcher, pool):
        (model,) = dispatcher.models()
        placement = dispatcher.select(model.id)
        assert placement.provider is PROVIDER
        assert placement.gpu.kind == "cpu"
        generation = dispatcher.start(placement, request(max_tokens=100))
        text = await reader(text_of(generation))
        assert text.startswith("The ledger holds")
        assert generation.result.finish_reason == "stop"
        assert pool.links[0].load == 0
        assert pool.links[0].pid != os.getpid()


async def test_many_requests_are_answered_side_by_side(tmp_path):
    async with running(tmp_path, max_requests=64) as (dispatcher, _):
        placement = dispatcher.select("constant")
        held = [dispatcher.start(placement, request(number, max_tokens=100)) for number in range(64)]
        texts = [await reader(text_of(generation)) for generation in held]
        assert len(set(texts)) == 1


async def test_a_full_worker_refuses_at_once_and_takes_more_after_an_end(tmp_path):
    async with running(tmp_path, max_requests=2) as (dispatcher, _):
        placement = dispatcher.select("constant")
        first = dispatcher.start(placement, request(1))
        dispatcher.start(placement, request(2))
        with pytest.raises(errors.QueueFull) as caught:
            dispatcher.start(placement, request(3))
        assert caught.value.limit == 2
        await reader(text_of(first))
        await reader(text_of(dispatcher.start(placement, request(4))))


async def test_a_cancelled_request_frees_its_place(tmp_path):
    async with running(tmp_path, max_requests=1, **SLOW) as (dispatcher, pool):
        placement = dispatcher.select("constant")
        generation = dispatcher.start(placement, request(max_tokens=10_000))
        assert (await reader(anext(generation))).text
        generation.cancel()
        await reader(text_of(generation))
        while pool.links[0].full:
            await reader(_tick())
        await reader(text_of(dispatcher.start(placement, request(2, max_tokens=1))))


async def test_an_unknown_model_is_told_from_one_that_nobody_serves_now(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        dispatcher.select("constant")
        with pytest.raises(errors.UnknownModel):
            dispatcher.select("other")
    with pytest.raises(errors.NoProvider):
        dispatcher.select("constant")


async def test_before_any_worker_serves_there_is_no_provider(tmp_path):
    dispatcher = Dispatcher(WorkerPool(pool_config(tmp_path), lambda: 0))
    assert not dispatcher.ready
    with pytest.raises(errors.NoProvider):
        dispatcher.select("constant")


async def test_the_least_loaded_worker_is_chosen(tmp_path):
    async with running(tmp_path, workers=2, **SLOW) as (dispatcher, pool):
        while len(pool.links) < 2:
            await reader(_tick())
        first = dispatcher.select("constant")
        dispatcher.start(first, request(1, max_tokens=1_000))
        assert dispatcher.select("constant").worker != first.worker


async def test_a_placement_whose_worker_is_gone_has_no_provider(tmp_path):
    async with running(tmp_path) as (dispatcher, pool):
        placement = dispatcher.select("constant")
        os.kill(pool.links[0].pid, signal.SIGKILL)
        while pool.link(placement.worker) is not None:
            await reader(_tick())
        with pytest.raises(errors.NoProvider):
            dispatcher.start(placement, request())


def test_the_api_process_never_imports_torch():
    code = (
        "import sys, tallystick_platform.dispatch, tallystick_platform.protocol\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'torch', 'transformers'}"
        " or name.startswith(('tallystick_platform.engine', 'tallystick_platform.worker'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def _tick():
    import asyncio

    await asyncio.get_running_loop().run_in_executor(None, os.sched_yield)
