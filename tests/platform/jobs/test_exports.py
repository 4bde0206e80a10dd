"""Export jobs: one record when a job is taken and one when it ends, and nothing published that did not come to its end."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tallystick.ids import to_hex
from tallystick.manifest import hash_folder
from tallystick.record import Output, Record, State, charged
from tallystick_platform.errors import AdmissionClosed, Draining, JournalClosed, UnknownModel
from tallystick_platform.exchange.faults import AnswerWithheld
from tallystick_platform.jobs import attempt, errors, recording, settling
from tallystick_platform.jobs import exports as module
from tallystick_platform.jobs import process as process_module
from tallystick_platform.jobs.errors import (
    ExportBusy,
    ExportQueueFull,
    ExportUnsupported,
    TooManyExports,
    UnknownExport,
)
from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.registry.folders import RESERVE_BYTES
from tallystick_platform.store.jobs import ExportJob, JobState
from tests.support.exchange import PRINCIPAL, SENDER, unavailable
from tests.support.export_jobs import (
    CONFIG,
    HTTP,
    MODEL_OWNER,
    OTHERS_ADDRESS,
    SOURCE_BYTES,
    Exports,
    a_version,
    exports_at,
    private,
    said,
)
from tests.support.fake_exporter import NAMES
from tests.support.job_rows import a_job

OTHER = replace(PRINCIPAL, token_id="tok-2", address=OTHERS_ADDRESS)


async def test_an_export_is_published_with_the_files_that_its_record_names(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await exports.finished(format="gguf", quantization="Q8_0")
        taken, record = exports.bench.journal.records
        folder = tmp_path / "exports" / job.id
        manifest = hash_folder(folder)
        listed = [{"name": e.name, "size": e.size, "sha256": e.sha256.hex()} for e in manifest.files]
    assert (job.progress, job.stage, job.error, job.attempts) == (1.0, None, None, 1)
    assert job.digest == manifest.digest
    assert [file.name for file in job.files] == sorted(NAMES)
    assert (job.signature.name, job.signature.sha256) == ("model.sig", hashlib.sha256(b"{}").digest())
    assert job.parity == {"passed": True, "greedy_tokens": 50}
    assert (taken.state, taken.id, taken.time.due_by) == (State.ACCEPTED, job.record_id, job.due_by)
    assert (record.state, record.task, record.id) == (State.COMPLETED, "export", job.ended_by)
    assert (record.follows, record.request) == (job.record_id, None)
    assert said(record) == {"manifest_digest": to_hex(manifest.digest), "files": listed}
    assert taken.parameters == record.parameters
    assert record.parameters == {"export": job.id, "format": "gguf", "quantization": "Q8_0"}
    assert taken.time.admitted_at <= record.time.started_at <= record.time.admitted_at <= record.time.finished_at
    assert (record.model.id, record.model.weights_digest) == ("acme/tiny", b"\x33" * 32)
    assert record.price.device_time_us > 0
    assert record.price.device_time_us <= record.time.finished_at - record.time.started_at
    assert record.price == charged(record.price, record.usage)
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o444
    assert (folder / "onnx").stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o555


async def test_what_was_asked_is_recorded_before_the_answer_and_nothing_stays_open(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        job = await exports.submit()
        taken = exports.bench.journal.only
        assert (taken.id, taken.http.path, taken.state) == (job.record_id, job.path, State.ACCEPTED)
        assert (taken.request.body, taken.request.target) == (HTTP.body, HTTP.target)
        assert (taken.time.started_at, taken.price, taken.response) == (None, None, None)
        assert exports.bench.gate.inside == 0
        running = await exports.writing(job)
        assert (running.state, running.progress, running.ended_by) == (JobState.RUNNING, 0.5, None)
        exports.release()
        assert (await exports.ended(job)).state is JobState.FINISHED


async def taken_and_held(exports: Exports) -> ExportJob:
    """A job whose first record stands, while the journal takes no other."""
    exports.behaviour = "hold"
    job = await exports.submit()
    exports.bench.journal.hold_commit = asyncio.Event()
    exports.release()
    return job


async def test_files_are_shown_only_after_the_record_is_durable(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await taken_and_held(exports)
        folder = tmp_path / "exports" / job.id
        async with asyncio.timeout(20):
            while not folder.exists():
                await asyncio.sleep(0.002)
        assert (await exports.found(job)).state is JobState.RUNNING
        exports.bench.journal.hold_commit.set()
        await exports.ended(job)


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("parity", "parity_failed", "differs from its source"),
        ("unproved", "parity_failed", "differs from its source"),
        ("unmeasured", "exporter_failed", "cannot be read"),
        ("refused", "export_refused", "no such type"),
        ("full", "export_failed", "No space left"),
        ("die", "exporter_failed", "status 3"),
        ("garbage", "exporter_failed", "not JSON"),
        ("list", "exporter_failed", "no object"),
        ("long", "exporter_failed", "line of more than"),
        ("mute", "exporter_failed", "cannot be read"),
        ("lying", "exporter_failed", "not that of its files"),
        ("escape", "exporter_failed", "cannot be read"),
        ("extra", "export_broken", "'left.tmp' is not in its manifest"),
        ("missing", "export_broken", "'config.json' is missing"),
        ("short", "export_broken", "'config.json' has 2 bytes"),
        ("link", "export_broken", "neither a file nor a folder"),
        ("linked-folder", "export_broken", "neither a file nor a folder"),
    ],
)
async def test_an_export_that_fails_publishes_nothing_and_says_why(
    tmp_path: Path, behaviour: str, code: str, words: str
) -> None:
    async with exports_at(tmp_path, behaviour=behaviour) as exports:
        job = await exports.ended(await exports.submit())
        (record,) = exports.ends
        assert (job.state, job.error.code, job.files, job.digest) == (JobState.FAILED, code, (), None)
        assert words in job.error.message
        assert (record.state, record.error.code, record.response) == (State.FAILED, code, None)
        assert exports.files() == []


async def test_a_failed_parity_keeps_its_report(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="parity") as exports:
        job = await exports.ended(await exports.submit())
    assert job.parity["failures"] == ["max_logit_difference is 2, bound 0.001"]


async def test_an_export_without_a_signature_says_so(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="unsigned") as exports:
        assert (await exports.finished()).signature is None


async def test_an_exporter_that_does_not_leave_after_its_result_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "END_GRACE_S", 0.01)
    async with exports_at(tmp_path, behaviour="linger") as exports:
        await exports.finished()
    assert not [child for child in psutil.Process().children() if "fake_exporter" in " ".join(child.cmdline())]


async def test_an_export_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        exports.jobs._shop.exporter._limit_s = 0.3
        job = await exports.ended(await exports.submit())
    assert (job.error.code, "longer than 0.3 s" in job.error.message) == ("exporter_failed", True)


async def test_one_export_runs_at_a_time_in_the_order_of_asking(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        first, second = await exports.submit(), await exports.submit()
        await exports.writing(first)
        waiting = await exports.found(second)
        assert (waiting.state, waiting.stage) == (JobState.QUEUED, "waiting")
        exports.release()
        await exports.ended(second)
        assert [record.follows for record in exports.ends] == [first.record_id, second.record_id]


async def test_a_cancelled_export_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        job = await exports.submit()
        await exports.writing(job)
        cancelled = await exports.jobs.cancel(SENDER, job.id)
        (record,) = exports.ends
        assert cancelled.ended_by == record.id
        assert (cancelled.state, record.state, record.error.code) == (JobState.CANCELLED, State.CANCELLED, "cancelled")
        assert exports.files() == []
        assert exports.bench.gate.inside == 0


async def test_an_export_is_cancelled_while_it_waits_for_its_turn(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        first, second = await exports.submit(), await exports.submit()
        await exports.writing(first)
        assert (await exports.jobs.cancel(SENDER, second.id)).state is JobState.CANCELLED
        assert exports.ends[0].time.started_at is None
        exports.release()
        assert (await exports.ended(first)).state is JobState.FINISHED


async def test_an_exporter_that_ignores_being_asked_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STOP_GRACE_S", 0.05)
    async with exports_at(tmp_path, behaviour="stubborn") as exports:
        job = await exports.submit()
        await exports.writing(job)
        assert (await exports.jobs.cancel(SENDER, job.id)).state is JobState.CANCELLED


async def test_what_the_exporter_started_ends_with_it(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="parent") as exports:
        job = await exports.submit()
        await exports.writing(job)
        child = psutil.Process(int((tmp_path / "child.pid").read_text()))
        await exports.jobs.cancel(SENDER, job.id)
        gone, _ = psutil.wait_procs([child], timeout=5)
        assert gone or child.status() == psutil.STATUS_ZOMBIE


async def test_an_export_that_is_being_recorded_cannot_be_cancelled(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await taken_and_held(exports)
        async with asyncio.timeout(20):
            while not exports.jobs._live[job.id].settled:
                await asyncio.sleep(0.002)
        with pytest.raises(ExportBusy):
            await exports.jobs.cancel(SENDER, job.id)
        exports.bench.journal.hold_commit.set()
        assert (await exports.ended(job)).state is JobState.FINISHED


async def test_who_gives_an_export_up_does_not_wait_for_a_journal_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_LIMIT_S", 0.01)
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        exports.bench.journal.hold_commit = asyncio.Event()
        with pytest.raises(ExportBusy):
            await exports.jobs.cancel(SENDER, job.id)
        exports.bench.journal.hold_commit.set()
        assert (await exports.ended(job)).state is JobState.CANCELLED


async def test_a_finished_export_is_removed_and_its_record_stays(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await exports.finished()
        assert (await exports.jobs.cancel(SENDER, job.id)).state is JobState.FINISHED
        assert exports.files() == []
        with pytest.raises(UnknownExport):
            await exports.found(job)
        assert [record.id for record in exports.bench.journal.records] == [job.record_id, job.ended_by]


async def test_an_export_is_seen_by_who_asked_and_whose_model_it_is(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await exports.finished()
        assert (await exports.found(job, MODEL_OWNER)).id == job.id
        for look in (exports.jobs.find, exports.jobs.cancel):
            with pytest.raises(UnknownExport):
                await look(OTHERS_ADDRESS, job.id)
        with pytest.raises(UnknownExport):
            await exports.jobs.find(SENDER, "exp_00")
        pages = [
            await exports.jobs.page(viewer, cursor=None, limit=5) for viewer in (SENDER, MODEL_OWNER, OTHERS_ADDRESS)
        ]
        assert [len(page.jobs) for page in pages] == [1, 1, 0]


async def test_anothers_private_model_does_not_exist(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        exports.models.version = private(exports.models.version, MODEL_OWNER)
        with pytest.raises(UnknownModel):
            await exports.submit()
        assert exports.bench.journal.admitted == 0


@pytest.mark.parametrize(
    ("asked", "config", "reason"),
    [
        (("gguf", None), {"architectures": ["Gemma2ForCausalLM"]}, "'Gemma2ForCausalLM' is not written as GGUF"),
        (("onnx", None), {"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel is not among the architectures"),
        (("onnx", "int8"), {"architectures": ["WhisperForConditionalGeneration"]}, "as fp32, not as 'int8'"),
        (("safetensors", "Q8_0"), {}, "as it is stored, not as 'Q8_0'"),
    ],
)
async def test_what_the_configuration_tells_is_refused_before_admission(
    tmp_path: Path, asked: tuple[str, str | None], config: dict[str, object], reason: str
) -> None:
    async with exports_at(tmp_path) as exports:
        (exports.models.folder / "config.json").write_text(json.dumps(CONFIG | config))
        with pytest.raises(ExportUnsupported, match=reason):
            await exports.submit(format=asked[0], quantization=asked[1])
        assert exports.bench.journal.admitted == 0


async def test_an_adapter_is_exported_with_its_base_and_asks_for_room_for_both(tmp_path: Path) -> None:
    async with exports_at(tmp_path, free_bytes=(SOURCE_BYTES * 3 - 1) * 5 // 2 + RESERVE_BYTES) as exports:
        exports.models.bases["acme/base@9"] = a_version(version="9" * 12, digest=b"\x09" * 32)
        exports.models.version = a_version(format="adapter", base="acme/base@9")
        assert set(exports.jobs.offers(exports.models.version).formats) == {"safetensors", "gguf", "onnx"}
        with pytest.raises(DiskFull):
            await exports.submit()
        exports.free_bytes = 1 << 40
        job = await exports.finished()
        assert job.source_digest == exports.models.version.digest


async def test_a_model_without_safetensors_is_refused_before_admission(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        exports.models.version = a_version(format="upstream")
        with pytest.raises(ExportUnsupported):
            await exports.submit()
        assert exports.bench.journal.admitted == 0


async def test_an_export_that_may_not_fit_the_disk_is_refused_with_figures(tmp_path: Path) -> None:
    needed = SOURCE_BYTES * 5 // 2
    async with exports_at(tmp_path, free_bytes=RESERVE_BYTES + needed - 1) as exports:
        with pytest.raises(DiskFull) as refused:
            await exports.submit()
        assert (refused.value.needed_bytes, refused.value.available_bytes) == (needed, needed - 1)
        exports.free_bytes += 1
        await exports.finished()


async def test_a_disk_that_filled_up_while_a_job_waited_fails_the_job(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        first, second = await exports.submit(), await exports.submit()
        await exports.writing(first)
        exports.free_bytes = 0
        exports.release()
        assert (await exports.ended(second)).error.code == "no_space"
        assert (await exports.ended(first)).state is JobState.FINISHED


async def test_a_disk_that_takes_no_folder_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with exports_at(tmp_path) as exports:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(exports.folders, "publish", full)
        job = await exports.ended(await exports.submit())
        assert (job.error.code, exports.files()) == ("no_space", [])


async def test_each_sender_and_the_whole_queue_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED_PER_OWNER", 2)
    monkeypatch.setattr(module, "MAX_QUEUED_EXPORTS", 3)
    async with exports_at(tmp_path, behaviour="hold") as exports:
        for _ in range(2):
            await exports.submit()
        with pytest.raises(ExportQueueFull):
            await exports.submit()
        await exports.submit(principal=OTHER)
        with pytest.raises(ExportQueueFull):
            await exports.submit(principal=replace(OTHER, address=MODEL_OWNER))


async def test_a_sender_keeps_so_many_finished_exports_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_PER_OWNER", 1)
    async with exports_at(tmp_path) as exports:
        job = await exports.finished()
        with pytest.raises(TooManyExports):
            await exports.submit()
        await exports.submit(principal=OTHER)
        await exports.jobs.cancel(SENDER, job.id)
        await exports.finished()


async def test_nobody_else_on_the_machine_reads_exports(tmp_path: Path) -> None:
    async with exports_at(tmp_path):
        assert (tmp_path / "exports").stat().st_mode & 0o777 == 0o700


async def test_a_refused_admission_leaves_no_job(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        exports.bench.journal.admit_error = AdmissionClosed(reason="not compared", retry_after_s=1)
        with pytest.raises(AdmissionClosed):
            await exports.submit()
        exports.bench.journal.admit_error = None
        async with asyncio.timeout(10):
            while exports.store.ids():
                await asyncio.sleep(0.002)
        exports.bench.gate.error = Draining(retry_after_s=1)
        with pytest.raises(Draining):
            await exports.submit()
        assert exports.store.ids() == set()
        assert exports.jobs._live == {}


async def test_a_job_whose_row_cannot_be_written_is_not_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exports_at(tmp_path) as exports:

        def broken(_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(exports.store, "insert", broken)
        with pytest.raises(OSError, match="No space"):
            await exports.submit()
        assert exports.bench.journal.records == []
        assert exports.jobs._live == {}


async def test_a_job_whose_record_was_not_stored_is_forgotten(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        exports.bench.journal.commit_error = unavailable()
        with pytest.raises(AnswerWithheld):
            await exports.submit()
        async with asyncio.timeout(10):
            while exports.store.ids() or exports.jobs._live:
                await asyncio.sleep(0.002)


async def test_a_job_that_was_accepted_without_its_asker_knowing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exports_at(tmp_path) as exports:
        journal, at_once = exports.bench.journal, exports.bench.journal.record_at_once

        async def unconfirmed(record: Record, *, token_id: str) -> object:
            done = await at_once(record, token_id=token_id)
            if record.state is State.ACCEPTED:
                raise unavailable()
            return done

        monkeypatch.setattr(journal, "record_at_once", unconfirmed)
        with pytest.raises(AnswerWithheld):
            await exports.submit()
        (job_id,) = exports.store.ids()
        assert (await exports.ended(exports.store.get(job_id))).state is JobState.FINISHED
        assert [record.state for record in journal.records] == [State.ACCEPTED, State.COMPLETED]


async def test_whether_a_job_was_accepted_is_asked_until_the_journal_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_RECORD_S", 0.001)
    async with exports_at(tmp_path) as exports:
        exports.bench.journal.commit_error = unavailable()
        exports.entries.error = JournalClosed()
        with pytest.raises(AnswerWithheld):
            await exports.submit()
        assert len(exports.store.ids()) == 1
        exports.entries.error = None
        async with asyncio.timeout(10):
            while exports.store.ids():
                await asyncio.sleep(0.002)


@pytest.mark.parametrize("refusal", [unavailable(), AdmissionClosed(reason="the anchorer is halted", retry_after_s=1)])
async def test_an_end_that_cannot_be_recorded_is_recorded_later_and_publishes_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    monkeypatch.setattr(recording, "RETRY_RECORD_S", 0.001)
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        exports.bench.journal.commit_error = refusal
        exports.release()
        async with asyncio.timeout(20):
            while not exports.jobs._live[job.id].settled:
                await asyncio.sleep(0.002)
        assert (await exports.found(job)).state is JobState.RUNNING
        exports.bench.journal.commit_error = None
        ended = await exports.ended(job)
        assert (ended.state, ended.ended_by) == (JobState.FINISHED, exports.ends[-1].id)


async def test_an_end_that_was_recorded_without_a_word_is_not_recorded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_RECORD_S", 0.001)
    async with exports_at(tmp_path) as exports:
        journal, at_once = exports.bench.journal, exports.bench.journal.record_at_once
        job = await left_running(exports)
        refusals = [unavailable()]

        async def unconfirmed(record: Record, *, token_id: str) -> object:
            done = await at_once(record, token_id=token_id)
            if refusals:
                raise refusals.pop()
            return done

        monkeypatch.setattr(journal, "record_at_once", unconfirmed)
        exports.release()
        ended = await exports.ended(job)
        assert ended.state is JobState.FINISHED
        assert [record.id for record in exports.ends] == [ended.ended_by]


async def test_an_end_that_fits_no_record_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with exports_at(tmp_path) as exports:
        monkeypatch.setattr(attempt, "export_output", lambda *_: Output(kind="document", content={"deep": 2**80}))
        job = await exports.ended(await exports.submit())
        (record,) = exports.ends
        assert (job.state, job.error.code, exports.files()) == (JobState.FAILED, "export_unrecordable", [])
        assert (record.state, record.error.code, record.response) == (State.FAILED, "export_unrecordable", None)


async def test_a_job_that_is_not_done_by_its_time_is_given_up_and_recorded_so(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="hold") as exports:
        exports.jobs = exports.made(limit_s=0.2)
        job = await exports.ended(await exports.submit())
        (record,) = exports.ends
        assert (job.state, job.error.code) == (JobState.FAILED, "timed_out")
        assert (record.state, record.follows) == (State.TIMED_OUT, job.record_id)
        assert exports.files() == []


async def test_a_job_whose_time_passed_while_no_server_ran_is_recorded_so_and_not_begun(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        jobs = await exports.die()
        exports.bench.clock.us = job.due_by
        await jobs.start()
        ended = await exports.ended(job)
        (record,) = exports.ends
        assert (ended.error.code, ended.attempts) == ("timed_out", 1)
        assert (record.state, record.time.started_at) == (State.TIMED_OUT, None)


async def test_a_row_that_cannot_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "RETRY_ROW_S", 0.001)
    async with exports_at(tmp_path, behaviour="hold") as exports:
        job = await exports.submit()
        await exports.writing(job)
        change, faults = exports.store.change, [OSError("disk full")] * 3

        def sometimes(job_id: str, required: object, **changes: object) -> object:
            if changes.get("state") is JobState.FINISHED and faults:
                raise faults.pop()
            return change(job_id, required, **changes)

        monkeypatch.setattr(exports.store, "change", sometimes)
        exports.release()
        assert (await exports.ended(job)).state is JobState.FINISHED
        assert faults == []


async def left_running(exports: Exports) -> object:
    exports.behaviour = "hold"
    job = await exports.submit()
    await exports.writing(job)
    return job


async def test_a_job_that_a_crash_cut_off_runs_again_and_has_one_end(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        jobs = await exports.die()
        exports.behaviour = "good"
        left = exports.folders.stage(job.id, "left")
        (left / "half").write_bytes(b"half")
        assert await jobs.start() == 1
        again = await exports.ended(job)
        (record,) = exports.ends
        assert (again.state, again.attempts, again.record_id) == (JobState.FINISHED, 2, job.record_id)
        assert (record.id, record.follows) == (again.ended_by, job.record_id)
        assert (record.sender.address, record.sender.token_id) == (SENDER, job.token_id)
        assert all(name.startswith(job.id) for name in exports.files())


async def test_a_job_whose_process_died_before_it_was_accepted_never_was(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        exports.store.insert(a_job(owner=SENDER))
        assert await exports.jobs.start() == 0
        assert exports.store.ids() == set()


async def test_a_job_that_died_after_publishing_and_before_its_record_runs_again(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await taken_and_held(exports)
        async with asyncio.timeout(20):
            while not exports.jobs._live[job.id].settled:
                await asyncio.sleep(0.002)
        assert (tmp_path / "exports" / job.id).exists()
        jobs = await exports.die()
        assert await jobs.start() == 1
        assert (await exports.ended(job)).attempts == 2


async def test_a_job_that_died_after_its_record_is_finished_without_running_again(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await exports.finished()
        exports.store.change(job.id, [JobState.FINISHED], state=JobState.RUNNING, finished_at=None)
        jobs = await exports.die()
        assert await jobs.start() == 0
        assert (await exports.found(job)).state is JobState.FINISHED
        assert len(exports.files()) == len(NAMES) + 1


async def test_a_job_that_was_cancelled_when_its_process_died_stays_cancelled(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        await exports.jobs.cancel(SENDER, job.id)
        exports.store.change(job.id, [JobState.CANCELLED], state=JobState.RUNNING, finished_at=None)
        jobs = await exports.die()
        assert await jobs.start() == 0
        assert (await exports.found(job)).state is JobState.CANCELLED


async def test_a_job_whose_failure_was_recorded_when_its_process_died_is_not_tried_again(tmp_path: Path) -> None:
    async with exports_at(tmp_path, behaviour="parity") as exports:
        job = await exports.ended(await exports.submit())
        exports.store.change(job.id, [JobState.FAILED], state=JobState.RUNNING, finished_at=None, ended_by=None)
        jobs = await exports.die()
        assert await jobs.start() == 0
        found = await exports.found(job)
        assert (found.state, found.error.code, found.ended_by) == (JobState.FAILED, "interrupted", exports.ends[0].id)


async def test_a_job_that_keeps_dying_with_its_process_is_given_up(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        exports.store.change(job.id, [JobState.RUNNING], attempts=errors.MAX_ATTEMPTS)
        jobs = await exports.die()
        await jobs.start()
        found = await exports.ended(job)
        assert (found.state, found.error.code) == (JobState.FAILED, "interrupted")
        assert exports.ends[0].error.code == "interrupted"


async def test_an_orderly_stop_keeps_the_job_and_records_nothing_of_it(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        waiting = await exports.submit()
        await exports.jobs.stop()
        assert exports.ends == []
        assert [exports.store.get(each.id).state for each in (job, waiting)] == [JobState.QUEUED] * 2
        assert [exports.store.get(each.id).attempts for each in (job, waiting)] == [0, 0]
        with pytest.raises(Draining):
            await exports.submit()
        exports.behaviour = "good"
        jobs = await exports.die()
        assert await jobs.start() == 2
        assert (await exports.ended(waiting)).state is JobState.FINISHED


async def test_a_stop_while_an_end_waits_for_the_journal_leaves_it_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RETRY_RECORD_S", 0.001)
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        exports.bench.journal.commit_error = unavailable()
        exports.release()
        async with asyncio.timeout(20):
            while not exports.jobs._live[job.id].settled:
                await asyncio.sleep(0.002)
        await exports.jobs.stop()
        assert exports.store.get(job.id).state is JobState.QUEUED
        exports.bench.journal.commit_error = None
        await (await exports.die()).start()
        assert (await exports.ended(job)).state is JobState.FINISHED


async def test_a_resumed_job_can_be_cancelled(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        jobs = await exports.die()
        await jobs.start()
        assert (await jobs.cancel(SENDER, job.id)).state is JobState.CANCELLED
        assert exports.ends[0].state is State.CANCELLED


async def test_what_cannot_be_removed_is_left_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with exports_at(tmp_path, behaviour="parity") as exports:

        def stuck(_: str) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(exports.folders, "discard", stuck)
        assert (await exports.ended(await exports.submit())).error.code == "parity_failed"


async def test_a_model_that_was_removed_meanwhile_fails_the_resumed_job(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await left_running(exports)
        jobs = await exports.die()
        exports.models.gone = True
        await jobs.start()
        assert (await exports.ended(job)).error.code == "model_not_found"


async def test_folders_that_belong_to_no_job_are_removed_at_the_start(tmp_path: Path) -> None:
    async with exports_at(tmp_path) as exports:
        job = await exports.finished()
        stray = tmp_path / "exports" / "exp_stray"
        stray.mkdir()
        (stray / "file").write_bytes(b"x")
        await (await exports.die()).start()
        assert not stray.exists()
        assert (await exports.found(job)).state is JobState.FINISHED


async def test_a_version_that_is_removed_while_its_export_is_asked_for_leaves_no_job_and_no_record(
    tmp_path: Path,
) -> None:
    async with exports_at(tmp_path) as exports:
        resolve = exports.models.resolve

        def removed_behind(reference: str, viewer: object) -> object:
            found = resolve(reference, viewer)
            exports.models.gone = True
            return found

        exports.models.resolve = removed_behind
        with pytest.raises(UnknownModel):
            await exports.submit()
        assert not exports.store.ids()
        assert not exports.bench.journal.records
