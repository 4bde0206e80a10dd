"""One request on its line: every way that it can end leaves exactly one record that says what was delivered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from tallystick.binding import record_request_hash
from tallystick.errors import RequestError
from tallystick.keys import EpochKey
from tallystick.record import RecordFault, State
from tallystick.sealing import seal
from tallystick.tasks import Reading, chat_output
from tallystick.tasks.completion import text_output
from tallystick.tasks.embedding import vector_output
from tallystick_platform.errors import (
    Draining,
    EngineFailed,
    JournalUnavailable,
    ParameterOutOfRange,
    PromptRejected,
    PromptTooLong,
    QueueFull,
    RequestTimedOut,
    RequestUnrecordable,
    TaskNotServed,
    UnknownModel,
    WorkerDied,
)
from tallystick_platform.exchange.faults import AnswerWithheld, ClientLeft, ServerStopped
from tallystick_platform.exchange.request import MAX_RECORDED_BODY_BYTES
from tallystick_platform.protocol import Piece, Sampling
from tallystick_platform.tasks.embedding import EmbeddingCall, Length
from tallystick_platform.tasks.embedding import decode_call as embedding_call
from tests.support.exchange import (
    HTTP,
    LOG_ID,
    MODEL,
    PLACEMENT,
    PRINCIPAL,
    Bench,
    Script,
    TickingClock,
    ask,
    complete,
    embed,
    said,
    unavailable,
)
from tests.support.typical_record import typical_record


class Transport:
    """Takes text as a client's connection would, and can stop taking any."""

    def __init__(self, stuck_after: int | None = None) -> None:
        self.taken: list[str] = []
        self._stuck_after = stuck_after

    async def __call__(self, admitted: object, piece: Piece, counts: object) -> None:
        if self._stuck_after is not None and len(self.taken) >= self._stuck_after:
            await asyncio.Event().wait()
        self.taken.append(piece.data)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_whole_answer_becomes_one_completed_record() -> None:
    bench = Bench()
    answer = await bench.line(ask("Why?", max_tokens=9, seed=4, temperature=0.0)).run()
    record = bench.journal.only
    assert said(answer) == "Hello world"
    assert record.state is State.COMPLETED
    assert record.error is None
    assert record.response.outputs == (chat_output("Hello world", "stop"),)
    assert record.usage == {"input_tokens": 7, "output_tokens": 2}
    assert (record.price.device_time_us, record.price.charge_micros) == (90_000, 13)
    assert record.sender.address == PRINCIPAL.address
    assert record.time.admitted_at <= record.time.started_at <= record.time.finished_at
    assert answer.entry is bench.journal.entries[0]


async def test_a_request_that_says_nothing_runs_with_what_the_models_makers_recommend() -> None:
    own = Sampling(temperature=0.2, top_p=0.9, repetition_penalty=1.1)
    bench = Bench()
    bench.dispatcher.placement = replace(PLACEMENT, model=msgspec.structs.replace(MODEL, sampling=own))
    await bench.line(ask()).run()
    await bench.line(ask(temperature=1.5)).run()
    used = [(record.parameters["temperature"], record.parameters["top_p"]) for record in bench.journal.records]
    assert used == [(0.2, 0.9), (1.5, 0.9)]
    assert [record.parameters["top_k"] for record in bench.journal.records] == [0, 0]
    assert [record.parameters["repetition_penalty"] for record in bench.journal.records] == [1.1, 1.1]
    assert all("min_p" not in record.parameters for record in bench.journal.records)  # what changes nothing
    sent = [(told.draw.temperature, told.draw.top_p, told.draw.top_k) for told in bench.dispatcher.texts]
    assert sent == [(0.2, 0.9, 0), (1.5, 0.9, 0)]


async def test_what_was_asked_stands_in_the_record_and_the_engine_gets_its_own_way_of_saying_it() -> None:
    bench = Bench()
    await bench.line(ask(top_p=0.0, top_k=-1, temperature=1.5)).run()
    recorded, (told,) = bench.journal.only.parameters, bench.dispatcher.texts
    assert (recorded["temperature"], recorded["top_p"], recorded["top_k"]) == (1.5, 0.0, -1)
    assert (told.draw.temperature, told.draw.top_p, told.draw.top_k) == (0.0, 1.0, 0)


