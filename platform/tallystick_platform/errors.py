"""Every error that the service raises on purpose, as types with fields.

One root, `PlatformError`. A class says how it is answered and recorded, in the line that begins it; each message is built here and is
fit to be shown to whoever caused the error; nothing secret goes in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

INTERNAL_CODE = "internal_error"
_ABSOLUTE_PATH = re.compile(r"(?<![\w:/.{}\[\]-])/(?!v1/|schema\b)(?:[^/\s'\"`:,;()]+/)+([^/\s'\"`:,;()]*)")


class PlatformError(Exception):
    """Root of everything that the service raises on purpose.

    `status` is the HTTP status, `code` the kind of error for programs, in answers and in records, `param` the part of the request at
    fault, `says` the message of a class that always says the same. A class inherits what it does not say. One that never gets a code is
    the server's own affair: it is answered as an internal error, without its text.
    """

    status: int = 500
    code: str = INTERNAL_CODE
    param: str | None = None
    says: str = ""
    retry_after_s: int | None = None

    def __init_subclass__(
        cls, *, status: int | None = None, code: str | None = None, param: str | None = None, says: str | None = None
    ) -> None:
        super().__init_subclass__()
        for name, said in (("status", status), ("code", code), ("param", param), ("says", says)):
            if said is not None:
                setattr(cls, name, said)

    def __init__(self, message: str | None = None) -> None:
        super().__init__(self.says if message is None else message)

    @property
    def shown(self) -> str | None:
        """The message as others may read it, with only the last part of each of the server's paths; None for what is internal."""
        if self.code == INTERNAL_CODE:
            return None
        path, message = getattr(self, "path", None), str(self)
        if isinstance(path, Path) and path.is_absolute():
            message = message.replace(str(path), path.name)
        return _ABSOLUTE_PATH.sub(r"\1", message)


