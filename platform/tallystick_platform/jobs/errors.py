"""What stops an export or a download."""

from __future__ import annotations

import errno
from typing import Final

from tallystick_platform.errors import Overloaded, PlatformError, kind_of
from tallystick_platform.exchange.faults import WorkFailed

MAX_ATTEMPTS: Final = 5  # that restarts cut off, before a job counts as the cause of them


class UnknownExport(PlatformError, status=404, code="export_not_found", says="there is no such export of yours"):
    """There is no such export that the caller may see."""


class UnknownFile(PlatformError, status=404, code="file_not_found", says="there is no file of this name"):
    """The export or the model holds no file of this name."""


class ExportNotFinished(PlatformError, status=409, code="export_not_finished"):
    """Files were asked for before they were published, or after the export failed."""

    def __init__(self, *, state: str) -> None:
        super().__init__(f"the export is {state}: its files can be downloaded once it is finished")


class ExportBusy(
    PlatformError,
    status=409,
    code="export_busy",
    says="the export is being recorded at this moment; try again in a second",
):
    """The export cannot be changed at this moment: it is just being recorded."""

    retry_after_s = 1


class ExportQueueFull(Overloaded):
    """As many exports wait as may."""


class TooManyExports(PlatformError, status=409, code="too_many_exports"):
    """A sender keeps as many finished exports as may be kept."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"at most {limit} finished exports of one sender are kept; delete one first")


class ExportUnsupported(PlatformError, status=400, code="export_unsupported"):
    """A version that cannot be exported as was asked: its configuration tells before any work is done."""

    def __init__(self, *, reference: str, reason: str) -> None:
        super().__init__(f"{reference} cannot be exported so: {reason}")


class PublishFailed(WorkFailed):
    """What the exporter left is not what it said."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(code="export_broken", message=f"the export is not what its exporter reported: {reason}")


class DiskFailed(WorkFailed):
    """The disk did not take what had to be written."""

    def __init__(self, *, error: OSError) -> None:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        super().__init__(code="no_space" if full else "disk_failed", message=f"the disk: {kind_of(error)}")


class ExporterFailed(WorkFailed):
    """The exporter's process ended without a result."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(code="exporter_failed", message=f"the exporter's process failed: {reason}")


class FileChanged(WorkFailed):
    """A published file is not what was published: nothing more of it is handed out."""

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(code="file_changed", message=f"the published file {name!r} {reason}")


class Interrupted(WorkFailed):
    """An export that was begun again and again, each time by a server that ended before it did."""

    def __init__(self, *, attempts: int) -> None:
        super().__init__(
            code="interrupted",
            message=f"the server ended during {attempts} attempts at this export, and it is given up",
        )


class Unrecordable(WorkFailed):
    """What an export made cannot be stated in a record."""

    def __init__(self) -> None:
        super().__init__(code="export_unrecordable", message="the export's files cannot be listed in a record")


class DownloadStalled(WorkFailed):
    """The client took nothing for as long as it may. Units: seconds."""

    def __init__(self, *, limit_s: float) -> None:
        super().__init__(code="download_stalled", message=f"the client took nothing for {limit_s:g} s")
