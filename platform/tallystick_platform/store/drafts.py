"""The would-be record of an admission as bytes, for nobody but this service.

MessagePack rather than the record's canonical form: a draft is written for every request and read after a crash only, and this costs
a twentieth. It is not validated either; what becomes a record is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallystick.binding import record_request_hash
from tallystick.errors import RecordError
from tallystick.record import (
    BlobRef,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Output,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Request,
    Response,
    Sender,
    SenderSignature,
    State,
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_draft(record: Record) -> bytes:
    """The draft's bytes.

    Raises: RecordError for a value that no record can hold.
    """
    try:
        return _encode(record)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RecordError("draft", str(error)) from error


def request_hash_of(record: Record) -> bytes:
    """What the admission of a would-be record says of its request.

    Raises: RecordError for one whose request is somewhere else already.
    """
    if isinstance(record.request, BlobRef):
        raise RecordError("request", "is a blob's reference; a request is admitted as it was received")
    return record_request_hash(record.http, record.request)


def decode_draft(data: bytes) -> Record:
    """The record that `encode_draft` was given.

    Raises: ValueError
    """
    try:
        return _record(_decode(data))
    except (TypeError, KeyError, AttributeError, msgspec.DecodeError) as error:
        raise ValueError(f"is not a draft: {error}") from error


_PARTS: Mapping[str, type] = {
    "error": RecordFault,
    "gpu": Gpu,
    "provider": Provider,
    "price": Price,
    "model": Model,
    "request": Request,
    "instructions": Instructions,
    "proof_of_compute": ProofOfCompute,
}
"""The fields that are null, or a part of a record."""


def _record(data: dict[str, Any]) -> Record:
    response, sender = data["response"], data["sender"]
    parts = {name: _part(kind, data[name]) for name, kind in _PARTS.items()}
    parts["response"] = (
        None if response is None else Response(outputs=tuple(Output(**one) for one in response["outputs"]))
    )
    parts["sender"] = Sender(**sender | {"signature": _part(SenderSignature, sender["signature"])})
    parts |= {"time": RecordTime(**data["time"]), "http": HttpExchange(**data["http"]), "state": State(data["state"])}
    return Record(**data | parts)


def _part(kind: type, data: dict[str, Any] | None) -> Any:
    return None if data is None else kind(**data)