def kind_of(error: BaseException) -> str:
    """What went wrong below, for our messages: never the text of a library's own error, which may quote anything. That is for the log."""
    if isinstance(error, PlatformError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return f"the library says {type(error).__name__}"


# -- settings and keys


class SettingsError(PlatformError):
    """A setting is missing, malformed or does not fit the others."""

    def __init__(self, *, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


class EpochKeyMissing(PlatformError):
    """The key of an epoch is gone, by design or by loss, and something still needs it."""

    def __init__(self, *, epoch: int) -> None:
        super().__init__(f"the key of epoch {epoch} is not held by this server any more")


class DraftUnreadable(PlatformError):
    """A stored draft does not open: its row was changed, or it was written under another key."""

    def __init__(self, *, admission_seq: int, reason: str) -> None:
        super().__init__(f"the draft of admission {admission_seq} does not open: {reason}")


# -- store


class StoreError(PlatformError):
    """The journal's database cannot be used."""

    def __init__(self, *, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class StoreLocked(StoreError):
    """Another process writes this journal."""

    def __init__(self, *, path: Path | str) -> None:
        super().__init__(path=path, reason="another process holds this journal; a journal has one writer")


class SchemaTooNew(StoreError):
    """The database was written by a newer version of the service."""

    def __init__(self, *, path: Path | str, found: str, known: str) -> None:
        super().__init__(
            path=path, reason=f"its schema is {found}, this version knows up to {known}; run the newer one"
        )
        self.found = found
        self.known = known


class SchemaTooOld(StoreError):
    """The database holds records of a format that this version does not read."""

    def __init__(self, *, path: Path | str) -> None:
        super().__init__(
            path=path,
            reason="it is the journal of format version 1, which was never released and is not read any more; start with another folder",
        )


class InventoryUnreadable(PlatformError):
    """The journal's inventory is missing or was changed: what the journal should hold is not known."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the journal's inventory cannot be used: {reason}; run `tallystick-server journal check`")
        self.reason = reason


class RowTampered(PlatformError):
    """A row's MAC does not fit its columns: something other than the service wrote it."""

    def __init__(self, *, table: str, row: int | str) -> None:
        super().__init__(f"row {row} of table {table} was changed by something other than this service")


class StateConflict(PlatformError):
    """A row is not in the state that an update requires."""

    def __init__(self, *, table: str, row: int | str, expected: str, found: str) -> None:
        super().__init__(f"{table} {row}: expected {expected}, found {found}")


class JournalUnavailable(PlatformError, status=503, code="journal_unavailable"):
    """The journal could not make a group durable (disk full, I/O error): nothing of it may be released."""

    def __init__(self, *, reason: str, retry_after_s: int = 5) -> None:
        super().__init__(f"the journal cannot store records at the moment: {reason}")
        self.retry_after_s = retry_after_s


class JournalClosed(PlatformError, status=503, code="journal_unavailable", says="the journal is closed"):
    """The journal does not take work: it was not started, or it was closed."""


class NotAdmitted(PlatformError):
    """A terminal record was offered that belongs to no open admission: never admitted, or already recorded."""

    def __init__(self, *, admission_seq: int) -> None:
        super().__init__(f"admission {admission_seq} is not open: it was never admitted here or already has its record")
        self.admission_seq = admission_seq


class CannotFollow(PlatformError):
    """A record was offered as the end of accepted work that it cannot end."""

    def __init__(self, *, record_id: bytes, reason: str) -> None:
        super().__init__(f"no record can follow {record_id.hex()}: {reason}")


# -- authentication


class AuthenticationError(PlatformError, status=401, code="invalid_api_key"):
    """The caller did not prove who they are."""


class CredentialMissing(AuthenticationError, status=401, code="missing_api_key"):
    """No credential was presented."""

    def __init__(self) -> None:
        super().__init__("no API token: send it as `Authorization: Bearer tsk_...`")


class CredentialMalformed(AuthenticationError):
    """What was presented cannot be a token."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the API token is malformed: {reason}")


class TokenUnknown(AuthenticationError, says="the API token is not known"):
    """The token is well formed and unknown."""


class TokenExpired(AuthenticationError, status=401, code="expired_api_key", says="the API token has expired"):
    """The token's time is over."""


class TokenRevoked(AuthenticationError, status=401, code="revoked_api_key", says="the API token has been revoked"):
    """The token was withdrawn."""


class NoSuchToken(PlatformError):
    """An operator named a token that does not exist."""

    def __init__(self, *, token_id: str) -> None:
        super().__init__(f"there is no token {token_id}")


# -- admission


class Overloaded(PlatformError, status=429, code="overloaded"):
    """A bound is reached; the same request may pass later."""

    def __init__(self, *, bound: str, limit: int, retry_after_s: int) -> None:
        super().__init__(f"too much at once: {bound} is at its bound of {limit}; try again in {retry_after_s} s")
        self.limit = limit
        self.retry_after_s = retry_after_s


class TokenBusy(Overloaded, status=429, code="too_many_requests"):
    """One token uses all the concurrency that it may."""


class Backlogged(Overloaded, status=503, code="backlogged"):
    """As many records wait for the chain as may: nothing new is taken until some stand on it."""


class Draining(PlatformError, status=503, code="draining"):
    """The server finishes what it has and takes nothing new."""

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__("the server is shutting down and takes no new requests")
        self.retry_after_s = retry_after_s


class AdmissionClosed(PlatformError, status=503, code="admission_closed"):
    """Nothing is admitted now: a record of it might contradict what the chain holds. `reason` is fit to be shown to any client."""

    def __init__(self, *, reason: str, retry_after_s: int) -> None:
        super().__init__(f"no request is admitted at the moment: {reason}")
        self.retry_after_s = retry_after_s


class RequestUnrecordable(PlatformError, status=400, code="unrecordable_request"):
    """A request that no record could hold as it was received."""

    def __init__(self, *, part: str, reason: str) -> None:
        super().__init__(f"the request's {part} {reason}")
        self.part = part


class RequestTimedOut(PlatformError, status=504, code="timed_out"):
    """A request used up its time."""

    def __init__(self, *, timeout_s: float) -> None:
        super().__init__(f"the request did not finish within {timeout_s:g} s")


# -- dispatch and engine


class UnknownModel(PlatformError, status=404, code="model_not_found", param="model"):
    """No provider ever registered a model of this name."""

    def __init__(self, *, model: str) -> None:
        super().__init__(f"the model {model!r} does not exist")
        self.model = model


class NoProvider(PlatformError, status=503, code="no_provider"):
    """The model is known and nobody serves it at the moment."""

    def __init__(self, *, model: str, retry_after_s: int = 5) -> None:
        super().__init__(f"no provider serves the model {model!r} at the moment")
        self.retry_after_s = retry_after_s


class QueueFull(PlatformError, status=429, code="queue_full"):
    """The worker has as many requests as it may hold."""

    def __init__(self, *, limit: int, retry_after_s: int = 1) -> None:
        super().__init__(f"the worker's queue is full ({limit} requests)")
        self.limit = limit
        self.retry_after_s = retry_after_s


class WorkerDied(PlatformError, status=503, code="worker_died"):
    """The worker process ended while it held the request."""

    def __init__(self, *, worker: str, reason: str) -> None:
        super().__init__(f"the worker {worker} ended while it computed the answer: {reason}")


class PromptTooLong(PlatformError, status=400, code="context_length_exceeded", param="messages"):
    """The prompt does not fit the model's context. Units: tokens."""

    def __init__(self, *, limit: int, found: int) -> None:
        super().__init__(f"the prompt has {found} tokens or more, and the model takes at most {limit}")
        self.limit = limit
        self.found = found


class PromptRejected(PlatformError, status=400, code="prompt_rejected", param="messages"):
    """The model's chat template does not take these messages."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelUnusable(PlatformError):
    """A model folder or file cannot be served."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the model cannot be served: {reason}")
        self.reason = reason


class EngineFailed(PlatformError, status=500, code="engine_failed"):
    """The engine could not compute an answer."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the model failed: {reason}")


# -- versions that are loaded on demand


class NotServable(PlatformError, status=400, code="model_not_servable", param="model"):
    """A registered version whose task or format no worker here computes."""

    def __init__(self, *, model: str, reason: str) -> None:
        super().__init__(f"the model {model!r} cannot be asked here: {reason}")


class ParameterOutOfRange(PlatformError, status=400, code="invalid_value"):
    """A parameter that is well formed and beyond what the chosen model takes."""

    def __init__(self, *, param: str, reason: str) -> None:
        super().__init__(f"'{param}' {reason}")
        self.param = param
        self.reason = reason


class TaskNotServed(PlatformError, status=400, code="task_not_served", param="model"):
    """A model is asked for something else than what it is for."""

    def __init__(self, *, model: str, task: str, tasks: Sequence[str]) -> None:
        super().__init__(f"the model {model!r} does not do {task}; what it does: {', '.join(tasks)}")
        self.task = task
        self.tasks = tasks


class ModelTooLarge(PlatformError, status=400, code="model_too_large", param="model"):
    """A version does not fit this machine's memory, with everything unloaded that may be. Units: bytes."""

    def __init__(self, *, model: str, needed_bytes: int, available_bytes: int) -> None:
        super().__init__(_no_room(model, needed_bytes, available_bytes) + "; it needs a machine with more of it")
        self.model = model
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes


class NoRoomForModel(PlatformError, status=503, code="no_room_for_model", param="model"):
    """A version does not fit beside the ones that are busy now; it may later. Units: bytes."""

    def __init__(self, *, model: str, needed_bytes: int, available_bytes: int, retry_after_s: int = 10) -> None:
        super().__init__(_no_room(model, needed_bytes, available_bytes) + " while other models are busy")
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        self.retry_after_s = retry_after_s


class ModelLoadFailed(PlatformError, status=503, code="model_load_failed", param="model"):
    """A version could not be loaded; its last worker's own words say why."""

    def __init__(self, *, model: str, reason: str, retry_after_s: int) -> None:
        super().__init__(f"the model {model!r} could not be loaded: {reason}")
        self.reason = reason
        self.retry_after_s = retry_after_s


class ModelBusy(PlatformError, status=409, code="model_busy", param="model"):
    """A version computes requests, so it is not unloaded."""

    def __init__(self, *, model: str, requests: int) -> None:
        super().__init__(f"the model {model!r} is computing {requests} requests: it is not unloaded under them")
        self.model = model


class ModelPinned(PlatformError, status=409, code="model_pinned", param="model"):
    """A version that is to stay loaded."""

    def __init__(self, *, model: str) -> None:
        super().__init__(f"the model {model!r} is pinned: it stays loaded")


def _no_room(model: str, needed_bytes: int, available_bytes: int) -> str:
    mib = 1_048_576
    return (
        f"the model {model!r} needs {-(-needed_bytes // mib)} MiB of memory ({needed_bytes} bytes)"
        f" and {available_bytes // mib} MiB ({available_bytes} bytes) can be had"
    )
