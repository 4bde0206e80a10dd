"""Stages run in processes of their own: what they say, how they fail, that none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick_platform.exporter.errors import ExportCancelled, ExportFailed, ExportRefused
from tallystick_platform.exporter.onnx import stages
from tallystick_platform.exporter.onnx.plan import Family, Plan
from tallystick_platform.exporter.onnx.stages import Stage, StageJob, run_stage
from tallystick_platform.exporter.spec import ExportSpec

ENDING = "import threading\nfrom {module} import leave_with_parent\nleave_with_parent()\nthreading.Event().wait()"
PLAN = Plan(family=Family.ENCODER, architecture="BertModel", precision="fp32", bound={"max_logit_difference": 1.0})


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MODULE", "tests.support.onnx_stage")


def spec(folder: Path, command: str) -> ExportSpec:
    return ExportSpec(
        source=folder,
        source_digest=bytes(32),
        model="people/tiny",
        version="0123456789ab",
        task="chat",
        format="onnx",
        target=folder / "target",
        command=command,
    )


def run(folder: Path, command: str, progress: Any = lambda *_: None) -> int:
    return run_stage(Stage.BUILD, spec(folder, command), PLAN, folder, progress)


def test_a_job_survives_its_journey(tmp_path: Path) -> None:
    job = StageJob(stage=Stage.RUN, spec=spec(tmp_path, "done"), plan=PLAN, scratch=tmp_path)
    assert StageJob.from_json(job.to_json()) == job


def test_progress_and_the_outcome_arrive(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    assert run(tmp_path, "done", lambda *step: seen.append(step)) == 7
    assert seen[0] == ("writing the ONNX graph", 0.0)
    assert ("half", 0.5) in seen


def test_a_refusal_keeps_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused) as caught:
        run(tmp_path, "refused")
    assert caught.value.reason == "not this one"


def test_a_failure_keeps_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="writing the ONNX graph: out of notches"):
        run(tmp_path, "failed")


def test_a_process_that_says_nothing_fails_with_its_status_and_its_last_words_are_for_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportFailed, match=r"ended with status 3$"):
        run(tmp_path, "silent")
    assert capfd.readouterr().err == "the last words\n"


def test_a_line_without_end_is_not_collected(tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="line longer than"):
        run(tmp_path, "long")


def test_a_cancel_ends_the_process(tmp_path: Path) -> None:
    def progress(stage: str, _fraction: float) -> None:
        if stage == "begun":
            raise ExportCancelled

    with pytest.raises(ExportCancelled):
        run(tmp_path, "forever", progress)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_silent_process_still_lets_a_cancel_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "TICK_S", 0.01)
    calls = []

    def progress(stage: str, _fraction: float) -> None:
        calls.append(stage)
        if calls.count("begun") == 3:
            raise ExportCancelled

    with pytest.raises(ExportCancelled):
        run(tmp_path, "forever", progress)


def test_a_stage_that_hangs_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "TICK_S", 0.01)
    monkeypatch.setattr(stages, "STAGE_LIMIT_S", 0.3)
    with pytest.raises(ExportFailed, match="not done within"):
        run(tmp_path, "forever")


def test_a_stage_s_process_ends_when_its_input_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDING.format(module="tallystick_platform.exporter.onnx.__main__")]
    found = subprocess.run(command, input=b"", check=False, timeout=60, env=os.environ)
    assert found.returncode == 1
