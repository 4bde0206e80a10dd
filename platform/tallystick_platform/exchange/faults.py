"""Why an admitted request did not complete, as the record says it."""

from __future__ import annotations

from tallystick.ids import RecordId, format_record_id
from tallystick.record import MAX_ERROR_MESSAGE_BYTES, RecordFault, State, clip_text
from tallystick_platform import errors as platform
from tallystick_platform.store.entries import Ticket


class AnswerWithheld(platform.PlatformError, status=503, code="answer_withheld"):
    """The answer was computed, and its record could not be made durable: nothing more of it is released.

    `ticket` is the admission, which the client may be shown; None where admission and record were one.
    """

    def __init__(self, *, record_id: RecordId, reason: str, retry_after_s: int | None, ticket: Ticket | None) -> None:
        super().__init__(
            f"the answer is withheld because its record {format_record_id(record_id)} could not be stored: {reason}"
        )
        self.record_id = record_id
        self.retry_after_s = retry_after_s
        self.ticket = ticket


class ServerStopped(platform.PlatformError, status=503, code="server_stopped"):
    """The server ended before the answer was whole."""

    def __init__(self) -> None:
        super().__init__("the server stopped before the answer was whole")


class Cancelled(platform.PlatformError, status=409, code="cancelled", says="the sender cancelled it"):
    """The sender asked for the work to be given up."""


class WorkFailed(platform.PlatformError, status=500, code="work_failed"):
    """Admitted work ended without success and says itself what the record is to hold; nothing secret goes in."""

    def __init__(self, *, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClientLeft(platform.PlatformError, status=499, code="client_disconnected"):
    """The client closed the connection before the answer was whole."""

    def __init__(self) -> None:
        super().__init__("the client closed the connection")


_STATES = {ClientLeft: State.CANCELLED, Cancelled: State.CANCELLED, platform.RequestTimedOut: State.TIMED_OUT}


def state_of(failure: BaseException | None) -> State:
    """The terminal state that a failure leads to; none is a completed request."""
    return State.COMPLETED if failure is None else _STATES.get(type(failure), State.FAILED)


def fault_of(failure: BaseException | None) -> RecordFault | None:
    """The record's `error`. The text of an error that nobody raised on purpose stays out: it may quote anything."""
    if failure is None:
        return None
    if isinstance(failure, platform.PlatformError) and failure.shown is not None:
        return RecordFault(code=failure.code, message=clip_text(failure.shown, MAX_ERROR_MESSAGE_BYTES))
    return RecordFault(code=platform.INTERNAL_CODE, message="the server failed while it computed the answer")
