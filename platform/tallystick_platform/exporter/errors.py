"""What can stop an export, as types with fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick_platform.errors import PlatformError

if TYPE_CHECKING:
    from tallystick_platform.exporter.spec import ParityReport


class ExportError(PlatformError):
    """Root of everything that stops an export."""


class ExportRefused(ExportError):
    """This model cannot be written in this format, or the job makes no sense; trying again changes nothing."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the export is refused: {reason}")
        self.reason = reason


class ExportFailed(ExportError):
    """The export was begun and could not be finished; another attempt may."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the export failed: {reason}")
        self.reason = reason


class ParityFailed(ExportError):
    """The exported file ran and does not compute what the source computes."""

    def __init__(self, *, report: ParityReport) -> None:
        super().__init__(f"the exported model differs from its source: {'; '.join(report.failures)}")
        self.report = report


class ExportCancelled(ExportError, says="the export was cancelled"):
    """The export was asked to stop."""
