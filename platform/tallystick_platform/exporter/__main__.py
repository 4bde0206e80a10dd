"""`python -m tallystick_platform.exporter SPEC`: one export in a process of its own, which speaks JSON lines.

SPEC is the JSON of an `ExportSpec`, or a file that holds it. Each line of standard output is one object: {"stage",
"fraction"} while it works, last {"result": ...} or {"error": {"kind", "message", ...}}. SIGTERM ends it cleanly: the
target is emptied and the last line says so. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tallystick_platform.errors import PlatformError
from tallystick_platform.exporter.errors import ExportCancelled, ParityFailed
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import MAX_SPEC_BYTES, ExportSpec

EXIT_FINISHED, EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 0, 1, 2, 128 + signal.SIGTERM
STEP = 0.01
PR_SET_PDEATHSIG = 1


class Lines:
    """The process's standard output, kept for this protocol alone."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._stage, self._fraction = "", -1.0
        self.stopped = False

    def progress(self, stage: str, fraction: float) -> None:
        """One line where something changed. Raises: ExportCancelled after a signal, or where nobody reads any more."""
        if self.stopped:
            raise ExportCancelled
        if stage == self._stage and fraction < self._fraction + STEP:
            return
        self._stage, self._fraction = stage, fraction
        try:
            self.say({"stage": stage, "fraction": round(fraction, 4)})
        except OSError as error:
            raise ExportCancelled from error

    def say(self, value: dict[str, Any]) -> None:
        """Raises: OSError."""
        data = json.dumps(value, ensure_ascii=True).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def main(arguments: list[str]) -> int:
    """Run one export; the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tallystick_platform.exporter SPEC_JSON\n")
        return EXIT_USAGE
    lines = Lines()
    _end_with_parent()

    def cancel(_number: int, _frame: FrameType | None) -> NoReturn:
        # Once is enough: the clearing up that follows is not interrupted. A library that swallows the error meanwhile
        # meets it again at the next progress.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        lines.stopped = True
        raise ExportCancelled

    signal.signal(signal.SIGTERM, cancel)
    signal.signal(signal.SIGINT, cancel)
    try:
        result = run(ExportSpec.from_json(_text(arguments[0])), lines.progress)
        answer: dict[str, Any] = {"result": result.to_dict()}
        status = EXIT_FINISHED
    except ExportCancelled as error:
        answer, status = {"error": _described(error)}, EXIT_CANCELLED
    except PlatformError as error:
        answer, status = {"error": _described(error)}, EXIT_FAILED
    except Exception as error:  # noqa: BLE001  (a defect, or a library's own: the last line is owed all the same)
        traceback.print_exc()
        answer, status = {"error": {"kind": "ExportFailed", "message": f"{type(error).__name__}: {error}"}}, EXIT_FAILED
    try:
        lines.say(answer)
    except OSError:
        return EXIT_CANCELLED  # nobody is there to be told
    return status


def _text(argument: str) -> str:
    if argument.lstrip().startswith("{"):
        return argument
    try:
        with Path(argument).open(encoding="utf-8") as file:
            return file.read(MAX_SPEC_BYTES + 1)
    except (OSError, ValueError):
        return ""


def _described(error: PlatformError) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, ParityFailed):
        described["parity"] = error.report.to_dict()
    return described


def _end_with_parent() -> None:
    """Be told to stop when the process that started this one is gone (Linux); elsewhere the closed output tells."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
