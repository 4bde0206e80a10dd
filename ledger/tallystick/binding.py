"""What ties a record, a receipt and an admission to what crossed the wire: the request hash and the response hash.

Both are salted, so that nobody can guess a short text from its hash. The client gets the request's salt with its admission, and the
response's follows from the record's secret; so the client, and whoever opens the record, can recompute both.
"""

from __future__ import annotations

from typing import Final

from tallystick.encoding import encode_outcome, outcome_of_fields
from tallystick.hashing import keccak256
from tallystick.ids import HASH_BYTES
from tallystick.record import REQUEST_SALT_BYTES, HttpExchange, Output, RecordFault, Request

NO_REQUEST_HASH: Final = bytes(HASH_BYTES)
"""Stands where a record has no request."""

_REQUEST_PREFIX: Final = b"\x02"
_RESPONSE_PREFIX: Final = b"\x03"


def request_digest(method: str, target: str, content_type: str | None, body: bytes) -> bytes:
    """The digest of a request as it was received.

    Requires: `target` is path and query without credentials; `body` has its content coding removed.
    Source: SPEC 7.
    """
    parts = (method.encode(), target.encode(), (content_type or "").encode(), body)
    return keccak256(b"".join(map(keccak256, parts)))


def request_hash(salt: bytes, digest: bytes) -> bytes:
    """What a receipt and an admission say about the request.

    Requires: a salt of 16 bytes and a digest of 32.
    Source: SPEC 7.
    """
    if len(salt) != REQUEST_SALT_BYTES or len(digest) != HASH_BYTES:
        raise ValueError(f"a request's salt has {REQUEST_SALT_BYTES} bytes, its digest {HASH_BYTES}")
    return keccak256(_REQUEST_PREFIX + salt + digest)


def record_request_hash(http: HttpExchange, request: Request | None) -> bytes:
    """The request hash that follows from a record. Source: SPEC 7."""
    if request is None:
        return NO_REQUEST_HASH
    digest = request_digest(http.method, request.target, request.content_type, request.body)
    return request_hash(request.salt, digest)


def response_digest(error: RecordFault | None, outputs: tuple[Output, ...]) -> bytes:
    """The digest of an outcome, all outputs inline.

    Raises: RecordError for an output that no record can hold.
    Source: SPEC 7.
    """
    return keccak256(encode_outcome(error, outputs))


def response_digest_of_fields(error_field: bytes, response_field: bytes) -> bytes:
    """`response_digest` from the two encoded fields of a record whose response is inline or null."""
    return keccak256(outcome_of_fields(error_field, response_field))


def response_hash(salt: bytes, digest: bytes) -> bytes:
    """What a receipt says about the outcome.

    Requires: `salt` is that of the record's field `response`; it and the digest have 32 bytes.
    Source: SPEC 7.
    """
    if len(salt) != HASH_BYTES or len(digest) != HASH_BYTES:
        raise ValueError(f"a response's salt and digest have {HASH_BYTES} bytes each")
    return keccak256(_RESPONSE_PREFIX + salt + digest)
