import asyncio

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch import Delta, Generation
from tallystick_platform.protocol import Failed, Finished, Started, TextDelta

ID = b"1" * 16


@pytest.fixture
def cancels():
    return []


@pytest.fixture
def generation(cancels):
    return Generation(worker="w", now_us=lambda: 77, cancel=lambda: cancels.append(1))


async def collect(generation):
    return [delta async for delta in generation]


async def test_deltas_come_in_order_and_then_the_result(generation):
    reading = asyncio.create_task(collect(generation))
    for event in (Started(ID, 5), TextDelta(ID, "a", 1, 10), Finished(ID, "stop", 5, 2, 30)):
        generation.feed(event)
        await asyncio.sleep(0)
    assert await reading == [Delta(text="a", tokens=1)]
    result = generation.result
    assert (result.finish_reason, result.input_tokens, result.output_tokens) == ("stop", 5, 2)
    assert (result.device_time_us, result.started_at_us) == (30, 77 - 30)


async def test_a_reader_that_fell_behind_gets_one_delta(generation):
    generation.feed(TextDelta(ID, "a", 1, 10))
    generation.feed(TextDelta(ID, "b", 2, 20))
    generation.feed(Finished(ID, "length", 1, 3, 20))
    assert await collect(generation) == [Delta(text="ab", tokens=3)]


async def test_progress_tells_what_was_used_until_now(generation):
    assert generation.progress.started_at_us is None
    generation.feed(Started(ID, 5))
    generation.feed(TextDelta(ID, "a", 2, 10))
    progress = generation.progress
    assert (progress.input_tokens, progress.output_tokens, progress.device_time_us, progress.started_at_us) == (
        5,
        2,
        10,
        77 - 10,
    )


@pytest.mark.parametrize("event", [TextDelta(ID, "a", 1, 500), Finished(ID, "stop", 5, 1, 500)])
async def test_engine_time_was_spent_after_the_start_also_where_the_start_was_heard_of_late(event):
    now_us = iter((1_000, 1_200))
    generation = Generation(worker="w", now_us=lambda: next(now_us), cancel=lambda: None)
    generation.feed(Started(ID, 5))
    generation.feed(event)
    assert generation.progress.started_at_us == 1_200 - 500
    assert generation.progress.device_time_us <= 1_200 - generation.progress.started_at_us


async def test_a_later_look_never_moves_the_start_forward():
    now_us = iter((1_000, 9_000))
    generation = Generation(worker="w", now_us=lambda: next(now_us), cancel=lambda: None)
    generation.feed(Started(ID, 5))
    generation.feed(TextDelta(ID, "a", 1, 10))
    assert generation.progress.started_at_us == 1_000


async def test_what_took_no_engine_time_did_not_start(generation):
    generation.feed(Finished(ID, "cancelled", 0, 0, 0))
    assert generation.progress.started_at_us is None


async def test_a_dead_worker_ends_it_with_what_was_delivered(generation):
    generation.feed(TextDelta(ID, "half", 2, 10))
    generation.die("exit code -9")
    assert (await anext(generation)).text == "half"
    with pytest.raises(errors.WorkerDied) as caught:
        await anext(generation)
    assert (caught.value.delivered_text, caught.value.output_tokens, caught.value.device_time_us) == ("half", 2, 10)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Failed(ID, "prompt-too-long", "", 10, 12), errors.PromptTooLong),
        (Failed(ID, "prompt-rejected", "no"), errors.PromptRejected),
        (Failed(ID, "queue-full", "", 3, 3), errors.QueueFull),
        (Failed(ID, "engine-failed", "broken"), errors.EngineFailed),
    ],
)
async def test_each_failure_is_raised_as_its_own_error(generation, event, expected):
    generation.feed(event)
    with pytest.raises(expected) as caught:
        await collect(generation)
    assert type(caught.value) is expected
    if expected is errors.PromptTooLong:
        assert (caught.value.limit, caught.value.found) == (10, 12)


async def test_cancelling_ends_the_reading_at_once_and_tells_the_worker_once(generation, cancels):
    reading = asyncio.create_task(collect(generation))
    await asyncio.sleep(0)
    generation.cancel()
    generation.cancel()
    assert await reading == []
    assert cancels == [1]


async def test_cancelling_after_the_end_tells_nobody(generation, cancels):
    generation.feed(Finished(ID, "stop", 1, 1, 1))
    generation.cancel()
    assert cancels == []


async def test_a_result_before_the_end_is_refused(generation):
    with pytest.raises(errors.EngineFailed):
        _ = generation.result
