"""The exporter as a process: one JSON object a line, a clean end when it is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tallystick.manifest import hash_folder
from tallystick_platform.exporter import __main__ as process
from tallystick_platform.exporter.__main__ import EXIT_CANCELLED, EXIT_FAILED, EXIT_FINISHED, EXIT_USAGE
from tallystick_platform.exporter.errors import ExportCancelled
from tallystick_platform.exporter.spec import ExportSpec
from tests.support.exports import spec_for, write_source

COMMAND = [sys.executable, "-m", "tallystick_platform.exporter"]
LIMIT_S = 120


@pytest.fixture
def spec(tmp_path: Path) -> ExportSpec:
    return spec_for(write_source(tmp_path / "source"), tmp_path / "target")


@pytest.fixture
def long(spec: ExportSpec) -> ExportSpec:
    """A spec whose export takes as long as any test may wait."""
    return replace(spec, parity_tokens=500)


@pytest.fixture
def started(long: ExportSpec) -> Iterator[subprocess.Popen[str]]:
    """A process that runs its source by now, with the target half written."""
    child = subprocess.Popen(
        [*COMMAND, long.to_json()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=slow()
    )
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line).get("stage") == "running the source":
            break
    yield child
    child.kill()
    child.communicate(timeout=LIMIT_S)


def slow() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def export(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    found = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False, env=slow()
    )
    return found.returncode, [json.loads(line) for line in found.stdout.splitlines()]


def test_every_line_is_an_object_and_the_last_is_the_result(spec: ExportSpec) -> None:
    status, lines = export(spec.to_json())
    assert status == EXIT_FINISHED
    assert all(line.keys() == {"stage", "fraction"} for line in lines[:-1])
    fractions = [line["fraction"] for line in lines[:-1]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    result = lines[-1]["result"]
    assert result["digest"] == hash_folder(spec.target).digest.hex()
    assert result["parity"]["passed"] is True


def test_a_spec_may_lie_in_a_file_and_an_error_has_its_kind(spec: ExportSpec, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(replace(spec, source_digest=bytes(32)).to_json())
    status, lines = export(str(path))
    assert status == EXIT_FAILED
    assert lines[-1]["error"]["kind"] == "ExportRefused"
    assert "not the one that was named" in lines[-1]["error"]["message"]


@pytest.mark.parametrize("argument", ["{}", "{", "/nowhere/job.json", ""])
def test_what_is_no_spec_is_an_error_line(argument: str) -> None:
    status, lines = export(argument)
    assert status == EXIT_FAILED
    assert [line["error"]["kind"] for line in lines] == ["ExportRefused"]


def test_a_defect_is_an_error_line_too(
    spec: ExportSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of a library")

    monkeypatch.setattr(process, "run", broken)
    monkeypatch.setattr(process.signal, "signal", lambda *_: None)
    monkeypatch.setattr(process.os, "dup2", lambda *_: None)
    monkeypatch.setattr(process, "_end_with_parent", lambda: None)
    assert process.main([spec.to_json()]) == EXIT_FAILED
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert said["error"] == {"kind": "ExportFailed", "message": "ZeroDivisionError: of a library"}


def test_a_cancel_that_a_library_swallowed_comes_back_with_the_next_progress(
    spec: ExportSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers: dict[int, Any] = {}

    def swallowing(_spec: ExportSpec, progress: Any) -> None:
        cancel = handlers[signal.SIGTERM]
        with contextlib.suppress(ExportCancelled):
            cancel(signal.SIGTERM, None)
        progress("later", 0.5)

    monkeypatch.setattr(process, "run", swallowing)
    monkeypatch.setattr(process.signal, "signal", lambda number, call: handlers.update({number: call}))
    monkeypatch.setattr(process.os, "dup2", lambda *_: None)
    monkeypatch.setattr(process, "_end_with_parent", lambda: None)
    assert process.main([spec.to_json()]) == EXIT_CANCELLED
    assert json.loads(capfd.readouterr().out)["error"]["kind"] == "ExportCancelled"


def test_without_a_spec_there_is_a_usage_line_and_no_output() -> None:
    assert export() == (EXIT_USAGE, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_leaves_nothing(
    started: subprocess.Popen[str], long: ExportSpec, number: signal.Signals
) -> None:
    assert (long.target / "model.safetensors").exists()
    started.send_signal(number)
    rest, _ = started.communicate(timeout=LIMIT_S)
    assert json.loads(rest.splitlines()[-1])["error"]["kind"] == "ExportCancelled"
    assert started.returncode == EXIT_CANCELLED
    assert list(long.target.iterdir()) == []


def test_a_second_signal_does_not_disturb_the_clearing_up(started: subprocess.Popen[str], long: ExportSpec) -> None:
    for _ in range(5):
        started.send_signal(signal.SIGTERM)
    rest, _ = started.communicate(timeout=LIMIT_S)
    assert json.loads(rest.splitlines()[-1])["error"]["kind"] == "ExportCancelled"
    assert list(long.target.iterdir()) == []


def test_after_a_kill_the_half_written_folder_is_refused_and_a_new_one_works(
    started: subprocess.Popen[str], long: ExportSpec, tmp_path: Path
) -> None:
    started.kill()
    started.communicate(timeout=LIMIT_S)
    assert list(long.target.iterdir())  # what a crash leaves: the caller's staging folder is removed as a whole
    status, lines = export(replace(long, parity_tokens=2).to_json())
    assert (status, lines[-1]["error"]["kind"]) == (EXIT_FAILED, "ExportRefused")
    status, _ = export(replace(long, parity_tokens=2, target=tmp_path / "fresh").to_json())
    assert status == EXIT_FINISHED


def test_an_export_that_nobody_reads_stops(spec: ExportSpec) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        ended = subprocess.run(
            [*COMMAND, spec.to_json()], stdout=output, stderr=subprocess.DEVNULL, timeout=LIMIT_S, check=False
        )
    assert ended.returncode == EXIT_CANCELLED
    assert not spec.target.exists() or list(spec.target.iterdir()) == []
