"""The exporter as a process: one JSON object a line, a clean end when it is told to stop."""

from __future__ import annotations

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
from tallystick_platform.exporter.__main__ import EXIT_CANCELLED, EXIT_FAILED, EXIT_FINISHED, EXIT_USAGE
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


def program(body: str) -> list[str]:
    """An exporter whose work is this, which gives out soon where the work does not listen."""
    lines = [
        "import os, re, sys, time",
        "from pathlib import Path",
        "from tallystick_platform.exporter import __main__ as process",
        "from tallystick_platform.exporter.errors import ExportCancelled",
        "process.NOTICE_S = 0.2",
        "def run(spec, progress):",
        "    spec.target.mkdir()",
        "    progress('working', 0.1)",
        "    (spec.target / 'half').write_text('written')",
        "    progress('waiting', 0.2)",
        *(f"    {line}" for line in body.splitlines()),
        "process.run = run",
        "sys.exit(process.main(sys.argv[1:]))",
    ]
    return [sys.executable, "-c", "\n".join(lines)]


def cancelled(spec: ExportSpec, body: str) -> tuple[int, list[dict[str, Any]]]:
    """What a program says that is told to stop while it waits."""
    with subprocess.Popen([*program(body), spec.to_json()], stdout=subprocess.PIPE, text=True, env=slow()) as child:
        assert child.stdout is not None
        said = []
        for line in child.stdout:
            said.append(json.loads(line))
            if said[-1].get("stage") == "waiting":
                child.send_signal(signal.SIGTERM)
        return child.wait(LIMIT_S), said


def test_a_defect_is_an_error_line_that_does_not_quote_the_library(spec: ExportSpec) -> None:
    command = program("raise ZeroDivisionError('in /srv/models/a')")
    found = subprocess.run([*command, spec.to_json()], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    said = json.loads(found.stdout.splitlines()[-1])
    assert found.returncode == EXIT_FAILED
    assert said["error"] == {
        "kind": "ExportFailed",
        "message": "the export failed: the library says ZeroDivisionError",
    }
    assert "in /srv/models/a" in found.stderr


SLEEPS = "time.sleep(600)"
SWALLOWS = """while True:
    try:
        time.sleep(600)
    except BaseException:
        continue"""
BLOCKS = "os.read(os.pipe()[0], 1)"
LISTENS_LATE = """for _ in range(3):
    try:
        time.sleep(0.1)
        progress('later', 0.5)
    except Exception:
        pass
while True:
    time.sleep(0.01)
    progress('last', 0.9)"""


@pytest.mark.parametrize("body", [SLEEPS, SWALLOWS, BLOCKS, LISTENS_LATE])
def test_a_cancel_is_never_lost_and_leaves_nothing(spec: ExportSpec, body: str) -> None:
    status, said = cancelled(spec, body)
    assert (status, said[-1]["error"]["kind"]) == (EXIT_CANCELLED, "ExportCancelled")
    assert sum("error" in line or "result" in line for line in said) == 1
    if body is not LISTENS_LATE:  # the real `run` empties the target on its way out
        assert list(spec.target.iterdir()) == []


def test_a_folder_of_somebody_elses_is_not_emptied_by_a_cancel_before_the_work(spec: ExportSpec) -> None:
    spec.target.mkdir()
    (spec.target / "theirs").write_text("kept")
    lines = [*program("").pop().splitlines()]
    at = lines.index("def run(spec, progress):")
    lines[at + 1 : -2] = ["    os.kill(os.getpid(), 15)", "    time.sleep(600)"]
    command = [sys.executable, "-c", "\n".join(lines), spec.to_json()]
    found = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False, env=slow())
    assert found.returncode == EXIT_CANCELLED
    assert (spec.target / "theirs").read_text() == "kept"


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
