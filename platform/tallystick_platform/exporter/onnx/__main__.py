"""One stage in its own process: a job on standard input, progress and the outcome as JSON lines on standard output.

The process leaves when its standard input ends, that is when whoever started it is gone.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from tallystick_platform.errors import kind_of
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused
from tallystick_platform.exporter.onnx.plan import Family
from tallystick_platform.exporter.onnx.stages import Stage, StageJob
from tallystick_platform.exporter.spec import Progress
from tallystick_platform.parent import leave_with_parent


def main() -> int:
    """Run the stage that the first line of standard input names."""
    # Libraries print to standard output; what they say belongs into the log, the answers of this process do not.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = StageJob.from_json(sys.stdin.readline())
    leave_with_parent(1)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    try:
        run_job(job, lambda stage, fraction: say({"stage": stage, "fraction": fraction}))
    except ExportRefused as error:
        say({"refused": error.reason})
        return 1
    except ExportFailed as error:
        say({"failed": error.reason})
        return 1
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, NotImplementedError, MemoryError) as error:
        say({"failed": kind_of(error)})
        raise
    say({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
    return 0


def run_job(job: StageJob, progress: Progress) -> None:
    """Do what the job's stage does for its family."""
    from tallystick_platform.exporter.onnx import encoder, language, speech

    rooms = {Family.LANGUAGE: language, Family.ENCODER: encoder, Family.SPEECH: speech}
    room = rooms[job.plan.family]
    work = {
        Stage.BUILD: room.build,
        Stage.QUANTISE: encoder.quantise,
        Stage.RUN: room.run,
        Stage.REFERENCE: room.reference,
    }
    work[job.stage](job, progress)


if __name__ == "__main__":
    sys.exit(main())
