"""Checks 12 and 13: a record against the request and the answer that crossed the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from tallystick.binding import (
    record_request_hash,
    response_digest,
    response_digest_of_fields,
    response_hash,
)
from tallystick.errors import (
    EncodingError,
    OpenError,
    RecordError,
    RequestBindingError,
    RequestError,
    ResponseBindingError,
)
from tallystick.ids import to_hex
from tallystick.record import FIELD_NAMES, LARGE_FIELDS, BlobRef, Record
from tallystick.sealing import OpenedRecord, open_large_field, response_salt
from tallystick.tasks import READERS, disagreements, read
from tallystick.verify.tally import Tally
from tallystick.verify.verdict import Gap, Step

Blobs = Callable[[bytes], bytes | None]
"""Gives the bytes of a blob by the digest of its sealed form, None where it is not to be had."""

NO_REQUEST: Final = "without a request or a prompt: nothing was asked over the wire"
UNBOUND: Final = Gap(
    "that hold a prompt and no request, so that nothing ties what was asked to what was received",
    "only who sent the request can compare: the record's prompt is the operator's word",
)
NO_RECEIPT: Final = "no receipt was given to compare the response hash with"
BLOBS_REMEDY: Final = "give the folder that holds it: --blobs DIR (tallystick fetch brings it from the service)"
READER_REMEDY: Final = "a release of tallystick that knows this reader"
_ERROR: Final = FIELD_NAMES.index("error")
_RESPONSE: Final = FIELD_NAMES.index("response")


def without_blobs(_: bytes) -> bytes | None:
    """The source of whoever has no blobs."""
    return None


def fill_blobs(tally: Tally, where: str, opened: OpenedRecord, blobs: Blobs) -> OpenedRecord:
    """Put the content of each blob into its field; what nobody shows, or what is not what the record says, stays a reference."""
    filled: dict[str, Any] = {}
    for name in LARGE_FIELDS:
        ref = getattr(opened.record, name)
        if not isinstance(ref, BlobRef):
            continue
        step = Step.RESPONSE_BINDING if name == "response" else Step.REQUEST_BINDING
        shown = blobs(ref.sealed_digest)
        if shown is None:
            tally.block(step, Gap(f"whose {name} lies in the blob {to_hex(ref.sealed_digest)}, {where}", BLOBS_REMEDY))
            continue
        try:
            filled[name] = open_large_field(name, shown, ref, opened.secret)
        except (OpenError, EncodingError, RecordError) as error:
            kind = ResponseBindingError if name == "response" else RequestBindingError
            tally.fail(kind(f"{where}, blob of the {name}", "the content that the record names", str(error)))
    return replace(opened, record=replace(opened.record, **filled)) if filled else opened


def check_header(where: str, record: Record, admission_seq: int) -> None:
    """Check 12: the number in clear is the record's own.

    Raises: RequestBindingError.
    """
    if record.admission_seq != admission_seq:
        expected = f"the admission number {admission_seq} of its header"
        raise RequestBindingError(where, expected, f"{record.admission_seq} in the record")


def check_request(tally: Tally, where: str, record: Record) -> None:
    """Check 12: prompt, instructions and parameters are those that the request asks for, and the path is the request's.

    Blobs that nobody showed were named before.
    """
    request = record.request
    if isinstance(request, BlobRef) or isinstance(record.prompt, BlobRef) or isinstance(record.instructions, BlobRef):
        return
    if request is None:
        if record.prompt is None:
            tally.note(Step.REQUEST_BINDING, NO_REQUEST)
        else:
            tally.block(Step.REQUEST_BINDING, UNBOUND)
        return
    if request.reader not in READERS:
        gap = Gap(f"whose request is read by {request.reader!a:.80}, which this release does not know", READER_REMEDY)
        tally.block(Step.REQUEST_BINDING, gap)
        return
    if request.target.partition("?")[0] != record.http.path:
        path = request.target.partition("?")[0]
        tally.fail(
            RequestBindingError(f"{where}: http.path", f"{path!a:.200}, of the request", f"{record.http.path!a:.200}")
        )
        return
    try:
        reading = read(request.reader, record.http.method, request.target, request.content_type, request.body)
        found = disagreements(record, reading)
    except RequestError as error:
        tally.fail(RequestBindingError(where, f"a request that {request.reader} can read", str(error)))
        return
    for one in found:
        tally.fail(RequestBindingError(f"{where}: {one.what}", f"{one.expected}, as its request asks", one.found))
    if not found:
        tally.held[Step.REQUEST_BINDING] += 1


def request_hash_of(record: Record) -> bytes | None:
    """The request hash that follows from a record; None where its request lies in a blob that nobody showed."""
    request = record.request
    return None if isinstance(request, BlobRef) else record_request_hash(record.http, request)


def response_hash_of(opened: OpenedRecord) -> bytes | None:
    """The response hash that follows from an opened record; None where its response lies in a blob that nobody showed."""
    response = opened.record.response
    if isinstance(response, BlobRef):
        return None
    if is_inline(opened):
        digest = response_digest_of_fields(opened.fields[_ERROR], opened.fields[_RESPONSE])
    else:
        digest = response_digest(opened.record.error, () if response is None else response.outputs)
    return response_hash(response_salt(opened.secret), digest)


def is_inline(opened: OpenedRecord) -> bool:
    """Whether the response stands in the record's own bytes, and not in a blob."""
    return not opened.fields[_RESPONSE].startswith(_BLOB_FIELD)


_BLOB_FIELD: Final = b"hresponse\xa1dblob"
