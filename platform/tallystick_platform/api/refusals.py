"""What the edge refuses by itself, before anything was admitted."""

from __future__ import annotations

from tallystick_platform.errors import AuthenticationError, PlatformError

MAX_QUOTED_CHARS = 64


def quoted(name: str) -> str:
    """A name from a request, fit to be quoted back in an answer."""
    shown = name if len(name) <= MAX_QUOTED_CHARS else name[:MAX_QUOTED_CHARS] + "..."
    return shown.encode("utf-8", "replace").decode()


class BadRequest(PlatformError, status=400, code="bad_request"):
    """The request cannot be read, or asks for what is not offered; `param` names the part at fault."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class BodyTooLarge(PlatformError, status=413, code="body_too_large"):
    """The body exceeds the bound; what lies beyond it was not read. Units: bytes, `announced` by Content-Length."""

    def __init__(self, *, limit_bytes: int, announced_bytes: int | None) -> None:
        super().__init__(f"The body is larger than {limit_bytes} bytes.")
        self.announced_bytes = announced_bytes


class HeadTooLarge(PlatformError, status=431, code="head_too_large"):
    """The request line and headers exceed the bound. Units: bytes."""

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The head of the request is larger than {limit_bytes} bytes.")


class TargetTooLong(PlatformError, status=414, code="target_too_long"):
    """The address is longer than a record can hold. Units: bytes."""

    def __init__(self, *, what: str, limit_bytes: int) -> None:
        super().__init__(f"The {what} is longer than {limit_bytes} bytes.")


class CodingNotTaken(PlatformError, status=415, code="unsupported_encoding"):
    """The body comes in a content coding that is not taken."""

    def __init__(self) -> None:
        super().__init__("The only Content-Encoding that is taken is gzip.")


class NotLoaded(PlatformError, status=503, code="model_not_loaded", param="model"):
    """What a model takes is known once a worker has loaded it."""

    def __init__(self, *, model: str) -> None:
        super().__init__(f"What {model} takes is known once a worker has loaded it: load it, or ask it once.")
        self.model = model


class PartEncoded(PlatformError, status=415, code="unsupported_encoding"):
    """A part of an upload comes in a content coding: its digest and size are those of its bytes."""

    def __init__(self) -> None:
        super().__init__("A part of an upload is sent as it is, without Content-Encoding.")


class TooSlow(PlatformError, status=408, code="too_slow"):
    """A part of the request did not arrive in its time. Units: seconds."""

    def __init__(self, *, what: str, limit_s: float) -> None:
        super().__init__(f"{what} did not arrive within {limit_s:g} s.")


class RangeRefused(PlatformError, status=416, code="range_not_satisfiable", param="Range"):
    """A range that is malformed, has several parts, or lies outside of the file. Units: bytes."""

    def __init__(self, *, total_bytes: int) -> None:
        super().__init__(f"One range of bytes can be asked for, within the {total_bytes} bytes that there are.")
        self.total_bytes = total_bytes


class OtherContent(PlatformError, status=412, code="other_content", param="If-Match"):
    """If-Match names other content than what lies here."""

    def __init__(self) -> None:
        super().__init__("If-Match names other content than this file's.")


class SenderMismatch(AuthenticationError, status=403, code="sender_mismatch", param="X-Sender-Address"):
    """X-Sender-Address names another address than the token's."""

    def __init__(self, *, stated: str) -> None:
        super().__init__(f"X-Sender-Address is {stated}, which is not the address that the API token is bound to")


class CredentialsConflict(AuthenticationError):
    """Two headers present two different tokens."""

    def __init__(self) -> None:
        super().__init__("The headers Authorization and x-api-key present different tokens; send one")


class ClientGone(PlatformError, status=400, code="client_gone"):
    """The client left before its request was read."""


class KeyOfAnother(PlatformError, status=422, code="idempotency_key_reused", param="Idempotency-Key"):
    """The key stands for another request."""

    def __init__(self) -> None:
        super().__init__(
            "Another request was sent under this Idempotency-Key. A key stands for one request: use a new one."
        )


class StillUnderWay(PlatformError, status=409, code="idempotency_key_in_use", param="Idempotency-Key"):
    """The first request under this key has not been answered yet."""

    retry_after_s = 2  # most answers take less

    def __init__(self) -> None:
        super().__init__("The first request under this Idempotency-Key is not answered yet: ask again in a moment.")


class AnswerTooLarge(PlatformError, status=409, code="answer_not_kept", param="Idempotency-Key"):
    """The answer was given once and was too large to be kept."""

    def __init__(self, *, record: str) -> None:
        super().__init__(f"The answer was too large to be kept and was given once; its record is {record}.")
