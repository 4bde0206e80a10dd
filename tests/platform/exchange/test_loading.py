"""Requests whose model must be loaded first: nothing is admitted before it is, and every claim is given back."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.record import State
from tallystick_platform.errors import ModelTooLarge, ParameterOutOfRange, PlatformError, RequestTimedOut
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import ClientLeft, ServerStopped
from tallystick_platform.exchange.parts import Parts
from tests.support.catalogs import registered, rigged
from tests.support.exchange import MODEL, Bench, Script, ask, said, unavailable
from tests.support.workers import reader


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.dispatcher.hold_load = asyncio.Event()
    return bench


async def test_a_request_waits_for_its_model_and_is_then_answered(bench: Bench) -> None:
    running = asyncio.create_task(bench.line(ask(model=f"{MODEL.id}@12345678")).run())
    await until(lambda: bench.gate.inside == 1)
    assert bench.journal.admitted == 0
    bench.dispatcher.hold_load.set()
    await running
    assert (bench.journal.only.model.id, bench.journal.only.model.version) == (MODEL.id, MODEL.version)
    assert bench.dispatcher.claims == 0


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (ClientLeft(), ClientLeft),
        (RequestTimedOut(timeout_s=1), RequestTimedOut),
        (ServerStopped(), ServerStopped),
    ],
)
async def test_breaking_the_wait_off_leaves_nothing(bench: Bench, reason: PlatformError, expected: type) -> None:
    line = bench.line()
    running = asyncio.create_task(line.run())
    await until(lambda: bench.gate.inside == 1)
    line.stop(reason)
    with pytest.raises(expected):
        await running
    assert (bench.journal.admitted, bench.gate.inside, bench.dispatcher.claims) == (0, 0, 0)
    assert bench.exchange.stop_all() == 0


async def test_the_wait_ends_with_the_requests_own_time(bench: Bench) -> None:
    with pytest.raises(RequestTimedOut):
        await bench.line(timeout_s=0.001).run()
    assert bench.journal.admitted == 0


async def test_why_a_model_is_not_loaded_is_told_and_nothing_is_admitted(bench: Bench) -> None:
    bench.dispatcher.load_error = ModelTooLarge(model=MODEL.id, needed_bytes=9, available_bytes=4)
    bench.dispatcher.hold_load.set()
    with pytest.raises(ModelTooLarge):
        await bench.line().run()
    assert (bench.journal.admitted, bench.dispatcher.claims) == (0, 0)


async def test_what_the_loaded_model_does_not_take_is_refused_and_its_claim_given_back(bench: Bench) -> None:
    bench.dispatcher.hold_load.set()
    with pytest.raises(ParameterOutOfRange):
        await bench.line(ask(max_tokens=MODEL.context_length + 1)).run()
    assert (bench.journal.admitted, bench.dispatcher.claims) == (0, 0)


async def test_a_claim_is_given_back_however_the_line_ends() -> None:
    for script, spoil in (
        (Script(), lambda bench: None),
        (Script(error=ValueError("a defect")), lambda bench: None),
        (Script(), lambda bench: setattr(bench.journal, "admit_error", unavailable())),
        (Script(), lambda bench: setattr(bench.journal, "commit_error", unavailable())),
        (Script(), lambda bench: setattr(bench.gate, "error", unavailable())),
    ):
        bench = Bench(script)
        spoil(bench)
        await asyncio.gather(bench.line().run(), return_exceptions=True)
        assert bench.dispatcher.claims == 0


async def test_two_versions_answer_side_by_side_and_each_record_carries_its_own_digest(tmp_path) -> None:
    old, new = (registered(tmp_path / text, "Acme/m", text) for text in ("old", "new"))
    bench = Bench()
    async with rigged(tmp_path, old, new) as rig:
        exchange = Exchange(
            Parts(
                journal=bench.journal,
                dispatcher=rig.dispatcher,
                gate=bench.gate,
                clock=bench.clock,
                random=bench.random,
                metrics=bench.metrics,
            )
        )
        bench.exchange = exchange
        asked = [old.reference, new.reference, "Acme/m", f"Acme/m@{old.digest.hex()[:8]}"]
        answers = await reader(asyncio.gather(*(bench.line(ask(model=name)).run() for name in asked)))
        assert all(said(answer) for answer in answers)
        records = [answer.record for answer in answers]
        assert [record.model.weights_digest for record in records] == [old.digest, new.digest, new.digest, old.digest]
        assert {record.model.id for record in records} == {"Acme/m"}
        assert {record.state for record in bench.journal.records} == {State.COMPLETED}
        assert [version.requests for version in rig.fleet.loaded()] == [0, 0]
        assert rig.fleet.loads == 2
