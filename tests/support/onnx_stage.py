"""A stage's process for tests: does what the job's command says instead of exporting."""

from __future__ import annotations

import os
import sys

from tallystick_platform.exporter.onnx.stages import MAX_LINE_BYTES, StageJob

BEHAVIOURS = {
    "done": '{"stage": "half", "fraction": 0.5}\n{"peak_bytes": 7}\n',
    "refused": '{"refused": "not this one"}\n',
    "failed": '{"failed": "out of notches"}\n',
    "silent": "",
    "long": "x" * (2 * MAX_LINE_BYTES),
}


def main() -> int:
    """Behave as told."""
    job = StageJob.from_json(sys.stdin.readline())
    command = job.spec.command
    if command == "forever":
        (job.scratch / "pid").write_text(str(os.getpid()))
        print('{"stage": "begun", "fraction": 0.1}', flush=True)
        sys.stdin.read()
        return 0
    sys.stderr.write("the last words\n")
    sys.stdout.write(BEHAVIOURS[command])
    return 0 if command == "done" else 3


if __name__ == "__main__":
    sys.exit(main())
