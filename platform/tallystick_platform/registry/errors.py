"""What the registry refuses."""

from __future__ import annotations

from pathlib import Path

from tallystick_platform.errors import PlatformError


class BadReference(PlatformError, status=400, code="invalid_model_id", param="model"):
    """A model's name cannot be one."""

    def __init__(self, *, reference: str, reason: str) -> None:
        super().__init__(f"{reference[:128]!r} names no model: {reason}")


class VersionExists(PlatformError, status=409, code="version_exists"):
    """The same files are a version of this model already."""

    def __init__(self, *, reference: str) -> None:
        super().__init__(f"these files are registered already, as {reference}; a version never changes")
        self.reference = reference


class ModelTaken(PlatformError, status=409, code="model_taken", param="model"):
    """Somebody else registered a model of this name."""

    def __init__(self, *, model: str) -> None:
        super().__init__(f"the name {model!r} belongs to somebody else; choose another")


class TaskDiffers(PlatformError, status=409, code="task_differs"):
    """A version does something else than the model's other versions."""

    def __init__(self, *, model: str, task: str, found: str) -> None:
        super().__init__(
            f"the versions of {model!r} are for {task}, these files are for {found}: register another model"
        )


class InUse(PlatformError, status=409, code="model_in_use"):
    """Something still needs the version."""

    def __init__(self, *, reference: str, reason: str, remedy: str) -> None:
        super().__init__(f"{reference} cannot be removed: {reason}; {remedy}")


class NotTheOwner(PlatformError, status=403, code="not_the_owner", param="model"):
    """Somebody wants to change a model that they may see and that is not theirs."""

    def __init__(self, *, model: str) -> None:
        super().__init__(f"the model {model!r} is not yours: its owner and the operator alone may do that")


class NoFiles(PlatformError, status=404, code="file_not_found", param="model"):
    """A version has no files of its own that could be taken away."""

    def __init__(self, *, reference: str) -> None:
        super().__init__(f"{reference} is served by another provider: there are no files of it here")


class RegistryFull(PlatformError, status=409, code="quota_exceeded"):
    """A bound of the registry is reached. `bound` says of what."""

    def __init__(self, *, bound: str, limit: int) -> None:
        super().__init__(f"{bound}: at most {limit}")


class DiskFull(PlatformError, status=507, code="no_space"):
    """There is not enough room for a model. Units: bytes."""

    def __init__(self, *, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(f"not enough disk space: {needed_bytes} bytes are needed, {available_bytes} are available")
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class SourceUnusable(PlatformError, status=400, code="source_unusable", param="source"):
    """What was named as a model's source cannot be read."""

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.reason = reason


class SignatureRefused(PlatformError, status=403, code="signature_refused"):
    """The signature is missing or wrong, and the policy asks for a good one."""

    def __init__(self, *, model: str, reason: str) -> None:
        super().__init__(f"the signature of {model} is refused: {reason}")


class FolderBroken(PlatformError):
    """The registry's own folder is not what it should be."""

    def __init__(self, *, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class UploadUnknown(PlatformError, status=404, code="upload_not_found"):
    """There is no such upload of the caller's: never begun, finished, given up or expired."""

    def __init__(self, *, upload: str) -> None:
        super().__init__(f"there is no upload {upload[:64]!r}: it is finished, given up, expired, or not yours")


class UploadRefused(PlatformError, status=400, code="upload_refused"):
    """An upload, or a part of one, is not what was announced. `file` names the file at fault, where there is one."""

    def __init__(self, *, file: str | None, reason: str) -> None:
        super().__init__(reason if file is None else f"{file}: {reason}")


class UploadIncomplete(PlatformError, status=409, code="upload_incomplete"):
    """Parts are missing."""

    def __init__(self, *, upload: str, missing: int) -> None:
        super().__init__(f"{missing} parts of the upload {upload} are missing")


class ContentDiffers(PlatformError, status=409, code="content_differs"):
    """A file is not the one that was announced by its digest."""

    def __init__(self, *, file: str, expected: bytes, found: bytes | None) -> None:
        what = "its size differs" if found is None else f"its SHA-256 is {found.hex()}, announced was {expected.hex()}"
        super().__init__(f"{file}: {what}; send it again")
        self.file = file
