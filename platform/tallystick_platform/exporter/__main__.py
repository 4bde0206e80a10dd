"""`python -m tallystick_platform.exporter SPEC`: one export in a process of its own, which speaks JSON lines.

SPEC is the JSON of an `ExportSpec`, or a file that holds it. Each line of standard output is one object: {"stage",
"fraction"} while it works, last {"result": ...} or {"error": {"kind", "message", ...}}. Whatever libraries print goes to standard error.

SIGTERM and SIGINT end it cleanly: the target is emptied and the last line says so. A thread waits for them, so that they are never lost:
not inside a library's C code, and not where a library catches every error. The work meets the cancel at its next progress; work that
says nothing for `NOTICE_S` is left where it stands, and the thread clears up and ends the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from tallystick_platform.errors import PlatformError, kind_of
from tallystick_platform.exporter.errors import ExportCancelled, ExportFailed, ParityFailed
from tallystick_platform.exporter.run import run
from tallystick_platform.exporter.spec import MAX_SPEC_BYTES, ExportSpec
from tallystick_platform.formats.archive import empty
from tallystick_platform.parent import end_with_parent

EXIT_FINISHED, EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 0, 1, 2, 128 + signal.SIGTERM
STEP = 0.01
SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT))
NOTICE_S = 5.0  # half of what the job that asked waits before it kills


class Lines:
    """The process's standard output, kept for this protocol alone. `stopped` is set once and for good."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._stage, self._fraction = "", -1.0
        self._last = threading.Lock()
        self.stopped = False
        self.ended = threading.Event()

    @property
    def began(self) -> bool:
        """Whether the export has said anything: then the target is its own."""
        return self._fraction >= 0.0

    def progress(self, stage: str, fraction: float) -> None:
        """One line where something changed. Raises: ExportCancelled after a signal, or where nobody reads any more."""
        if self.stopped:
            raise ExportCancelled
        if stage == self._stage and fraction < self._fraction + STEP:
            return
        self._stage, self._fraction = stage, fraction
        try:
            self._say({"stage": stage, "fraction": round(fraction, 4)})
        except OSError as error:
            raise ExportCancelled from error

    def end(self, answer: dict[str, Any]) -> bool:
        """The last line, said once: whoever comes second waits here until the process is over. False where nobody reads."""
        self._last.acquire()
        self.ended.set()
        try:
            self._say(answer)
        except OSError:
            return False
        return True

    def _say(self, value: dict[str, Any]) -> None:
        data = json.dumps(value, ensure_ascii=True).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def main(arguments: list[str]) -> int:
    """Run one export; the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tallystick_platform.exporter SPEC_JSON\n")
        return EXIT_USAGE
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # before any thread is started: all inherit it
    lines = Lines()
    end_with_parent(signal.SIGTERM)  # elsewhere than on Linux the closed output tells
    spec: ExportSpec | None = None
    try:
        spec = ExportSpec.from_json(_text(arguments[0]))
        threading.Thread(target=_watch, args=(lines, spec.target), daemon=True, name="cancel").start()
        answer: dict[str, Any] = {"result": run(spec, lines.progress).to_dict()}
        status = EXIT_FINISHED
    except ExportCancelled as error:
        answer, status = {"error": _described(error)}, EXIT_CANCELLED
    except PlatformError as error:
        answer, status = {"error": _described(error)}, EXIT_FAILED
    except Exception as error:  # noqa: BLE001  (a defect, or a library's own: the last line is owed all the same)
        traceback.print_exc()
        answer, status = {"error": _described(ExportFailed(reason=kind_of(error)))}, EXIT_FAILED
    return status if lines.end(answer) else EXIT_CANCELLED


def _watch(lines: Lines, target: Path) -> None:
    """Wait for a signal, tell the work, and end the process where the work does not hear of it."""
    signal.sigwait(SIGNALS)
    lines.stopped = True
    if lines.ended.wait(NOTICE_S):
        return
    if lines.began:
        empty(target)
    lines.end({"error": _described(ExportCancelled())})
    os._exit(EXIT_CANCELLED)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