async def test_the_record_holds_the_parameters_that_the_model_ran_with() -> None:
    bench = Bench()
    reading = Reading(prompt={"messages": []}, system=None, asked={"stop": ["x"], "top_k": 3, "user": "u-1"})
    await bench.line(ask(reading=reading)).run()
    sent, record = bench.dispatcher.texts[0].draw, bench.journal.only
    assert dict(record.parameters) == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 3,
        "max_tokens": 1_024,
        "stop": ["x"],
        "seed": sent.seed,
        "user": "u-1",
    }
    assert (sent.temperature, sent.top_p, sent.top_k, sent.max_tokens, sent.stop) == (1.0, 1.0, 3, 1_024, ("x",))


async def test_a_seed_is_drawn_for_each_request_that_gives_none() -> None:
    bench = Bench()
    await bench.line().run()
    await bench.line().run()
    first, second = bench.dispatcher.texts
    assert first.draw.seed != second.draw.seed
    assert 0 <= first.draw.seed < 2**63


async def test_a_seed_that_was_given_is_kept() -> None:
    bench = Bench()
    await bench.line(ask(seed=-3)).run()
    assert bench.dispatcher.texts[0].draw.seed == -3


async def test_system_messages_stand_in_the_instructions() -> None:
    bench = Bench()
    prompt = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    await bench.line(ask(reading=Reading(prompt=prompt, system="Be brief."))).run()
    assert bench.journal.only.prompt == prompt
    instructions = bench.journal.only.instructions
    assert instructions.system == "Be brief."
    assert instructions.chat_template_digest == MODEL.chat_template_digest


async def test_nothing_is_computed_before_the_admission_is_durable() -> None:
    bench = Bench()
    bench.journal.hold_admit = asyncio.Event()
    running = asyncio.create_task(bench.line().run())
    await until(lambda: bench.gate.inside == 1)
    assert bench.dispatcher.calls == []
    bench.journal.hold_admit.set()
    await running
    assert len(bench.dispatcher.calls) == 1


async def test_deltas_are_delivered_as_they_come() -> None:
    bench, transport, pause = Bench(), Transport(), asyncio.Event()
    bench.dispatcher.script.pauses[1] = pause
    running = asyncio.create_task(bench.line(deliver=transport).run())
    await until(lambda: transport.taken == ["Hello"])
    pause.set()
    await running
    assert transport.taken == ["Hello", " world"]
    assert bench.journal.only.response.outputs == (chat_output("Hello world", "stop"),)


async def test_empty_deltas_are_not_delivered() -> None:
    bench, transport = Bench(Script(texts=("", "a", ""))), Transport()
    await bench.line(deliver=transport).run()
    assert transport.taken == ["a"]


async def test_an_empty_answer_is_an_answer() -> None:
    bench = Bench(Script(texts=()))
    await bench.line(deliver=Transport()).run()
    assert bench.journal.only.response.outputs == (chat_output("", "stop"),)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PromptTooLong(limit=10, found=20), "context_length_exceeded"),
        (PromptRejected(reason="no system message"), "prompt_rejected"),
        (WorkerDied(worker="w", reason="killed"), "worker_died"),
        (EngineFailed(reason="broken"), "engine_failed"),
    ],
)
async def test_a_failed_whole_answer_is_recorded_and_nothing_of_it_released(error: Exception, code: str) -> None:
    bench = Bench(Script(error=error))
    answer = await bench.line().run()
    record = bench.journal.only
    assert record.state is State.FAILED
    assert record.error == RecordFault(code=code, message=str(error))
    assert record.response is None
    assert answer.failure is error
    assert bench.dispatcher.generations[0].cancelled.is_set()


async def test_a_failed_stream_is_recorded_with_what_was_delivered() -> None:
    bench, transport = Bench(Script(error=WorkerDied(worker="w", reason="killed"))), Transport()
    await bench.line(deliver=transport).run()
    record = bench.journal.only
    assert record.state is State.FAILED
    assert record.response.outputs == (chat_output("Hello world", None),)


async def test_an_answer_that_the_worker_gave_up_is_no_answer() -> None:
    bench = Bench(Script(finish_reason="cancelled"))
    await bench.line().run()
    assert bench.journal.only.state is State.FAILED
    assert bench.journal.only.response is None


async def test_what_was_never_started_costs_nothing() -> None:
    bench = Bench(Script(texts=(), error=PromptTooLong(limit=1, found=2)))
    await bench.line().run()
    record = bench.journal.only
    assert (record.price.device_time_us, record.price.charge_micros) == (0, 0)
    assert (record.usage, record.time.started_at) == (None, None)


