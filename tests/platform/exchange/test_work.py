"""Work that is no answer of a model, on the line: every way that it can end leaves exactly one record that says how far it came."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tallystick.record import Model, Output, Price, Provider, RecordFault, State
from tallystick_platform.errors import (
    Draining,
    EngineFailed,
    JournalUnavailable,
    PlatformError,
    RequestTimedOut,
    RequestUnrecordable,
)
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.exchange.faults import AnswerWithheld, Cancelled, ClientLeft, ServerStopped, WorkFailed
from tallystick_platform.exchange.line import Line, Recorded
from tallystick_platform.exchange.records import Delivered, Event
from tests.support.exchange import HTTP, PRINCIPAL, SENDER, START_US, WRITER, Bench, unavailable

MODEL = Model(
    id="test/model",
    version="0123456789ab",
    weights_digest=b"\x33" * 32,
    engine="exporter",
    engine_version="1",
    dtype="float32",
    quantisation=None,
    device="cpu",
)
EVENT = Event(
    task="export",
    model=MODEL,
    parameters={"format": "gguf"},
    gpu=None,
    provider=Provider(id="local", name="Local", address=WRITER.address),
    price=Price(per_hour_micros=500_000, currency="USD", device_time_us=0, charge_micros=0),
)


ASKED = replace(HTTP, path="/v1/models/test/model/exports", target="/v1/models/test/model/exports")


class Steps:
    """Work of some steps, each of which a test lets go. `ready`, where there is one, is waited for before."""

    def __init__(
        self,
        *gates: asyncio.Event,
        error: Exception | None = None,
        stubborn: bool = False,
        ready: asyncio.Event | None = None,
    ) -> None:
        self.done = 0
        self.closed = 0
        self._ready = ready
        self._gates = gates
        self._error = error
        self._stubborn = stubborn

    async def prepare(self) -> Event:
        if self._ready is not None:
            await self._ready.wait()
        return EVENT

    def close(self) -> None:
        self.closed += 1

    async def carry_out(self, admitted: object) -> None:
        for gate in self._gates:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise
            self.done += 1
        if self._error is not None:
            raise self._error

    def delivered(self, failure: BaseException | None) -> Delivered:
        return Delivered(outputs=steps(self.done), device_time_us=3, started_at=START_US)


def steps(done: int) -> tuple[Output, ...]:
    return (Output(kind="document", content={"steps": done}),) if done else ()


def opened() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def line(bench: Bench, work: Steps, timeout_s: float = 30.0) -> Line:
    return bench.exchange.line(principal=PRINCIPAL, http=ASKED, work=work, timeout_s=timeout_s)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_work_that_ends_becomes_one_completed_record() -> None:
    bench = Bench()
    recorded = await line(bench, Steps(opened(), opened())).run()
    record = bench.journal.only
    assert recorded.entry is bench.journal.entries[0]
    assert (recorded.failure, recorded.record) == (None, record)
    assert (record.task, record.state, record.error, record.prompt) == ("export", State.COMPLETED, None, None)
    assert (record.model, dict(record.parameters)) == (MODEL, {"format": "gguf"})
    assert record.response.outputs == steps(2)
    assert (record.price.device_time_us, record.price.charge_micros) == (3, 1)
    assert (record.request.body, record.request.target) == (ASKED.body, ASKED.target)
    assert recorded.ticket.admission.admission.admission_seq == record.admission_seq
    assert (record.sender.address, record.sender.token_id) == (SENDER, PRINCIPAL.token_id)


async def test_nothing_is_done_before_the_admission_is_durable() -> None:
    bench, work = Bench(), Steps(opened())
    bench.journal.hold_admit = asyncio.Event()
    running = asyncio.create_task(line(bench, work).run())
    await until(lambda: bench.gate.inside == 1)
    assert work.done == 0
    bench.journal.hold_admit.set()
    await running
    assert (work.done, bench.gate.inside) == (1, 0)


async def test_a_place_is_held_from_admission_to_record() -> None:
    bench, work, gate = Bench(), Steps(asyncio.Event()), asyncio.Event()
    work._gates = (gate,)
    running = asyncio.create_task(line(bench, work).run())
    await until(lambda: bench.journal.open)
    assert (bench.gate.inside, work.closed) == (1, 0)
    gate.set()
    await running
    assert (bench.gate.inside, work.closed, len(bench.journal.records)) == (0, 1, 1)


async def test_a_closed_gate_admits_nothing() -> None:
    bench = Bench()
    bench.gate.error = Draining(retry_after_s=1)
    with pytest.raises(Draining):
        await line(bench, Steps()).run()
    assert bench.journal.admitted == 0


async def test_a_failed_admission_gives_everything_back() -> None:
    bench, work = Bench(), Steps()
    bench.journal.admit_error = unavailable()
    with pytest.raises(JournalUnavailable):
        await line(bench, work).run()
    assert (bench.gate.inside, bench.exchange.stop_all(), work.closed) == (0, 0, 1)


async def test_work_that_is_stopped_while_it_prepares_leaves_nothing() -> None:
    bench, work = Bench(), Steps(ready=asyncio.Event())
    under_way = line(bench, work)
    running = asyncio.create_task(under_way.run())
    await until(lambda: bench.gate.inside == 1)
    under_way.stop(ClientLeft())
    with pytest.raises(ClientLeft):
        await running
    assert (bench.journal.admitted, bench.gate.inside, work.closed, work.done) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (WorkFailed(code="parity_failed", message="differs"), RecordFault(code="parity_failed", message="differs")),
        (
            EngineFailed(reason="no"),
            RecordFault(code="engine_failed", message="the model failed: no"),
        ),
        (
            ValueError("a secret"),
            RecordFault(code="internal_error", message="the server failed while it computed the answer"),
        ),
    ],
)
async def test_work_that_fails_becomes_a_failed_record(error: Exception, fault: RecordFault) -> None:
    bench = Bench()
    recorded = await line(bench, Steps(opened(), error=error)).run()
    record = bench.journal.only
    assert recorded.failure is error
    assert (record.state, record.error) == (State.FAILED, fault)
    assert record.response.outputs == steps(1)  # what was handed over before stays said


@pytest.mark.parametrize(
    ("reason", "state", "code"),
    [
        (Cancelled(), State.CANCELLED, "cancelled"),
        (ClientLeft(), State.CANCELLED, "client_disconnected"),
        (RequestTimedOut(timeout_s=1), State.TIMED_OUT, "timed_out"),
        (ServerStopped(), State.FAILED, "server_stopped"),
    ],
)
async def test_stopping_breaks_the_work_off_and_records_how_far_it_came(
    reason: PlatformError, state: State, code: str
) -> None:
    bench, work = Bench(), Steps(opened(), asyncio.Event())
    under_way = line(bench, work)
    running = asyncio.create_task(under_way.run())
    await until(lambda: work.done == 1)
    under_way.stop(reason)
    under_way.stop(ClientLeft())  # the first reason counts
    await running
    record = bench.journal.only
    assert (record.state, record.error.code) == (state, code)
    assert record.response.outputs == steps(1)
    assert not running.cancelled()


async def test_work_that_is_stopped_before_it_began_is_recorded_and_never_begun() -> None:
    bench, work = Bench(), Steps(opened())
    bench.journal.hold_admit = asyncio.Event()
    under_way = line(bench, work)
    running = asyncio.create_task(under_way.run())
    await until(lambda: bench.gate.inside == 1)
    await asyncio.sleep(0)
    under_way.stop(Cancelled())
    bench.journal.hold_admit.set()
    assert isinstance((await running).failure, Cancelled)
    assert (work.done, bench.journal.only.state, bench.journal.only.response) == (0, State.CANCELLED, None)


async def test_work_that_ignores_being_stopped_is_recorded_as_stopped() -> None:
    bench, work = Bench(), Steps(asyncio.Event(), stubborn=True)
    under_way = line(bench, work)
    running = asyncio.create_task(under_way.run())
    await until(lambda: bench.journal.open)
    await asyncio.sleep(0)
    under_way.stop(ClientLeft())
    assert isinstance((await running).failure, ClientLeft)
    assert running.cancelling() == 0


async def test_stopping_after_the_work_changes_nothing() -> None:
    bench = Bench()
    bench.journal.hold_commit = asyncio.Event()
    work = Steps(opened())
    under_way = line(bench, work)
    running = asyncio.create_task(under_way.run())
    await until(lambda: work.done == 1)
    await asyncio.sleep(0)
    under_way.stop(Cancelled())
    bench.journal.hold_commit.set()
    assert (await running).failure is None
    assert bench.journal.only.state is State.COMPLETED


async def test_time_runs_out_on_work_that_has_a_limit() -> None:
    bench = Bench()
    await line(bench, Steps(asyncio.Event()), timeout_s=0.001).run()
    assert bench.journal.only.state is State.TIMED_OUT


async def test_nothing_is_released_when_the_record_cannot_be_stored() -> None:
    bench = Bench()
    bench.journal.commit_error = unavailable()
    with pytest.raises(AnswerWithheld) as withheld:
        await line(bench, Steps(opened())).run()
    assert withheld.value.ticket.record.id == bench.journal.open[1].id
    assert bench.gate.inside == 0


async def test_an_outcome_that_does_not_fit_a_record_is_withheld() -> None:
    class Endless(Steps):
        def delivered(self, failure: BaseException | None) -> Delivered:
            return Delivered(outputs=(Output(kind="nothing that is known", content="x"),))

    bench = Bench()
    with pytest.raises(AnswerWithheld):
        await line(bench, Endless(opened())).run()


async def test_the_server_stops_any_work_as_it_stops_an_answer() -> None:
    bench, work = Bench(), Steps(asyncio.Event())
    running = asyncio.create_task(line(bench, work).run())
    await until(lambda: bench.journal.open)
    await asyncio.sleep(0)
    assert isinstance(bench.exchange, Exchange)
    assert bench.exchange.stop_all() == 1
    await running
    assert bench.journal.only.error.code == "server_stopped"


# -- work that may take longer than a record may

DUE_BY = START_US + 86_400_000_000
FOLLOWER_HTTP = replace(HTTP, body=b"", content_type=None, reader=None)


async def noted(_: bytes) -> None:
    """Whoever owes the end has noted it."""


async def accept(bench: Bench, announce: object = noted) -> Recorded:
    return await bench.exchange.accept(principal=PRINCIPAL, http=ASKED, event=EVENT, due_by=DUE_BY, announce=announce)


async def test_work_that_is_taken_on_is_recorded_at_once_with_its_time() -> None:
    bench = Bench()
    recorded = await accept(bench)
    record = bench.journal.only
    assert recorded.record == record
    assert (record.state, record.time.due_by, record.time.started_at) == (State.ACCEPTED, DUE_BY, None)
    assert (record.price, record.response, record.follows) == (None, None, None)
    assert record.request.body == ASKED.body
    assert recorded.ticket.admission.admission.admission_seq == record.admission_seq
    assert recorded.entry is bench.journal.entries[0]
    assert (bench.gate.entered, bench.gate.inside) == (1, 0)


async def test_whoever_owes_the_end_knows_the_record_before_it_stands() -> None:
    bench, announced = Bench(), []

    async def announce(record_id: bytes) -> None:
        announced.append((record_id, bench.journal.admitted))

    recorded = await accept(bench, announce=announce)
    assert announced == [(recorded.record.id, 0)]


async def test_work_that_nobody_could_note_is_not_recorded() -> None:
    async def announce(_: bytes) -> None:
        raise OSError("disk full")

    bench = Bench()
    with pytest.raises(OSError, match="disk full"):
        await accept(bench, announce=announce)
    assert (bench.journal.admitted, bench.gate.inside) == (0, 0)


async def test_a_closed_gate_takes_no_work_on() -> None:
    bench = Bench()
    bench.gate.error = Draining(retry_after_s=1)
    with pytest.raises(Draining):
        await accept(bench)
    assert bench.journal.admitted == 0


async def test_acceptance_that_is_not_known_to_stand_is_withheld_without_a_ticket() -> None:
    bench = Bench()
    bench.journal.admit_error = unavailable()
    with pytest.raises(AnswerWithheld) as withheld:
        await accept(bench)
    assert withheld.value.ticket is None


@pytest.mark.parametrize(
    ("failure", "state"), [(None, State.COMPLETED), (Cancelled(), State.CANCELLED), (ValueError("x"), State.FAILED)]
)
async def test_the_end_of_accepted_work_follows_it(failure: Exception | None, state: State) -> None:
    bench = Bench()
    accepted = (await accept(bench)).record
    bench.gate.error = Draining(retry_after_s=1)  # it was promised: no gate is asked
    bench.clock.us += 7_200_000_000
    event = replace(EVENT, follows=accepted.id)
    began = accepted.time.admitted_at + 1_000_000  # long before its own admission
    done = Delivered(outputs=steps(3), device_time_us=3_600_000_000, started_at=began)
    recorded = await bench.exchange.end(
        principal=PRINCIPAL, http=FOLLOWER_HTTP, event=event, failure=failure, done=done
    )
    record = bench.journal.records[1]
    assert (recorded.failure, recorded.record) == (failure, record)
    assert (record.state, record.follows, record.request) == (state, accepted.id, None)
    assert (record.time.started_at, record.time.due_by) == (began, None)
    assert (record.price.device_time_us, record.price.charge_micros) == (3_600_000_000, 500_000)
    assert record.response.outputs == steps(3)


async def test_a_request_that_no_record_can_hold_is_not_admitted() -> None:
    bench, work = Bench(), Steps()
    http = replace(HTTP, target="/" + "x" * 4_096)
    with pytest.raises(RequestUnrecordable, match="target must have 1 to 4096 bytes"):
        await bench.exchange.line(principal=PRINCIPAL, http=http, work=work, timeout_s=1).run()
    assert (bench.journal.admitted, bench.gate.inside, work.closed) == (0, 0, 1)
