"""Why an admitted request did not complete, as the record says it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tallystick.ids import RecordId, format_record_id
from tallystick.record import MAX_ERROR_MESSAGE_BYTES, RecordFault, State, clip_text
from tallystick_platform import errors as platform
from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.store.entries import Ticket

INTERNAL_CODE = "internal_error"


class StopReason(StrEnum):
    """Who ended a request before its answer was whole."""

    CLIENT_GONE = "client_disconnected"
    TIMED_OUT = "timed_out"
    SERVER_STOPPED = "server_stopped"
    CANCELLED = "cancelled"


class AnswerWithheld(platform.PlatformError):
    """The answer was computed, and its record could not be made durable: nothing more of it is released.

    `ticket` is the admission, which the client may be shown; None where admission and record were one.
    """

    def __init__(self, *, record_id: RecordId, reason: str, retry_after_s: int, ticket: Ticket | None) -> None:
        super().__init__(
            f"the answer is withheld because its record {format_record_id(record_id)} could not be stored: {reason}"
        )
        self.record_id = record_id
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.ticket = ticket


class ServerStopped(platform.PlatformError):
    """The server ended before the answer was whole."""

    def __init__(self) -> None:
        super().__init__("the server stopped before the answer was whole")


class Cancelled(platform.PlatformError):
    """The sender asked for the work to be given up."""

    def __init__(self) -> None:
        super().__init__("the sender cancelled it")


class WorkFailed(platform.PlatformError):
    """Admitted work ended without success and says itself what the record is to hold; nothing secret goes in."""

    def __init__(self, *, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClientLeft(platform.PlatformError):
    """The client closed the connection before the answer was whole."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection")


CODES: Mapping[type[BaseException], str] = {
    platform.PromptTooLong: "context_length_exceeded",
    platform.PromptRejected: "prompt_rejected",
    platform.QueueFull: "queue_full",
    platform.NoProvider: "no_provider",
    platform.UnknownModel: "model_not_found",
    platform.WorkerDied: "worker_died",
    platform.EngineFailed: "engine_failed",
    platform.RequestTimedOut: StopReason.TIMED_OUT.value,
    platform.JournalUnavailable: "journal_unavailable",
    ClientLeft: StopReason.CLIENT_GONE.value,
    ServerStopped: StopReason.SERVER_STOPPED.value,
    Cancelled: StopReason.CANCELLED.value,
    DiskFull: "no_space",
}

_STATES = {ClientLeft: State.CANCELLED, Cancelled: State.CANCELLED, platform.RequestTimedOut: State.TIMED_OUT}


def state_of(failure: BaseException | None) -> State:
    """The terminal state that a failure leads to; none is a completed request."""
    return State.COMPLETED if failure is None else _STATES.get(type(failure), State.FAILED)


def fault_of(failure: BaseException | None) -> RecordFault | None:
    """The record's `error`. The text of an error that nobody raised on purpose stays out: it may quote anything."""
    if failure is None:
        return None
    code = failure.code if isinstance(failure, WorkFailed) else CODES.get(type(failure))
    if code is None:
        return RecordFault(code=INTERNAL_CODE, message="the server failed while it computed the answer")
    return RecordFault(code=code, message=clip_text(str(failure), MAX_ERROR_MESSAGE_BYTES))


def failure_of(reason: StopReason, timeout_s: float | None) -> platform.PlatformError:
    """What a request that was stopped ends with."""
    if reason is StopReason.CLIENT_GONE:
        return ClientLeft()
    if reason is StopReason.CANCELLED:
        return Cancelled()
    if reason is StopReason.TIMED_OUT:
        return platform.RequestTimedOut(timeout_s=timeout_s or 0)
    return ServerStopped()
