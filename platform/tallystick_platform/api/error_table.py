"""The one place where an error becomes an HTTP status, in the shape that OpenAI's clients expect.

Rows are looked up along the error's class hierarchy, so a subclass without a row of its own answers like its parent.
An error without any row is a defect of the server: 500, and nothing of its text leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from litestar.exceptions import HTTPException

from tallystick_platform import errors as platform
from tallystick_platform import jobs
from tallystick_platform.api import refusals
from tallystick_platform.exchange.faults import (
    AnswerWithheld,
    Cancelled,
    ClientLeft,
    ServerStopped,
    WorkFailed,
    fault_of,
)
from tallystick_platform.formats import errors as formats
from tallystick_platform.registry import errors as registry

INVALID_REQUEST = "invalid_request_error"
AUTHENTICATION = "authentication_error"
PERMISSION = "permission_error"
RATE_LIMIT = "rate_limit_error"
SERVER = "server_error"

MAX_MESSAGE_CHARS = 400
INTERNAL_MESSAGE = "The server failed to process the request. Quote the request id when you report this."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How one kind of error is answered."""

    status: int
    type: str
    code: str
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """One error, ready to be sent. `total_bytes`: of the file of which a part was asked for that there is not. `allow`: the methods
    that the address takes. Units: seconds, bytes."""

    status: int
    type: str
    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    total_bytes: int | None = None
    allow: str | None = None

    def body(self) -> dict[str, object]:
        """The error object of the answer's body."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it."""
        found: list[tuple[bytes, bytes]] = []
        if self.retry_after_s is not None:
            found.append((b"retry-after", str(self.retry_after_s).encode()))
        if self.total_bytes is not None:
            found.append((b"content-range", f"bytes */{self.total_bytes}".encode()))
        if self.allow is not None:
            found.append((b"allow", self.allow.encode()))
        if self.status == 415:
            found.append((b"accept-encoding", b"gzip"))
        if self.status == 401:
            found.append((b"www-authenticate", b"Bearer"))
        return found


