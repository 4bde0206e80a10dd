"""Places in workers: many requests at once spread over them, and none is admitted that has no place."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tallystick.record import State
from tallystick_platform import errors
from tallystick_platform.clock import MAX_WAIT_S
from tallystick_platform.dispatch.link import Link
from tallystick_platform.dispatch.place import Place, PlaceConfig
from tallystick_platform.dispatch.pool import WorkerPool
from tallystick_platform.protocol import Call, Cancel, Failed, Finished, Hello, Piece, StepReport, Submit
from tests.support.clocks import FixedClock
from tests.support.exchange import MODEL, PLACEMENT, Bench
from tests.support.workers import PROVIDER, dispatcher_over, pool_config

WORKERS, PLACES = 4, 64


def hello(places: int = PLACES) -> Hello:
    return Hello(
        protocol_version=2, pid=1, model=MODEL, gpu=PLACEMENT.gpu, max_requests=places, max_active=places // 2, rows=8
    )


def call(number: int) -> Call:
    return Call(number.to_bytes(16), "chat", b"")


class Worker:
    """The far end of a link: what it was told, and answers at a test's word."""

    def __init__(self, places: int = PLACES, name: str = "worker-0.1") -> None:
        self.clock = FixedClock()
        self.told: list[object] = []
        self.link = Link(
            worker_id=name, hello=hello(places), provider=PROVIDER, send=self.told.append, clock=self.clock
        )

    def ends(self, number: int) -> None:
        request_id = number.to_bytes(16)
        self.link.take(
            StepReport([Piece(request_id, "a", {"output_tokens": 1}, 1), Finished(request_id, "stop", {}, 2)])
        )


@pytest.fixture
def worker() -> Worker:
    return Worker(places=2)


@pytest.fixture
async def pool(tmp_path) -> WorkerPool:
    """Four workers of 64 places, as their pool knows them."""
    pool = WorkerPool(pool_config(tmp_path, workers=WORKERS), FixedClock())
    for number in range(WORKERS):
        place = Place(PlaceConfig(name=f"worker-{number}", provider=PROVIDER))
        pool._serve(place, f"worker-{number}.1", hello())
    return pool


async def test_two_hundred_requests_at_once_spread_evenly_over_four_workers_and_each_is_computed(pool):
    dispatcher = dispatcher_over(pool)
    claims = await asyncio.gather(*(dispatcher.claim(MODEL.id, None, "chat") for _ in range(200)))
    for number, claim in enumerate(claims):
        claim.start(call(number))
    assert Counter(claim.placement.worker for claim in claims) == {f"worker-{n}.1": 50 for n in range(WORKERS)}
    assert [link.load for link in pool.links] == [50] * WORKERS


async def test_what_exceeds_all_places_is_refused_before_it_is_admitted(pool):
    dispatcher = dispatcher_over(pool)
    found = await asyncio.gather(
        *(dispatcher.claim(MODEL.id, None, "chat") for _ in range(300)), return_exceptions=True
    )
    refused = [error for error in found if isinstance(error, errors.QueueFull)]
    claims = [claim for claim in found if not isinstance(claim, BaseException)]
    assert (len(claims), len(refused)) == (WORKERS * PLACES, 300 - WORKERS * PLACES)
    assert refused[0].limit == WORKERS * PLACES
    for number, claim in enumerate(claims):
        claim.start(call(number))


async def test_of_three_hundred_lines_at_once_none_fails_that_was_admitted(pool):
    bench = Bench()
    bench.parts.dispatcher = dispatcher_over(pool)
    submitted = []
    for link in pool.links:
        link.send = lambda message, link=link: submitted.append((link, message.call.request_id))
    lines = [asyncio.create_task(bench.line().run()) for _ in range(300)]
    async with asyncio.timeout(30):
        while len(submitted) < WORKERS * PLACES:
            await asyncio.sleep(0)
    for link, request_id in submitted:
        answer = (
            Piece(request_id, "yes", {"output_tokens": 1}, 1),
            Finished(request_id, "stop", {"output_tokens": 1}, 2),
        )
        link.take(StepReport(list(answer)))
    ended = await asyncio.gather(*lines, return_exceptions=True)
    refused = [error for error in ended if isinstance(error, errors.QueueFull)]
    assert (len(refused), bench.journal.admitted) == (300 - WORKERS * PLACES, WORKERS * PLACES)
    assert {record.state for record in bench.journal.records} == {State.COMPLETED}
    assert [link.load for link in pool.links] == [0] * WORKERS


async def test_a_task_that_the_model_does_not_do_is_refused_and_takes_no_place(pool):
    with pytest.raises(errors.TaskNotServed) as caught:
        await dispatcher_over(pool).claim(MODEL.id, None, "sculpture")
    assert (caught.value.task, caught.value.tasks) == ("sculpture", MODEL.tasks)
    assert [link.load for link in pool.links] == [0] * WORKERS


def test_a_claim_counts_at_once_and_until_it_is_released(worker):
    first, second = worker.link.claim(), worker.link.claim()
    assert (worker.link.load, worker.link.full) == (2, True)
    first.release()
    first.release()
    assert worker.link.load == 1
    second.release()
    assert (worker.link.load, worker.told) == (0, [])


def test_the_place_of_what_was_started_is_free_once_the_worker_has_confirmed_its_end(worker):
    claim = worker.link.claim()
    generation = claim.start(call(1))
    assert worker.told == [Submit(call(1))]
    claim.release()
    assert generation.ended
    assert worker.told[1:] == [Cancel(call(1).request_id)]
    assert worker.link.load == 1
    worker.ends(1)
    claim.release()
    assert (worker.link.load, len(worker.told)) == (0, 2)


def test_what_ended_by_itself_is_not_cancelled_when_its_claim_is_released(worker):
    claim = worker.link.claim()
    claim.start(call(1))
    worker.ends(1)
    assert worker.link.load == 0
    claim.release()
    assert (worker.link.load, len(worker.told)) == (0, 1)


def test_a_claim_starts_one_request(worker):
    claim, released = worker.link.claim(), worker.link.claim()
    claim.start(call(1))
    released.release()
    for used in (claim, released):
        with pytest.raises(RuntimeError, match="used once"):
            used.start(call(2))


async def test_a_worker_that_is_gone_takes_nothing_and_ends_what_it_held(worker):
    waiting, started = worker.link.claim(), worker.link.claim()
    generation = started.start(call(1))
    worker.link.die("exit code -9")
    with pytest.raises(errors.WorkerDied, match="exit code -9"):
        await anext(generation)
    with pytest.raises(errors.NoProvider):
        waiting.start(call(2))
    waiting.release()
    assert worker.link.load == 0


def test_events_of_unknown_requests_change_nothing(worker):
    worker.link.claim().start(call(1))
    worker.link.take(StepReport([Failed(b"other", "engine-failed", "broken"), Piece(b"other", "a", {}, 1)]))
    assert worker.link.load == 1


async def test_a_full_queue_says_when_to_come_back_from_its_length_and_pace():
    worker = Worker(places=4)
    for number in range(4):
        worker.link.claim().start(call(number))
    for number in range(3):
        worker.clock.advance(2.0)
        worker.ends(number)
        worker.link.claim().start(call(10 + number))
    assert worker.link.full
    assert worker.link.wait_s == 8  # four requests, one of which ends every two seconds
    worker.clock.advance(1_000)
    assert worker.link.wait_s == MAX_WAIT_S