async def test_a_defect_is_recorded_without_its_text() -> None:
    bench = Bench(Script(error=ValueError("quotes the prompt")))
    await bench.line().run()
    assert bench.journal.only.error.code == "internal_error"
    assert "quotes" not in bench.journal.only.error.message


async def test_a_full_queue_after_admission_is_recorded() -> None:
    bench = Bench()
    bench.dispatcher.start_error = QueueFull(limit=1)
    answer = await bench.line().run()
    assert isinstance(answer.failure, QueueFull)
    assert bench.journal.only.error.code == "queue_full"


async def test_a_client_that_leaves_is_recorded_as_cancelled_with_what_was_delivered() -> None:
    bench, transport = Bench(), Transport()
    bench.dispatcher.script.pauses[1] = asyncio.Event()
    line = bench.line(deliver=transport)
    running = asyncio.create_task(line.run())
    await until(lambda: transport.taken == ["Hello"])
    line.stop(ClientLeft())
    answer = await running
    record = bench.journal.only
    assert record.state is State.CANCELLED
    assert record.error.code == "client_disconnected"
    assert record.response.outputs == (chat_output("Hello", None),)
    assert isinstance(answer.failure, ClientLeft)
    assert record.usage == {"input_tokens": 7, "output_tokens": 1}
    assert (record.price.device_time_us, record.price.charge_micros) == (45_000, 7)
    assert bench.dispatcher.generations[0].cancelled.is_set()
    assert bench.gate.inside == 0


async def test_a_delta_that_the_transport_did_not_take_is_not_recorded_as_delivered() -> None:
    bench, transport = Bench(), Transport(stuck_after=1)
    line = bench.line(deliver=transport)
    running = asyncio.create_task(line.run())
    await until(lambda: transport.taken == ["Hello"])
    await asyncio.sleep(0)
    line.stop(ClientLeft())
    await running
    assert bench.journal.only.response.outputs == (chat_output("Hello", None),)


async def test_a_client_that_leaves_a_whole_answer_got_nothing() -> None:
    bench = Bench()
    bench.dispatcher.script.pauses[1] = asyncio.Event()
    line = bench.line()
    running = asyncio.create_task(line.run())
    await until(lambda: bench.dispatcher.generations != [])
    line.stop(ClientLeft())
    await running
    record = bench.journal.only
    assert record.state is State.CANCELLED
    assert record.response is None


async def test_a_client_that_leaves_before_admission_gets_a_record_and_no_computation() -> None:
    bench = Bench()
    bench.journal.hold_admit = asyncio.Event()
    line = bench.line()
    running = asyncio.create_task(line.run())
    await until(lambda: bench.gate.inside == 1)
    line.stop(ClientLeft())
    bench.journal.hold_admit.set()
    await running
    assert bench.journal.only.state is State.CANCELLED
    assert bench.dispatcher.calls == []


async def test_a_client_that_leaves_during_the_commit_changes_nothing() -> None:
    bench = Bench()
    bench.journal.hold_commit = asyncio.Event()
    line = bench.line()
    running = asyncio.create_task(line.run())
    await until(lambda: bench.dispatcher.generations != [] and bench.dispatcher.generations[0].finish_reasons)
    await asyncio.sleep(0)
    line.stop(ClientLeft())
    bench.journal.hold_commit.set()
    answer = await running
    assert bench.journal.only.state is State.COMPLETED
    assert answer.failure is None


async def test_the_first_reason_to_stop_counts() -> None:
    bench = Bench()
    bench.dispatcher.script.pauses[0] = asyncio.Event()
    line = bench.line()
    running = asyncio.create_task(line.run())
    await until(lambda: bench.dispatcher.generations != [])
    line.stop(RequestTimedOut(timeout_s=1))
    line.stop(ClientLeft())
    await running
    assert bench.journal.only.state is State.TIMED_OUT


async def test_a_request_that_uses_up_its_time_is_recorded_as_timed_out() -> None:
    bench, transport = Bench(), Transport()
    bench.dispatcher.script.pauses[1] = asyncio.Event()
    answer = await bench.line(deliver=transport, timeout_s=0.01).run()
    record = bench.journal.only
    assert record.state is State.TIMED_OUT
    assert record.error.code == "timed_out"
    assert isinstance(answer.failure, RequestTimedOut)
    assert bench.dispatcher.generations[0].cancelled.is_set()


