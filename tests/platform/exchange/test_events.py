"""A request that is not a chat, on its line: every way that it can end leaves exactly one record that says how far it came."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tallystick.record import Model, Output, Price, Provider, RecordFault, State
from tallystick_platform.errors import Draining, EngineFailed, JournalUnavailable, RequestUnrecordable
from tallystick_platform.exchange import AnswerWithheld, Cancelled, ClientLeft, Delivered, Event, StopReason, WorkFailed
from tallystick_platform.exchange.exchange import Exchange
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
    http=replace(HTTP, path="/v1/models/test/model/exports", target="/v1/models/test/model/exports"),
    gpu=None,
    provider=Provider(id="local", name="Local", address=WRITER.address),
    price=Price(per_hour_micros=500_000, currency="USD", device_time_us=0, charge_micros=0),
)


class Steps:
    """Work of some steps, each of which a test lets go."""

    def __init__(self, *gates: asyncio.Event, error: Exception | None = None, stubborn: bool = False) -> None:
        self.done = 0
        self._gates = gates
        self._error = error
        self._stubborn = stubborn

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

    def delivered(self) -> Delivered:
        return Delivered(outputs=steps(self.done), device_time_us=3, started_at=START_US)


def steps(done: int) -> tuple[Output, ...]:
    return (Output(kind="document", content={"steps": done}),) if done else ()


def opened() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def line(bench: Bench, timeout_s: float | None = 30.0):
    return bench.exchange.event(principal=PRINCIPAL, event=EVENT, timeout_s=timeout_s)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_work_that_ends_becomes_one_completed_record() -> None:
    bench = Bench()
    recorded = await line(bench).run(Steps(opened(), opened()))
    record = bench.journal.only
    assert recorded.entry is bench.journal.entries[0]
    assert (recorded.failure, recorded.record) == (None, record)
    assert (record.task, record.state, record.error, record.prompt) == ("export", State.COMPLETED, None, None)
    assert (record.model, dict(record.parameters)) == (MODEL, {"format": "gguf"})
    assert record.response.outputs == steps(2)
    assert (record.price.device_time_us, record.price.charge_micros) == (1, 1)  # held to the span from admission to end
    assert (record.request.body, record.request.target) == (EVENT.http.body, EVENT.http.target)
    assert recorded.ticket.admission.admission.admission_seq == record.admission_seq
    assert (record.sender.address, record.sender.token_id) == (SENDER, PRINCIPAL.token_id)


async def test_nothing_is_done_before_the_admission_is_durable() -> None:
    bench, work = Bench(), Steps(opened())
    bench.journal.hold_admit = asyncio.Event()
    running = asyncio.create_task(line(bench).run(work))
    await until(lambda: bench.gate.inside == 1)
    assert work.done == 0
    bench.journal.hold_admit.set()
    await running
    assert (work.done, bench.gate.inside) == (1, 0)


async def test_a_place_is_held_from_admission_to_record() -> None:
    bench = Bench()
    event = line(bench)
    admitted = await event.admit()
    assert (bench.gate.inside, len(bench.journal.open)) == (1, 1)
    await event.finish(admitted, Steps(opened()))
    assert (bench.gate.inside, len(bench.journal.records)) == (0, 1)


async def test_a_closed_gate_admits_nothing() -> None:
    bench = Bench()
    bench.gate.error = Draining(retry_after_s=1)
    with pytest.raises(Draining):
        await line(bench).admit()
    assert bench.journal.admitted == 0


async def test_a_failed_admission_gives_its_place_back() -> None:
    bench = Bench()
    bench.journal.admit_error = unavailable()
    with pytest.raises(JournalUnavailable):
        await line(bench).admit()
    assert (bench.gate.inside, bench.exchange.stop_all()) == (0, 0)


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
    recorded = await line(bench).run(Steps(opened(), error=error))
    record = bench.journal.only
    assert recorded.failure is error
    assert (record.state, record.error) == (State.FAILED, fault)
    assert record.response.outputs == steps(1)  # what was handed over before stays said


@pytest.mark.parametrize(
    ("reason", "state", "code"),
    [
        (StopReason.CANCELLED, State.CANCELLED, "cancelled"),
        (StopReason.CLIENT_GONE, State.CANCELLED, "client_disconnected"),
        (StopReason.TIMED_OUT, State.TIMED_OUT, "timed_out"),
        (StopReason.SERVER_STOPPED, State.FAILED, "server_stopped"),
    ],
)
async def test_stopping_breaks_the_work_off_and_records_how_far_it_came(
    reason: StopReason, state: State, code: str
) -> None:
    bench, work = Bench(), Steps(opened(), asyncio.Event())
    event = line(bench)
    running = asyncio.create_task(event.run(work))
    await until(lambda: work.done == 1)
    assert event.stop(reason)
    assert event.stop(StopReason.CLIENT_GONE)  # the first reason counts
    await running
    record = bench.journal.only
    assert (record.state, record.error.code) == (state, code)
    assert record.response.outputs == steps(1)
    assert not running.cancelled()


async def test_an_event_stopped_before_its_work_is_recorded_and_never_begun() -> None:
    bench, work = Bench(), Steps(opened())
    event = line(bench)
    admitted = await event.admit()
    assert event.stop(StopReason.CANCELLED)
    recorded = await event.finish(admitted, work)
    assert isinstance(recorded.failure, Cancelled)
    assert (work.done, bench.journal.only.state, bench.journal.only.response) == (0, State.CANCELLED, None)


async def test_work_that_ignores_being_stopped_is_recorded_as_stopped() -> None:
    bench, work = Bench(), Steps(asyncio.Event(), stubborn=True)
    event = line(bench)
    running = asyncio.create_task(event.run(work))
    await until(lambda: bench.journal.open)
    await asyncio.sleep(0)
    event.stop(StopReason.CLIENT_GONE)
    assert isinstance((await running).failure, ClientLeft)
    assert running.cancelling() == 0


async def test_stopping_after_the_work_changes_nothing_and_says_so() -> None:
    bench = Bench()
    bench.journal.hold_commit = asyncio.Event()
    work, event = Steps(opened()), line(bench)
    running = asyncio.create_task(event.run(work))
    await until(lambda: work.done == 1)
    await asyncio.sleep(0)
    assert not event.stop(StopReason.CANCELLED)
    bench.journal.hold_commit.set()
    assert (await running).failure is None
    assert bench.journal.only.state is State.COMPLETED


async def test_time_runs_out_on_work_that_has_a_limit() -> None:
    bench = Bench()
    await line(bench, timeout_s=0.001).run(Steps(asyncio.Event()))
    assert bench.journal.only.state is State.TIMED_OUT


async def test_nothing_is_released_when_the_record_cannot_be_stored() -> None:
    bench = Bench()
    bench.journal.commit_error = unavailable()
    with pytest.raises(AnswerWithheld) as withheld:
        await line(bench).run(Steps(opened()))
    assert withheld.value.ticket.record.id == bench.journal.open[1].id
    assert bench.gate.inside == 0


async def test_an_outcome_that_does_not_fit_a_record_is_withheld() -> None:
    class Endless(Steps):
        def delivered(self) -> Delivered:
            return Delivered(outputs=(Output(kind="nothing that is known", content="x"),))

    bench = Bench()
    with pytest.raises(AnswerWithheld):
        await line(bench).run(Endless(opened()))


async def test_the_server_stops_events_as_it_stops_chats() -> None:
    bench, work = Bench(), Steps(asyncio.Event())
    running = asyncio.create_task(line(bench).run(work))
    await until(lambda: bench.journal.open)
    await asyncio.sleep(0)
    assert isinstance(bench.exchange, Exchange)
    assert bench.exchange.stop_all() == 1
    await running
    assert bench.journal.only.error.code == "server_stopped"


# -- work that may take longer than a record may

DUE_BY = START_US + 86_400_000_000
FOLLOWER_HTTP = replace(HTTP, body=b"", content_type=None, reader=None)


async def accept(bench: Bench, **more: object):
    return await bench.exchange.accept(principal=PRINCIPAL, event=EVENT, due_by=DUE_BY, **more)


async def test_work_that_is_taken_on_is_recorded_at_once_with_its_time() -> None:
    bench = Bench()
    recorded = await accept(bench)
    record = bench.journal.only
    assert recorded.record == record
    assert (record.state, record.time.due_by, record.time.started_at) == (State.ACCEPTED, DUE_BY, None)
    assert (record.price, record.response, record.follows) == (None, None, None)
    assert record.request.body == EVENT.http.body
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
    event = replace(EVENT, http=FOLLOWER_HTTP, follows=accepted.id)
    began = accepted.time.admitted_at + 1_000_000  # long before its own admission
    done = Delivered(outputs=steps(3), device_time_us=3_600_000_000, started_at=began)
    recorded = await bench.exchange.end(principal=PRINCIPAL, event=event, failure=failure, done=done)
    record = bench.journal.records[1]
    assert (recorded.failure, recorded.record) == (failure, record)
    assert (record.state, record.follows, record.request) == (state, accepted.id, None)
    assert (record.time.started_at, record.time.due_by) == (began, None)
    assert (record.price.device_time_us, record.price.charge_micros) == (3_600_000_000, 500_000)
    assert record.response.outputs == steps(3)


async def test_a_request_that_no_record_can_hold_is_not_admitted() -> None:
    bench = Bench()
    event = replace(EVENT, http=replace(HTTP, target="/" + "x" * 4_096))
    with pytest.raises(RequestUnrecordable, match="target must have 1 to 4096 bytes"):
        await bench.exchange.event(principal=PRINCIPAL, event=event, timeout_s=1).admit()
    assert (bench.journal.admitted, bench.gate.inside) == (0, 0)
