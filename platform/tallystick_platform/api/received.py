"""What of an HTTP request goes into its record: all that its hash covers, and no credential (SPEC 7)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from litestar.types import HTTPScope

from tallystick.record import MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_TARGET_BYTES
from tallystick_platform.api.refusals import BadRequest, TargetTooLong
from tallystick_platform.exchange.request import HttpFacts

CREDENTIAL_NAMES = frozenset(
    (b"access_token", b"api-key", b"api_key", b"apikey", b"authorization", b"token", b"x-api-key")
)
"""Names of query parameters that are left out of a record: no token is taken from a query, and some clients put one there."""
TOKEN_PREFIX = b"tsk_"


def received(scope: HTTPScope, body: bytes, *, reader: str, streamed: bool) -> HttpFacts:
    """The request as it came. `body` is without its content coding; `reader` reads it again when the record is verified.

    Raises: TargetTooLong, BadRequest.
    """
    path, target = target_of(scope)
    return HttpFacts(
        method=scope["method"],
        path=path,
        target=target,
        content_type=content_type_of(scope),
        body=body,
        reader=reader,
        streamed=streamed,
    )


def target_of(scope: HTTPScope) -> tuple[str, str]:
    """Path, and path with query, as they stood on the wire, without what looks like a credential.

    Raises: TargetTooLong, BadRequest.
    """
    path, query = _ascii(scope["raw_path"]), _ascii(_without_credentials(scope["query_string"]))
    target = f"{path}?{query}" if query else path
    if len(path) > MAX_PATH_BYTES:
        raise TargetTooLong(what="path", limit_bytes=MAX_PATH_BYTES)
    if len(target) > MAX_TARGET_BYTES:
        raise TargetTooLong(what="path with its query", limit_bytes=MAX_TARGET_BYTES)
    return path, target


def content_type_of(scope: HTTPScope) -> str | None:
    """What Content-Type says; None where it says nothing. Raises: BadRequest."""
    found = [value.strip() for name, value in scope["headers"] if name == b"content-type"]
    if not found or found == [b""]:
        return None
    if len(found) > 1 or len(found[0]) > MAX_NAME_BYTES or not found[0].isascii():
        raise BadRequest(
            f"Content-Type must be one value of at most {MAX_NAME_BYTES} ASCII characters.", code="invalid_content_type"
        )
    return found[0].decode()


def _without_credentials(query: bytes) -> bytes:
    return b"&".join(part for part in query.split(b"&") if not _is_credential(part))


def _is_credential(part: bytes) -> bool:
    """Whether a part of a query looks like one: by its name, or by a token anywhere in it; percent-encoding hides neither."""
    plain = unquote_to_bytes(part.replace(b"+", b" "))
    name = plain.partition(b"=")[0].strip().lower()
    return name in CREDENTIAL_NAMES or TOKEN_PREFIX in plain


def _ascii(text: bytes) -> str:
    try:
        return text.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadRequest("The request's address must be percent-encoded.", code="invalid_http") from error
