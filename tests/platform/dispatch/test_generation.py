import asyncio

import pytest

from tallystick_platform import errors
from tallystick_platform.dispatch.generation import Generation
from tallystick_platform.protocol import Failed, Finished, Piece, Started, TokenEntry

ID = b"1" * 16


@pytest.fixture
def cancels():
    return []


@pytest.fixture
def generation(cancels):
    return Generation(worker="w", now_us=lambda: 77, cancel=lambda: cancels.append(1))


def usage(given, drawn):
    return {"input_tokens": given, "output_tokens": drawn}


async def collect(generation):
    return [piece.data async for piece in generation]


async def test_pieces_come_in_order_and_then_the_end(generation):
    reading = asyncio.create_task(collect(generation))
    events = (Started(ID, usage(5, 0)), Piece(ID, "a", usage(5, 1), 10), Finished(ID, "stop", usage(5, 2), 30))
    for event in events:
        generation.feed(event)
        await asyncio.sleep(0)
    assert await reading == ["a"]
    progress = generation.progress
    assert (generation.finish_reasons, progress.usage) == (("stop",), usage(5, 2))
    assert (progress.device_time_us, progress.started_at_us) == (30, 77 - 30)


async def test_a_reader_that_fell_behind_gets_the_text_that_waits_at_once(generation):
    generation.feed(Piece(ID, "a", usage(1, 1), 10))
    generation.feed(Piece(ID, "b", usage(1, 3), 20))
    generation.feed(Finished(ID, "length", usage(1, 3), 20))
    assert await collect(generation) == ["ab"]


async def test_outputs_of_bytes_stay_apart_also_where_the_reader_fell_behind(generation):
    for data in (b"one", b"two", "a", "b", b"three"):
        generation.feed(Piece(ID, data, {}, 1))
    generation.feed(Finished(ID, None, {"input_tokens": 4}, 2))
    assert await collect(generation) == [b"one", b"two", "ab", b"three"]
    assert (generation.finish_reasons, generation.progress.usage) == ((None,), {"input_tokens": 4})


async def test_texts_of_several_outputs_stay_apart_and_keep_their_tokens(generation):
    one, two, three = (TokenEntry(text, text.encode(), -0.5) for text in "abc")
    generation.feed(Piece(ID, "a", usage(1, 1), 1, 0, [one]))
    generation.feed(Piece(ID, "b", usage(1, 2), 2, 0, [two]))
    generation.feed(Piece(ID, "c", usage(1, 3), 3, 1, [three]))
    generation.feed(Piece(ID, "", usage(1, 4), 4, 1, [one]))
    generation.feed(Finished(ID, "stop", usage(1, 4), 5, ("length", "stop")))
    found = [(piece.output, piece.data, piece.logprobs, piece.usage) async for piece in generation]
    assert found == [(0, "ab", [one, two], usage(1, 2)), (1, "c", [three, one], usage(1, 4))]
    assert generation.finish_reasons == ("length", "stop")


async def test_a_piece_without_text_only_counts(generation):
    generation.feed(Piece(ID, "", usage(5, 1), 10))
    generation.feed(Finished(ID, "stop", usage(5, 1), 10))
    assert await collect(generation) == []
    assert generation.progress.usage == usage(5, 1)


async def test_progress_tells_what_was_used_until_now(generation):
    assert generation.progress.started_at_us is None
    generation.feed(Started(ID, usage(5, 0)))
    assert generation.progress.started_at_us == 77
    generation.feed(Piece(ID, "a", usage(5, 2), 10))
    progress = generation.progress
    assert (progress.usage, progress.device_time_us, progress.started_at_us) == (usage(5, 2), 10, 77 - 10)


@pytest.mark.parametrize("event", [Piece(ID, "a", {}, 500), Finished(ID, "stop", {}, 500)])
async def test_engine_time_was_spent_after_the_start_also_where_the_start_was_heard_of_late(event):
    now_us = iter((1_000, 1_200))
    generation = Generation(worker="w", now_us=lambda: next(now_us), cancel=lambda: None)
    generation.feed(Started(ID, {}))
    generation.feed(event)
    assert generation.progress.started_at_us == 1_200 - 500
    assert generation.progress.device_time_us <= 1_200 - generation.progress.started_at_us


async def test_a_later_look_never_moves_the_start_forward():
    now_us = iter((1_000, 9_000))
    generation = Generation(worker="w", now_us=lambda: next(now_us), cancel=lambda: None)
    generation.feed(Started(ID, {}))
    generation.feed(Piece(ID, "a", {}, 10))
    assert generation.progress.started_at_us == 1_000


async def test_what_took_no_engine_time_did_not_start(generation):
    generation.feed(Finished(ID, "cancelled", usage(0, 0), 0))
    assert generation.progress.started_at_us is None


async def test_a_failure_is_raised_after_what_was_delivered_before_it(generation):
    generation.feed(Piece(ID, "half", usage(1, 2), 10))
    generation.fail(errors.WorkerDied(worker="w", reason="exit code -9"))
    assert (await anext(generation)).data == "half"
    with pytest.raises(errors.WorkerDied, match="exit code -9"):
        await anext(generation)
    assert (generation.progress.usage, generation.progress.device_time_us) == (usage(1, 2), 10)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Failed(ID, "prompt-too-long", "", 10, 12), errors.PromptTooLong),
        (Failed(ID, "prompt-rejected", "no"), errors.PromptRejected),
        (Failed(ID, "parameter-rejected", "is no", param="logit_bias"), errors.ParameterOutOfRange),
        (Failed(ID, "queue-full", "", 3, 3), errors.QueueFull),
        (Failed(ID, "engine-failed", "broken"), errors.EngineFailed),
    ],
)
async def test_each_failure_is_raised_as_its_own_error(generation, event, expected):
    generation.feed(event)
    with pytest.raises(expected) as caught:
        await collect(generation)
    assert type(caught.value) is expected
    if expected is errors.ParameterOutOfRange:
        assert (caught.value.param, str(caught.value)) == ("logit_bias", "'logit_bias' is no")
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
    generation.feed(Finished(ID, "stop", usage(1, 1), 1))
    generation.cancel()
    assert cancels == []
