import os
import signal
import subprocess
import sys

import msgspec
import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.protocol import Call
from tallystick_platform.tasks.embedding import EmbeddingCall, Length
from tests.support.clocks import FixedClock
from tests.support.tiny_model import request
from tests.support.workers import PROVIDER, dispatcher_over, pool_config, reader, running

SLOW = {"step_s": 0.05}


async def text_of(generation):
    return "".join([piece.data async for piece in generation])


async def claim(dispatcher, reference="constant"):
    return await dispatcher.claim(reference, None, "chat")


async def started(dispatcher, *arguments, **changes):
    return (await claim(dispatcher)).start(request(*arguments, **changes))


async def test_a_request_is_answered_through_a_real_worker_process(tmp_path):
    async with running(tmp_path) as (dispatcher, pool):
        (model,) = dispatcher.models()
        found = await claim(dispatcher, model.id)
        assert found.placement.provider is PROVIDER
        assert found.placement.gpu.kind == "cpu"
        generation = found.start(request(max_tokens=100))
        text = await reader(text_of(generation))
        assert text.startswith("The ledger holds")
        assert generation.finish_reasons == ("stop",)
        assert generation.progress.usage["output_tokens"] == len(text.split())
        assert pool.links[0].load == 0
        assert pool.links[0].pid != os.getpid()


async def test_it_is_ready_while_the_models_show_what_the_standing_worker_serves(tmp_path, monkeypatch):
    async with running(tmp_path) as (dispatcher, _):
        assert [model.id for model in dispatcher.models()] == ["constant"]
        assert dispatcher.ready
        monkeypatch.setattr(dispatcher, "models", list)
        assert not dispatcher.ready


async def test_a_name_that_promises_a_version_and_gives_none_names_nothing(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        with pytest.raises(errors.UnknownModel):
            await claim(dispatcher, "constant@")


async def test_vectors_come_one_by_one_through_a_real_worker_process(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        found = await dispatcher.claim("constant", None, "embedding")
        body = msgspec.msgpack.encode(EmbeddingCall(inputs=("one", "two", "one"), how=Length(dimensions=4)))
        generation = found.start(Call(b"1" * 16, "embedding", body))
        first, second, third = [piece.data async for piece in generation]
        assert first == third != second
        assert len(first) == 4 * 4
        assert generation.finish_reasons == (None,)


async def test_many_requests_are_answered_side_by_side(tmp_path):
    async with running(tmp_path, max_requests=64) as (dispatcher, _):
        held = [await started(dispatcher, number, max_tokens=100) for number in range(64)]
        texts = [await reader(text_of(generation)) for generation in held]
        assert len(set(texts)) == 1


async def test_a_full_worker_refuses_at_once_and_takes_more_after_an_end(tmp_path):
    async with running(tmp_path, max_requests=2) as (dispatcher, _):
        first = await started(dispatcher, 1)
        await started(dispatcher, 2)
        with pytest.raises(errors.QueueFull) as caught:
            await claim(dispatcher)
        assert caught.value.limit == 2
        await reader(text_of(first))
        await reader(text_of(await started(dispatcher, 4)))


async def test_a_cancelled_request_frees_its_place(tmp_path):
    async with running(tmp_path, max_requests=1, **SLOW) as (dispatcher, pool):
        generation = await started(dispatcher, max_tokens=10_000)
        assert await reader(anext(generation))
        generation.cancel()
        await reader(text_of(generation))
        while pool.links[0].full:
            await reader(_tick())
        await reader(text_of(await started(dispatcher, 2, max_tokens=1)))


async def test_an_unknown_model_is_told_from_one_that_nobody_serves_now(tmp_path):
    async with running(tmp_path) as (dispatcher, _):
        with pytest.raises(errors.UnknownModel):
            await claim(dispatcher, "other")
    with pytest.raises(errors.NoProvider):
        await claim(dispatcher)


async def test_before_any_worker_serves_there_is_no_provider(tmp_path):
    dispatcher = dispatcher_over(WorkerPool(pool_config(tmp_path), FixedClock()))
    assert not dispatcher.ready
    with pytest.raises(errors.NoProvider):
        await claim(dispatcher)


async def test_a_claim_whose_worker_is_gone_has_no_provider(tmp_path):
    async with running(tmp_path) as (dispatcher, pool):
        found = await claim(dispatcher)
        os.kill(pool.links[0].pid, signal.SIGKILL)
        while pool.links and pool.links[0].placement.worker == found.placement.worker:
            await reader(_tick())
        with pytest.raises(errors.NoProvider):
            found.start(request())


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
