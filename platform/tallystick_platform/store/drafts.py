"""The would-be record of an admission as bytes, for nobody but this service.

MessagePack rather than the record's canonical form: a draft is written for every request and read after a crash only, and this costs
a twentieth. It is not validated either; what becomes a record is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tallystick.binding import record_request_hash
from tallystick.errors import RecordError
from tallystick.ids import Address, RecordId
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
T = TypeVar("T")


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


def _record(data: dict[str, Any]) -> Record:
    response, provider, sender = data["response"], data["provider"], data["sender"]
    return Record(
        id=RecordId(data["id"]),
        admission_seq=data["admission_seq"],
        sender_seq=data["sender_seq"],
        task=data["task"],
        state=State(data["state"]),
        error=_part(RecordFault, data["error"]),
        time=RecordTime(**data["time"]),
        http=HttpExchange(**data["http"]),
        gpu=_part(Gpu, data["gpu"]),
        provider=_part(Provider, provider),
        price=_part(Price, data["price"]),
        model=_part(Model, data["model"]),
        parameters=data["parameters"],
        request=_part(Request, data["request"]),
        prompt=data["prompt"],
        instructions=_part(Instructions, data["instructions"]),
        response=None if response is None else Response(outputs=tuple(Output(**one) for one in response["outputs"])),
        usage=data["usage"],
        sender=Sender(
            **sender | {"address": Address(sender["address"]), "signature": _part(SenderSignature, sender["signature"])}
        ),
        follows=None if data["follows"] is None else RecordId(data["follows"]),
        proof_of_compute=_part(ProofOfCompute, data["proof_of_compute"]),
    )


def _part(kind: type[T], data: dict[str, Any] | None) -> T | None:
    return None if data is None else kind(**data)
