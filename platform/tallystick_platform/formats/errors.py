"""Why a model file, a model folder or an archive is not taken. Each message is fit to be shown to whoever brought it."""

from __future__ import annotations

from pathlib import Path

from tallystick_platform.errors import PlatformError


class FormatError(PlatformError, status=400, code="model_refused"):
    """A file or folder is not what it says it is: truncated, contradictory, past a bound, or of no known kind."""

    def __init__(self, *, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnsafeModel(PlatformError, status=400, code="model_unsafe"):
    """A folder holds something that could run code or reach outside it. `remedy` says how to bring the model instead."""

    def __init__(self, *, file: str, reason: str, remedy: str) -> None:
        super().__init__(f"{file}: {reason}; {remedy}")
        self.file = file
        self.reason = reason
        self.remedy = remedy


class UnsafeArchive(PlatformError, status=400, code="archive_unsafe"):
    """An archive has a member that would land elsewhere, hide another or grow past a bound. `name` is the member's."""

    def __init__(self, *, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