async def test_a_transport_that_takes_nothing_more_does_not_outlast_the_timeout() -> None:
    bench = Bench()
    await bench.line(deliver=Transport(stuck_after=0), timeout_s=0.01).run()
    assert bench.journal.only.state is State.TIMED_OUT
    assert bench.journal.only.response is None


async def test_a_line_whose_task_is_cancelled_still_gets_its_record() -> None:
    bench = Bench()
    bench.dispatcher.script.pauses[0] = asyncio.Event()
    running = asyncio.create_task(bench.line().run())
    await until(lambda: bench.dispatcher.generations != [])
    running.cancel()
    answer = await running
    assert isinstance(answer.failure, ServerStopped)
    assert bench.journal.only.state is State.FAILED
    assert bench.journal.only.error.code == "server_stopped"


async def test_an_answer_whose_record_cannot_be_stored_is_withheld() -> None:
    bench = Bench()
    bench.journal.commit_error = unavailable()
    with pytest.raises(AnswerWithheld) as caught:
        await bench.line().run()
    assert caught.value.record_id == bench.journal.open[1].id
    assert caught.value.retry_after_s == 5
    assert caught.value.ticket.record == bench.journal.open[1]
    assert bench.gate.inside == 0


async def test_a_journal_that_admits_nothing_computes_nothing() -> None:
    bench = Bench()
    bench.journal.admit_error = unavailable()
    with pytest.raises(JournalUnavailable):
        await bench.line().run()
    assert bench.dispatcher.calls == []
    assert bench.gate.inside == 0


async def test_an_unknown_model_is_not_admitted() -> None:
    bench = Bench()
    with pytest.raises(UnknownModel):
        await bench.line(ask(model="nobody")).run()
    assert (bench.gate.inside, bench.journal.admitted) == (0, 0)


async def test_a_closed_gate_admits_nothing() -> None:
    bench = Bench()
    bench.gate.error = Draining(retry_after_s=3)
    with pytest.raises(Draining):
        await bench.line().run()
    assert bench.journal.admitted == 0


async def test_more_tokens_than_the_context_holds_are_refused_before_admission() -> None:
    bench = Bench()
    with pytest.raises(ParameterOutOfRange) as caught:
        await bench.line(ask(max_tokens=MODEL.context_length + 1)).run()
    assert caught.value.param == "max_tokens"
    assert bench.journal.admitted == 0


async def test_as_many_tokens_as_the_context_holds_are_taken() -> None:
    bench = Bench()
    await bench.line(ask(max_tokens=MODEL.context_length)).run()
    assert bench.journal.only.parameters["max_tokens"] == MODEL.context_length


@pytest.mark.parametrize("shift_us", [-1_000_000, 1_000_000])
async def test_a_worker_clock_that_is_off_does_not_break_the_order_of_times(shift_us: int) -> None:
    bench = Bench()
    bench.dispatcher.clock = TickingClock()
    bench.dispatcher.clock.us += shift_us
    await bench.line().run()
    time = bench.journal.only.time
    assert time.admitted_at <= time.started_at <= time.finished_at


async def test_engine_time_never_exceeds_the_span_also_where_the_clock_was_set_back() -> None:
    bench = Bench(Script(device_time_us=10**9, stands_still=True))
    await bench.line().run()
    record = bench.journal.only
    span = record.time.finished_at - record.time.started_at
    assert record.price.device_time_us == span
    assert record.price.charge_micros == -(-500_000 * span // 3_600_000_000)


async def test_the_request_stands_in_the_record_as_it_was_received_under_a_salt_of_its_own() -> None:
    bench = Bench()
    answers = [await bench.line().run() for _ in range(2)]
    first, second = (record.request for record in bench.journal.records)
    assert (first.reader, first.target, first.content_type, first.body) == (
        HTTP.reader,
        HTTP.target,
        HTTP.content_type,
        HTTP.body,
    )
    assert first.salt != second.salt
    for answer, record in zip(answers, bench.journal.records, strict=True):
        hashed = record_request_hash(record.http, record.request)
        assert answer.ticket.admission.admission.request_hash == hashed
        assert answer.entry.receipt.receipt.request_hash == hashed


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({"method": ""}, "method"),
        ({"path": "/" + "x" * 1_024}, "path"),
        ({"target": "/" + "x" * 4_096}, "target"),
        ({"target": "/\ud800"}, "target"),
        ({"content_type": "x" * 513}, "content type"),
        ({"body": bytes(MAX_RECORDED_BODY_BYTES + 1)}, "body"),
    ],
)
async def test_a_request_that_no_record_can_hold_is_not_admitted(facts: dict[str, object], part: str) -> None:
    bench = Bench()
    with pytest.raises(RequestUnrecordable) as refused:
        await bench.line(http=replace(HTTP, **facts)).run()
    assert refused.value.part == part
    assert (bench.journal.admitted, bench.gate.inside, bench.dispatcher.claims) == (0, 0, 0)