TABLE: Mapping[type[BaseException], Row] = {
    refusals.BadRequest: Row(status=400, type=INVALID_REQUEST, code="bad_request"),
    refusals.BodyTooLarge: Row(status=413, type=INVALID_REQUEST, code="body_too_large"),
    refusals.HeadTooLarge: Row(status=431, type=INVALID_REQUEST, code="head_too_large"),
    refusals.CodingNotTaken: Row(status=415, type=INVALID_REQUEST, code="unsupported_encoding"),
    refusals.TargetTooLong: Row(status=414, type=INVALID_REQUEST, code="target_too_long"),
    refusals.TooSlow: Row(status=408, type=INVALID_REQUEST, code="too_slow"),
    refusals.NothingHere: Row(status=404, type=INVALID_REQUEST, code="not_found"),
    refusals.SenderMismatch: Row(status=403, type=PERMISSION, code="sender_mismatch", param="X-Sender-Address"),
    refusals.RangeRefused: Row(status=416, type=INVALID_REQUEST, code="range_not_satisfiable", param="Range"),
    refusals.OtherContent: Row(status=412, type=INVALID_REQUEST, code="other_content", param="If-Match"),
    refusals.ClientGone: Row(status=400, type=INVALID_REQUEST, code="client_gone"),
    platform.AuthenticationError: Row(status=401, type=AUTHENTICATION, code="invalid_api_key"),
    platform.CredentialMissing: Row(status=401, type=AUTHENTICATION, code="missing_api_key"),
    platform.TokenExpired: Row(status=401, type=AUTHENTICATION, code="expired_api_key"),
    platform.TokenRevoked: Row(status=401, type=AUTHENTICATION, code="revoked_api_key"),
    platform.UnknownModel: Row(status=404, type=INVALID_REQUEST, code="model_not_found", param="model"),
    platform.PromptTooLong: Row(status=400, type=INVALID_REQUEST, code="context_length_exceeded", param="messages"),
    platform.PromptRejected: Row(status=400, type=INVALID_REQUEST, code="prompt_rejected", param="messages"),
    platform.QueueFull: Row(status=429, type=RATE_LIMIT, code="queue_full"),
    platform.Overloaded: Row(status=429, type=RATE_LIMIT, code="overloaded"),
    platform.Backlogged: Row(status=503, type=SERVER, code="backlogged"),
    platform.TokenBusy: Row(status=429, type=RATE_LIMIT, code="too_many_requests"),
    platform.Draining: Row(status=503, type=SERVER, code="draining"),
    platform.NoProvider: Row(status=503, type=SERVER, code="no_provider"),
    platform.NotServable: Row(status=400, type=INVALID_REQUEST, code="model_not_servable", param="model"),
    platform.TaskNotServed: Row(status=400, type=INVALID_REQUEST, code="task_not_served", param="model"),
    platform.ModelTooLarge: Row(status=400, type=INVALID_REQUEST, code="model_too_large", param="model"),
    platform.NoRoomForModel: Row(status=503, type=SERVER, code="no_room_for_model", param="model"),
    platform.ModelLoadFailed: Row(status=503, type=SERVER, code="model_load_failed", param="model"),
    platform.ModelBusy: Row(status=409, type=INVALID_REQUEST, code="model_busy", param="model"),
    platform.ModelPinned: Row(status=409, type=INVALID_REQUEST, code="model_pinned", param="model"),
    platform.AdmissionClosed: Row(status=503, type=SERVER, code="admission_closed"),
    platform.RequestUnrecordable: Row(status=400, type=INVALID_REQUEST, code="unrecordable_request"),
    platform.JournalUnavailable: Row(status=503, type=SERVER, code="journal_unavailable"),
    platform.JournalClosed: Row(status=503, type=SERVER, code="journal_unavailable"),
    platform.ParameterOutOfRange: Row(status=400, type=INVALID_REQUEST, code="invalid_value"),
    ServerStopped: Row(status=503, type=SERVER, code="server_stopped"),
    ClientLeft: Row(status=499, type=INVALID_REQUEST, code="client_disconnected"),  # nobody is there to read it
    AnswerWithheld: Row(status=503, type=SERVER, code="answer_withheld"),
    WorkFailed: Row(status=500, type=SERVER, code="work_failed"),
    Cancelled: Row(status=409, type=INVALID_REQUEST, code="cancelled"),
    jobs.UnknownExport: Row(status=404, type=INVALID_REQUEST, code="export_not_found"),
    jobs.UnknownFile: Row(status=404, type=INVALID_REQUEST, code="file_not_found"),
    jobs.ExportNotFinished: Row(status=409, type=INVALID_REQUEST, code="export_not_finished"),
    jobs.ExportBusy: Row(status=409, type=INVALID_REQUEST, code="export_busy"),
    jobs.TooManyExports: Row(status=409, type=INVALID_REQUEST, code="too_many_exports"),
    jobs.ExportUnsupported: Row(status=400, type=INVALID_REQUEST, code="export_unsupported"),
    registry.BadReference: Row(status=400, type=INVALID_REQUEST, code="invalid_model_id", param="model"),
    registry.VersionExists: Row(status=409, type=INVALID_REQUEST, code="version_exists"),
    registry.ModelTaken: Row(status=409, type=INVALID_REQUEST, code="model_taken", param="model"),
    registry.TaskDiffers: Row(status=409, type=INVALID_REQUEST, code="task_differs"),
    registry.InUse: Row(status=409, type=INVALID_REQUEST, code="model_in_use"),
    registry.RegistryFull: Row(status=409, type=INVALID_REQUEST, code="quota_exceeded"),
    registry.DiskFull: Row(status=507, type=SERVER, code="no_space"),
    registry.SourceUnusable: Row(status=400, type=INVALID_REQUEST, code="source_unusable", param="source"),
    registry.SignatureRefused: Row(status=403, type=PERMISSION, code="signature_refused"),
    registry.UploadUnknown: Row(status=404, type=INVALID_REQUEST, code="upload_not_found"),
    registry.UploadRefused: Row(status=400, type=INVALID_REQUEST, code="upload_refused"),
    registry.UploadIncomplete: Row(status=409, type=INVALID_REQUEST, code="upload_incomplete"),
    registry.ContentDiffers: Row(status=409, type=INVALID_REQUEST, code="content_differs"),
    formats.FormatError: Row(status=400, type=INVALID_REQUEST, code="model_refused"),
    formats.UnsafeModel: Row(status=400, type=INVALID_REQUEST, code="model_unsafe"),
    formats.UnsafeArchive: Row(status=400, type=INVALID_REQUEST, code="archive_unsafe"),
    platform.RequestTimedOut: Row(status=504, type=SERVER, code="timed_out"),
    platform.WorkerDied: Row(status=503, type=SERVER, code="worker_died"),
    platform.EngineFailed: Row(status=500, type=SERVER, code="engine_failed"),
}


