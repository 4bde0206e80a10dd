"""The stages of an export, each run in a process of its own that speaks one JSON object per line."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.onnx.plan import Family, Plan
from tallystick_platform.exporter.spec import ExportSpec, Progress

MODULE = "tallystick_platform.exporter.onnx"
STAGE_LIMIT_S = 4 * 3600.0  # a big model's graph takes an hour; a stage that hangs must end at some time
TICK_S = 0.5  # how late a cancel may be noticed
MAX_LINE_BYTES = 65_536
MAX_LAST_WORDS_BYTES = 8_000
REFERENCE = "reference-"  # begins the names of the files that the source's own numbers lie in


class Stage(StrEnum):
    """What a stage's process does."""

    BUILD = "build"
    QUANTISE = "quantise"
    RUN = "run"
    REFERENCE = "reference"


STARTED = {
    Stage.BUILD: "writing the ONNX graph",
    Stage.QUANTISE: "quantising",
    Stage.RUN: "computing with the exported files",
    Stage.REFERENCE: "computing with the source",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageJob:
    """What a stage's process is told: one line of JSON."""

    stage: Stage
    spec: ExportSpec
    plan: Plan
    scratch: Path

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "stage": self.stage,
                "spec": self.spec.to_json(),
                "plan": {**asdict(self.plan), "bound": dict(self.plan.bound)},
                "scratch": str(self.scratch),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> StageJob:
        """What `to_json` wrote."""
        values = json.loads(text)
        chosen = {**values["plan"], "family": Family(values["plan"]["family"])}
        return cls(
            stage=Stage(values["stage"]),
            spec=ExportSpec.from_json(values["spec"]),
            plan=Plan(**chosen),
            scratch=Path(values["scratch"]),
        )


def run_stage(stage: Stage, spec: ExportSpec, chosen: Plan, scratch: Path, progress: Progress) -> int:
    """Run one stage to its end; its resident memory at its largest. Units: bytes.

    Raises: ExportRefused, ExportFailed, and whatever `progress` raises; the process has ended in every case.
    """
    job = StageJob(stage=stage, spec=spec, plan=chosen, scratch=scratch)
    errors = scratch / f"{stage}.log"
    last: dict[str, Any] = {}
    with errors.open("wb") as log, _process(log) as child:
        assert child.stdin is not None  # noqa: S101 - asked for as a pipe
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(job.to_json().encode() + b"\n")
            child.stdin.flush()
        progress(STARTED[stage], 0.0)
        for message in _messages(child, progress, STARTED[stage]):
            last = message
        status = child.wait(timeout=STAGE_LIMIT_S)
    if "peak_bytes" in last and status == 0:
        return int(last["peak_bytes"])
    sys.stderr.write(_last_words(errors))
    if "refused" in last:
        raise ExportRefused(reason=last["refused"])
    raise ExportFailed(reason=f"{STARTED[stage]}: {last.get('failed') or f'the process ended with status {status}'}")


@contextlib.contextmanager
def _process(log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The stage's process; its standard input stays open while it may live, and it is killed on the way out."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=_environment(),
    )
    try:
        yield child
    finally:
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        child.wait()


def _environment() -> dict[str, str]:
    # Nothing here may reach for the network: everything needed is in the folder.
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    # Matrices of a few MB come and go: kept on the heap, what they leave behind adds up to half of the model.
    frugal = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    return {**os.environ, **quiet, **frugal, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _messages(child: subprocess.Popen[bytes], progress: Progress, name: str) -> Iterator[dict[str, Any]]:
    """Every line of the process as it comes; `progress` is called at least every tick so that it can end the wait."""
    assert child.stdout is not None  # noqa: S101 - asked for as a pipe
    deadline, fraction, rest = time.monotonic() + STAGE_LIMIT_S, 0.0, b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(TICK_S):
                progress(name, fraction)
                continue
            data = os.read(child.stdout.fileno(), MAX_LINE_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MAX_LINE_BYTES:
                raise ExportFailed(reason=f"{name}: the process wrote a line longer than {MAX_LINE_BYTES} bytes")
            for line in lines:
                message = json.loads(line)
                if "fraction" in message:
                    name, fraction = message["stage"], message["fraction"]
                    progress(name, fraction)
                else:
                    yield message
    raise ExportFailed(reason=f"{name}: not done within {STAGE_LIMIT_S:g} s")


def _last_words(errors: Path) -> str:
    """The end of what a stage's process said beside its answers: for the log alone."""
    with errors.open("rb") as file:
        file.seek(max(0, errors.stat().st_size - MAX_LAST_WORDS_BYTES))
        return file.read().decode(errors="replace")
