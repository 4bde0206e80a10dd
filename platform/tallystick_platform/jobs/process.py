"""The exporter's process: started, listened to, and ended whatever happens.

It gets its job as one JSON argument and says on its standard output, one JSON object a line: `{"stage", "fraction"}` any number of
times, and last `{"result": ...}` or `{"error": {"kind", "message", ...}}`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick.errors import ManifestError
from tallystick.manifest import FileEntry, Manifest
from tallystick.record import MAX_ERROR_MESSAGE_BYTES, clip_text
from tallystick_platform.errors import kind_of
from tallystick_platform.exchange.faults import WorkFailed
from tallystick_platform.exporter.spec import ExportSpec, Progress
from tallystick_platform.jobs.errors import ExporterFailed
from tallystick_platform.store.jobs import StoredFile

COMMAND = (sys.executable, "-m", "tallystick_platform.exporter")
MAX_LINE_BYTES = 8 * 1_048_576  # a result that names as many files as a manifest may hold
MAX_STAGE_CHARS = 64
STOP_GRACE_S = 10.0  # to give up cleanly after SIGTERM
END_GRACE_S = 10.0  # to leave after the last line
EXPORT_LIMIT_S = 6 * 3_600.0

CODES: Mapping[str, str] = {
    "ExportRefused": "export_refused",
    "UnsafeModel": "export_refused",
    "FormatError": "export_refused",
    "ParityFailed": "parity_failed",
}
"""Kinds of the exporter's own errors, as records and jobs name them; any other is `export_failed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """What the exporter left in its folder."""

    files: tuple[StoredFile, ...]
    digest: bytes
    parity: Mapping[str, Any]


class ExportFault(WorkFailed):
    """The exporter's own error; `parity` is its report where it has one."""

    def __init__(self, *, code: str, message: str, parity: Mapping[str, Any] | None) -> None:
        super().__init__(code=code, message=clip_text(message, MAX_ERROR_MESSAGE_BYTES))
        self.parity = parity


class Exporter:
    """Runs exports, each in a process group of its own."""

    def __init__(self, command: Sequence[str] = COMMAND, *, limit_s: float = EXPORT_LIMIT_S) -> None:
        self._command = tuple(command)
        self._limit_s = limit_s

    async def run(self, spec: ExportSpec, report: Progress) -> Produced:
        """Carry out one export. Cancelled, it ends its process before it returns.

        Raises: ExportFault, ExporterFailed
        """
        process = await asyncio.create_subprocess_exec(
            *self._command,
            spec.to_json(),
            stdin=PIPE,  # its end tells the process that this one died
            stdout=PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._limit_s):
                last = await _listen(process, report)
                await _left(process)
        except TimeoutError as error:
            raise ExporterFailed(reason=f"it took longer than {self._limit_s:g} s") from error
        finally:
            await asyncio.shield(_end(process))
        return _produced(last)


async def _listen(process: Process, report: Progress) -> Mapping[str, Any]:
    """The last line, once it is said."""
    assert process.stdout is not None  # noqa: S101  (as it was started)
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError as error:
            raise ExporterFailed(reason=f"it wrote a line of more than {MAX_LINE_BYTES} bytes") from error
        if not line:
            status = await process.wait()
            raise ExporterFailed(reason=f"it ended with status {status} and without a result")
        try:
            said = msgspec.json.decode(line)
        except ValueError as error:
            raise ExporterFailed(reason="it wrote a line that is not JSON") from error
        if not isinstance(said, dict):
            raise ExporterFailed(reason="it wrote a line that is no object")
        if "result" in said or "error" in said:
            return said
        stage, fraction = said.get("stage"), said.get("fraction")
        if isinstance(stage, str) and isinstance(fraction, int | float):
            report(stage[:MAX_STAGE_CHARS], min(max(float(fraction), 0.0), 1.0))


async def _left(process: Process) -> None:
    with suppress(TimeoutError):  # it said its last word; what it still does is of no use to anyone
        async with asyncio.timeout(END_GRACE_S):
            await process.wait()


async def _end(process: Process) -> None:
    """Ask the process and whatever it started to leave, then kill what is left of them."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _produced(said: Mapping[str, Any]) -> Produced:
    if "error" in said:
        raise _fault(said["error"])
    try:
        result = said["result"]
        entries = [
            FileEntry(name=file["name"], size=file["size"], sha256=bytes.fromhex(file["sha256"]))
            for file in result["files"]
        ]
        manifest = Manifest.of(entries)
        digest, parity = bytes.fromhex(result["digest"]), result["parity"]
        passed = parity["passed"] is True
    except (KeyError, TypeError, ValueError, AttributeError, ManifestError) as error:
        raise ExporterFailed(reason=f"its result cannot be read: {kind_of(error)}") from error
    if manifest.digest != digest:
        raise ExporterFailed(reason="its digest is not that of its files")
    if not passed:
        raise ExportFault(code="parity_failed", message="the exported model differs from its source", parity=parity)
    files = tuple(StoredFile(name=entry.name, size=entry.size, sha256=entry.sha256) for entry in manifest.files)
    return Produced(files=files, digest=digest, parity=parity)


def _fault(error: Any) -> WorkFailed:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return ExporterFailed(reason="its error cannot be read")
    report = error.get("parity", error.get("report"))
    return ExportFault(
        code=CODES.get(str(error.get("kind")), "export_failed"),
        message=error["message"],
        parity=report if isinstance(report, dict) else None,
    )
