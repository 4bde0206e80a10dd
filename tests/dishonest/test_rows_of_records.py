"""Rows 1 to 11 and 20 of docs/trust-model.md: what a writer says in one record that is not so."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.cli import model_folder
from tallystick.ids import RecordId
from tallystick.manifest import hash_folder
from tallystick.record import ProofOfCompute, RecordFault, Response, State, charge_micros
from tallystick.tasks import chat_output
from tallystick.verify.model_checks import Replayed
from tests.support.dishonest.auditors import ANSWERER
from tests.support.dishonest.clients import answer, told
from tests.support.dishonest.writers import answering, asking, begun, of_sender, signed_by_its_sender
from tests.support.synthetic_log import ALICE, BOB, CPU, MODEL
from tests.support.synthetic_server import served

YEAR_US = 365 * 86_400 * 1_000_000


def test_an_honest_log_and_all_that_its_clients_kept_hold(auditor):
    log = begun()
    kept = [*log.receipts, *(log.admission(record) for record in log.records)]
    auditor.judge(log, kept=kept).finds_nothing()
    for record, sealed, receipt in zip(log.records, log.sealed, log.receipts, strict=True):
        came = answer(record, receipt=receipt, admission=log.admission(record), sealed=sealed)
        auditor.judge_file(came, log=log, known=log.log_id).finds_nothing()


def test_row_1_another_prompt(auditor):
    log = begun()
    record = log.request()
    log.append([replace(record, prompt={"messages": [{"role": "user", "content": "Something else"}]})])
    auditor.judge(log).proves("request-binding", saying="record 2: prompt")


def test_row_1_another_prompt_in_a_process_of_its_own(auditor):
    log = begun()
    log.append([replace(log.request(), prompt={"messages": []})])
    with served(log.node()) as url:
        options = [str(one) for one in auditor.log_options(url, log.log_id)]
        command = [str(Path(sys.executable).parent / "tallystick"), "verify", *options]
        environment = {"TALLYSTICK_AUDITOR_KEY": str(auditor.key_file), "HOME": str(auditor.key_file.parent)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "check 12 request-binding: record 2: prompt\n  expected " in ended.stdout
    assert '  found    {"messages": []}\n  accuses  the log\'s writer\n' in ended.stdout
    assert "Proven wrong: the log's writer (1 failure) contradicted itself, in 12 request-binding." in ended.stdout


def test_row_1_other_instructions(auditor):
    log = begun()
    record = log.request()
    log.append([replace(record, instructions=replace(record.instructions, system="Be rude."))])
    auditor.judge(log).proves("request-binding", saying="record 2: instructions.system")


@pytest.mark.parametrize("change", [{"max_tokens": 65}, {"temperature": 0.0}, {"seed": None}])
def test_row_2_other_parameters(auditor, change):
    log = begun()
    record = log.request()
    parameters = {name: value for name, value in {**record.parameters, **change}.items() if value is not None}
    log.append([replace(record, parameters=parameters)])
    auditor.judge(log).proves("request-binding", saying=f"record 2: parameters.{next(iter(change))}")


def test_row_3_request_prompt_and_parameters_together(auditor):
    log = begun()
    asked = log.request()
    (sealed,) = log.append([asking(asked, "Something else", temperature=0.1)])
    auditor.judge(log).finds_nothing(("request-binding", "claimed, not proven: that this is what was asked"))
    for kept in (log.admission(asked), told(log, asked, sealed)):
        auditor.judge(log, kept=[kept]).proves("request-binding", saying="a request with the signed hash")


def test_row_4_another_answer(auditor):
    log = begun()
    given = log.request()
    recorded = answering(given, "Something else")
    (sealed,) = log.append([recorded])
    auditor.judge(log).finds_nothing(("response-binding", "claimed, not proven: that this is what was answered"))
    signed_for_what_was_given = told(log, given, sealed)
    auditor.judge(log, kept=[signed_for_what_was_given]).proves(
        "response-binding", saying="a response with the signed hash"
    )
    came = answer(given, receipt=log.receipts[-1], admission=log.admission(given), sealed=sealed)
    auditor.judge_file(came, log=log, known=log.log_id).proves(
        "response-binding", against=ANSWERER, saying="an answer with the signed hash"
    )


def test_row_5_another_model_than_was_asked_for(auditor):
    log = begun()
    record = log.request()
    log.append([replace(record, model=replace(record.model, id="a-cheaper-model"))])
    auditor.judge(log).proves("request-binding", saying="a-cheaper-model")


@pytest.fixture
def folder(tmp_path):
    """The folder of the model that the record names."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def replayed(monkeypatch):
    """A worker that runs the record's prompt again, with the model that the record names."""

    class Worker:
        name = "engine"

        def load(self):
            return lambda folder, record, base: Replayed(
                outputs=(chat_output("What the named model says.", "stop"),),
                usage=record.usage,
                engine=MODEL.engine,
                engine_version=MODEL.engine_version,
                dtype=MODEL.dtype,
                device=MODEL.device,
                gpu=CPU,
            )

    monkeypatch.setattr(model_folder, "entry_points", lambda group: [Worker()])