def describe_recorded(failure: BaseException) -> ErrorAnswer:
    """How a failure is answered that its record holds: in the record's own words, since the receipt's hash covers them."""
    answer, fault = describe(failure), fault_of(failure)
    return answer if fault is None else replace(answer, code=fault.code, message=fault.message)


RETRY_AFTER_S = 5  # where the error itself does not know better
_INTERNAL = Row(status=500, type=SERVER, code="internal_error")


def describe(error: BaseException) -> ErrorAnswer:
    """How an error is answered; never its traceback, and its text only where the error was raised to be shown."""
    if isinstance(error, HTTPException):
        return _of_framework(error)
    for kind in type(error).__mro__:
        row = TABLE.get(kind)
        if row is not None:
            break
    else:
        return ErrorAnswer(status=500, type=SERVER, code=_INTERNAL.code, message=INTERNAL_MESSAGE)
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is None and row.status in {429, 503}:
        retry_after_s = RETRY_AFTER_S
    return ErrorAnswer(
        status=row.status,
        type=row.type,
        code=getattr(error, "code", row.code),
        message=_bounded(without_paths(str(error), getattr(error, "path", None))),
        param=getattr(error, "param", row.param),
        retry_after_s=retry_after_s,
        total_bytes=getattr(error, "total_bytes", None),
    )


def _of_framework(error: HTTPException) -> ErrorAnswer:
    """What the router refused: an unknown path, a wrong method, a malformed query."""
    if error.status_code >= 500:
        return ErrorAnswer(status=500, type=SERVER, code=_INTERNAL.code, message=INTERNAL_MESSAGE)
    code, message = {
        404: ("not_found", "There is nothing at this address."),
        405: ("method_not_allowed", "This address does not take this method."),
        413: ("body_too_large", "The body is too large."),
    }.get(error.status_code, ("bad_request", f"The request is malformed: {error.detail}"))
    allow = (error.headers or {}).get("allow")
    return ErrorAnswer(
        status=error.status_code, type=INVALID_REQUEST, code=code, message=_bounded(message), allow=allow
    )


_ABSOLUTE = re.compile(r"(?<![\w:/.{}\[\]-])/(?!v1/|schema\b)(?:[^/\s'\"`:,;()]+/)+([^/\s'\"`:,;()]*)")


def without_paths(message: str, path: object = None) -> str:
    """A message without the server's folders: of a path only its last part is left. `path` is one that the message may hold."""
    if isinstance(path, Path) and path.is_absolute():
        message = message.replace(str(path), path.name)
    return _ABSOLUTE.sub(r"\1", message)


def _bounded(message: str) -> str:
    message = message.encode("utf-8", "replace").decode()
    return message if len(message) <= MAX_MESSAGE_CHARS else message[:MAX_MESSAGE_CHARS] + "..."
