"""What an error answers over HTTP, in the shape that OpenAI's clients expect: the error's own class says the status and the code.

An error that was not raised to be shown is a defect of the server: 500, and nothing of its text leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from litestar.exceptions import HTTPException
from msgspec import Struct

from tallystick_platform.api.refusals import RangeRefused
from tallystick_platform.errors import INTERNAL_CODE, PlatformError
from tallystick_platform.exchange.faults import fault_of

MAX_MESSAGE_CHARS = 400
RETRY_AFTER_S = 5  # where the error itself does not know better
INTERNAL_MESSAGE = "The server failed to process the request. Quote the request id when you report this."
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ErrorBody(Struct, frozen=True, kw_only=True):
    """What went wrong, as OpenAI's clients read it: `code` says which error it is, `param` which part of the request is at fault."""

    message: str
    type: str
    param: str | None
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """One error, ready to be sent. `total_bytes`: of the file of which a part was asked for that there is not. `allow`: the methods
    that the address takes. Units: seconds, bytes."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: int | None = None
    total_bytes: int | None = None
    allow: str | None = None

    def body(self) -> ErrorBody:
        """The error object of the answer's body."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return ErrorBody(message=self.message, type=kind, param=self.param, code=self.code)

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


INTERNAL = ErrorAnswer(status=500, code=INTERNAL_CODE, message=INTERNAL_MESSAGE)


def describe_recorded(failure: BaseException) -> ErrorAnswer:
    """How a failure is answered that its record holds: in the record's own words, since the receipt's hash covers them."""
    answer, fault = describe(failure), fault_of(failure)
    return answer if fault is None else replace(answer, code=fault.code, message=fault.message)


def describe(error: BaseException) -> ErrorAnswer:
    """How an error is answered; never its traceback, and its text only where the error was raised to be shown."""
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if not isinstance(error, PlatformError) or error.shown is None:
        return INTERNAL
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status in {429, 503}:
        retry_after_s = RETRY_AFTER_S
    return ErrorAnswer(
        status=error.status,
        code=error.code,
        message=_bounded(error.shown),
        param=error.param,
        retry_after_s=retry_after_s,
        total_bytes=error.total_bytes if isinstance(error, RangeRefused) else None,
    )


def _of_framework(error: HTTPException) -> ErrorAnswer:
    """What the router refused: an unknown path, a wrong method, a malformed query."""
    if error.status_code >= 500:
        return INTERNAL
    code, message = {
        404: ("not_found", "There is nothing at this address."),
        405: ("method_not_allowed", "This address does not take this method."),
        413: ("body_too_large", "The body is too large."),
    }.get(error.status_code, ("bad_request", f"The request is malformed: {error.detail}"))
    allow = (error.headers or {}).get("allow")
    return ErrorAnswer(status=error.status_code, code=code, message=_bounded(message), allow=allow)


def _bounded(message: str) -> str:
    message = message.encode("utf-8", "replace").decode()
    return message if len(message) <= MAX_MESSAGE_CHARS else message[:MAX_MESSAGE_CHARS] + "..."