@pytest.mark.usefixtures("replayed")
def test_row_6_the_model_that_was_asked_for_and_another_that_ran(auditor, folder):
    log = begun()
    record = log.request()
    named = replace(record.model, weights_digest=hash_folder(folder).digest)
    reproducible = ProofOfCompute(class_="reproducible", toploc=None)
    log.append([replace(record, model=named, proof_of_compute=reproducible)])
    auditor.judge(log).finds_nothing(("response-binding", "claimed, not proven: that the model which is named"))
    judged = auditor.judge_file(log.bundle(2).to_bytes(), "--model", folder, "--replay", known=log.log_id)
    judged.proves("replay", saying="'What the named model says.'")


@pytest.mark.usefixtures("replayed")
def test_row_6_outside_the_reproducible_class_nothing_finds_it(auditor, folder):
    log = begun()
    record = log.request()
    log.append([replace(record, model=replace(record.model, weights_digest=hash_folder(folder).digest))])
    judged = auditor.judge_file(log.bundle(2).to_bytes(), "--model", folder, "--replay", known=log.log_id)
    judged.leaves_open("only the class reproducible promises the same answer again", check="replay")


def test_row_7_a_charge_that_does_not_follow(auditor):
    log = begun()
    record = log.request()
    price = record.price
    log.append([replace(record, price=replace(price, charge_micros=price.charge_micros + 1))])
    auditor.judge(log).proves("price-arithmetic", saying=f"{price.charge_micros + 1} micro-EUR")


def priced(record, **changes):
    price = replace(record.price, **changes)
    return replace(record, price=replace(price, charge_micros=charge_micros(price, record.usage)))


def test_row_8_more_device_time_than_the_span(auditor):
    log = begun()
    record = log.request()
    span = record.time.finished_at - record.time.started_at
    log.append([priced(record, device_time_us=span + 1)])
    auditor.judge(log).proves("times", saying=f"found {span + 1}")


def test_row_8_more_device_time_than_one_gpu_had(auditor):
    log = begun()
    card = replace(CPU, kind="gpu", uuid="GPU-1")
    records = [priced(replace(log.request(), gpu=card), device_time_us=440_000) for _ in range(2)]
    log.append(records)
    auditor.judge(log).proves("times", saying="device 'GPU-1'")


def test_row_8_of_a_gpu_without_a_name_nothing_finds_it(auditor):
    log = begun()
    log.append([priced(log.request(), device_time_us=440_000) for _ in range(2)])
    auditor.judge(log).finds_nothing(("times", "claimed, not proven: hardware, provider, and device time"))


def test_row_8_within_the_span_nothing_finds_it(auditor):
    log = begun()
    record = log.request()
    log.append([priced(record, device_time_us=record.time.finished_at - record.time.started_at)])
    auditor.judge(log).finds_nothing(("times", "claimed, not proven: hardware, provider, and device time"))


def test_row_9_another_price_than_agreed(auditor):
    log = begun()
    log.append([priced(log.request(), per_hour_micros=9_000_000)])
    auditor.judge(log).finds_nothing(("price-arithmetic", "claimed, not proven: the price"))


@pytest.mark.parametrize("shift", [-3 * YEAR_US, YEAR_US // 365], ids=["years-ago", "tomorrow"])
def test_row_10_other_times(auditor, shift):
    log = begun()
    record = log.request()
    time = record.time
    admitted = time.admitted_at + shift
    moved = replace(
        time, admitted_at=admitted, started_at=time.started_at + shift, finished_at=time.finished_at + shift
    )
    record_id = RecordId((admitted // 1000).to_bytes(6, "big") + record.id[6:])
    log.append([replace(record, time=moved, id=record_id)])
    auditor.judge(log).proves("times", saying="record 2")


def test_row_11_another_sender_who_signed_nothing(auditor):
    log = begun()
    asked = signed_by_its_sender(log, log.request(ALICE))
    log.append([of_sender(asked, BOB, 2)])
    auditor.judge(log).proves("sender-proof", saying="one that leads to")


def test_row_11_another_sender_with_a_token(auditor):
    log = begun()
    asked = log.request(ALICE)
    (sealed,) = log.append([of_sender(asked, BOB, 2)])
    auditor.judge(log).finds_nothing(("sender-proof", "claimed, not proven: that this sender asked"))
    auditor.judge(log, kept=[told(log, asked, sealed, sender=ALICE)]).proves("receipts", saying="the sender that was")
    auditor.judge(log, kept=[log.admission(asked)]).proves("receipts", saying="the sender that was promised")


def interrupted(record):
    return replace(
        record,
        state=State.INTERRUPTED,
        error=RecordFault(code="interrupted", message="The service stopped."),
        response=Response(outputs=(chat_output("A tally", None),)),
    )


def test_row_20_interrupted_where_it_completed(auditor):
    log = begun()
    given = log.request()
    (sealed,) = log.append([interrupted(given)])
    auditor.judge(log).finds_nothing(("response-binding", "claimed, not proven: that this is what was answered"))
    auditor.judge(log, kept=[told(log, given, sealed)]).proves(
        "response-binding", saying="a response with the signed hash"
    )
    came = answer(given, receipt=log.receipts[-1], sealed=sealed)
    auditor.judge_file(came, log=log, known=log.log_id).proves("response-binding", against=ANSWERER)