@pytest.mark.parametrize(
    "facts",
    [
        {"path": "/" + "x" * 1_023},
        {"target": "/" + "x" * 4_095, "content_type": "x" * 512},
        {"body": bytes(MAX_RECORDED_BODY_BYTES)},
    ],
)
async def test_a_request_at_its_bounds_is_recorded(facts: dict[str, object]) -> None:
    http = replace(HTTP, **facts)
    record = replace(typical_record(), http=http.exchange(), request=http.request(bytes))
    sealed = seal(record, epoch_key=EpochKey.generate(LOG_ID, 1), index=0, random=bytes)
    assert sum(len(blob.ciphertext) > 0 for blob in sealed.blobs) == (len(http.body) > 1_024)


async def test_everything_under_way_can_be_ended_and_is_recorded() -> None:
    bench = Bench()
    bench.dispatcher.script.pauses[0] = asyncio.Event()
    running = [asyncio.create_task(bench.line().run()) for _ in range(3)]
    await until(lambda: len(bench.dispatcher.generations) == 3)
    assert bench.exchange.stop_all() == 3
    await asyncio.gather(*running)
    assert [record.error.code for record in bench.journal.records] == ["server_stopped"] * 3
    assert bench.exchange.stop_all() == 0


async def test_records_are_counted_by_how_they_ended() -> None:
    bench = Bench()
    await bench.line().run()
    value = bench.metrics.registry.get_sample_value
    assert value("tallystick_records_total", {"state": "completed"}) == 1
    assert value("tallystick_tokens_total", {"direction": "output"}) == 2
    assert value("tallystick_device_seconds_total") == pytest.approx(0.09)


async def test_a_completion_is_given_the_prompt_as_it_stands() -> None:
    bench = Bench()
    await bench.line(complete("Once <upon>", max_tokens=5, stop=".")).run()
    record, (told,) = bench.journal.only, bench.dispatcher.texts
    assert (record.task, record.prompt, record.instructions) == ("completion", {"prompt": "Once <upon>"}, None)
    assert (told.prompt, told.turns, told.draw.max_tokens, told.draw.stop) == ("Once <upon>", None, 5, (".",))
    assert record.response.outputs == (text_output("Hello world", "stop"),)


async def test_an_embedding_becomes_one_vector_for_each_input() -> None:
    bench = Bench(Script(texts=(b"\x00\x00\x80\x3f" * 2, bytes(8)), finish_reason=None))
    await bench.line(embed("one", "two", dimensions=2, encoding_format="base64")).run()
    record = bench.journal.only
    assert (record.task, record.instructions) == ("embedding", None)
    assert dict(record.parameters) == {"dimensions": 2, "encoding_format": "base64"}
    assert record.response.outputs == (vector_output(b"\x00\x00\x80\x3f" * 2), vector_output(bytes(8)))
    assert embedding_call(bench.dispatcher.calls[0].body) == EmbeddingCall(
        inputs=("one", "two"), how=Length(dimensions=2)
    )


@pytest.mark.parametrize("dimensions", [0, 5])
async def test_vectors_of_another_length_than_the_model_has_are_refused_before_admission(dimensions: int) -> None:
    bench = Bench()
    with pytest.raises(ParameterOutOfRange) as caught:
        await bench.line(embed("one", dimensions=dimensions)).run()
    assert (caught.value.param, bench.journal.admitted, bench.dispatcher.claims) == ("dimensions", 0, 0)


async def test_a_model_that_does_not_do_a_task_is_not_asked() -> None:
    bench = Bench()
    bench.dispatcher.placement = replace(PLACEMENT, model=msgspec.structs.replace(MODEL, tasks=("chat",)))
    with pytest.raises(TaskNotServed):
        await bench.line(embed("one")).run()
    assert bench.journal.admitted == 0


def test_a_prompt_that_no_model_can_be_given_is_never_asked() -> None:
    with pytest.raises(RequestError):
        complete(["two", "prompts"])
