"""The shape of a record as one table: every field, its type and its bound."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from tallystick.errors import RecordError
from tallystick.ids import ADDRESS_BYTES, is_record_id
from tallystick.record import bounds
from tallystick.record import fields as f
from tallystick.record.checks import (
    Check,
    byte_string,
    check_scalar,
    check_value,
    group,
    hash32,
    integer,
    one_of,
    optional,
    text,
    utf8_length,
)


def validate(record: f.Record) -> None:
    """Check every field's type and bound.

    Raises: RecordError, which names the field.
    Source: SPEC 1.
    """
    if type(record) is not f.Record:
        raise RecordError("record", "is not a record")
    for check, value in zip(_RECORD_CHECKS, _RECORD_VALUES(record), strict=True):
        check(value)


def _or_blob(path: str, check: Check) -> Check:
    blob = group(
        path,
        f.BlobRef,
        digest=hash32(f"{path}.blob.digest"),
        length=integer(f"{path}.blob.length", bounds.MAX_INLINE_BYTES + 1, bounds.MAX_BLOB_BYTES),
        sealed_digest=hash32(f"{path}.blob.sealed_digest"),
    )

    def check_either(value: object) -> None:
        (blob if type(value) is f.BlobRef else check)(value)

    return check_either


def _record_id(value: object) -> None:
    if type(value) is not bytes or not is_record_id(value):
        raise RecordError("id", "is not the 16 bytes of a UUIDv7")


def _state(value: object) -> None:
    if type(value) is not f.State:
        raise RecordError("state", f"is not one of {', '.join(f.State)}")


def _flag(value: object) -> None:
    if type(value) is not bool:
        raise RecordError("http.streamed", "is not true or false")


def _parameters(value: object) -> None:
    if type(value) is not dict:
        raise RecordError("parameters", "is not a map")
    if len(value) > bounds.MAX_PARAMETERS:
        raise RecordError("parameters", f"has {len(value)} entries, more than {bounds.MAX_PARAMETERS}")
    for key, item in value.items():
        path = f"parameters.{key}"
        _parameter_name(key)
        for element in item if type(item) is list or type(item) is tuple else (item,):
            if type(element) is str:
                utf8_length(element, path)
            elif type(element) is bytes:
                raise RecordError(path, "holds bytes")
            else:
                check_scalar(element, path)


def _prompt(value: object) -> None:
    if type(value) is not dict:
        raise RecordError("prompt", "is not a map")
    if "blob" in value:
        raise RecordError("prompt", "has the key blob, which stands for a blob reference")
    check_value(value, "prompt")


def _choices(value: object) -> None:
    if type(value) is not tuple:
        raise RecordError("response.choices", "is not a tuple")
    if len(value) > bounds.MAX_CHOICES:
        raise RecordError("response.choices", f"has {len(value)} entries, more than {bounds.MAX_CHOICES}")
    for choice in value:
        _choice(choice)


_parameter_name = text("parameters", bounds.MAX_NAME_BYTES)

_choice = group(
    "response.choices",
    f.Choice,
    index=integer("response.choices.index", 0, bounds.MAX_CHOICES - 1),
    text=text("response.choices.text", None, min_bytes=0),
    finish_reason=optional(text("response.choices.finish_reason")),
)

_CHECKS: Final[dict[str, Check]] = {
    "id": _record_id,
    "admission_seq": integer("admission_seq", 1),
    "sender_seq": integer("sender_seq", 1),
    "task": text("task"),
    "state": _state,
    "error": optional(
        group(
            "error",
            f.RecordFault,
            code=text("error.code"),
            message=text("error.message", bounds.MAX_ERROR_MESSAGE_BYTES, min_bytes=0),
        )
    ),
    "time": group(
        "time",
        f.RecordTime,
        admitted_at=integer("time.admitted_at"),
        started_at=optional(integer("time.started_at")),
        finished_at=integer("time.finished_at"),
    ),
    "http": group(
        "http",
        f.HttpExchange,
        method=text("http.method"),
        path=text("http.path", bounds.MAX_PATH_BYTES),
        request_hash=hash32("http.request_hash"),
        response_hash=optional(hash32("http.response_hash")),
        streamed=_flag,
    ),
    "gpu": optional(
        group(
            "gpu",
            f.Gpu,
            kind=one_of("gpu.kind", "gpu", "cpu"),
            name=text("gpu.name"),
            uuid=optional(text("gpu.uuid")),
            count=integer("gpu.count", 1, bounds.MAX_GPU_COUNT),
            memory_bytes=integer("gpu.memory_bytes"),
            driver=optional(text("gpu.driver")),
        )
    ),
    "provider": optional(
        group(
            "provider",
            f.Provider,
            id=text("provider.id"),
            name=text("provider.name"),
            address=byte_string("provider.address", ADDRESS_BYTES, ADDRESS_BYTES),
        )
    ),
    "price": optional(
        group(
            "price",
            f.Price,
            per_hour_micros=integer("price.per_hour_micros", 0, bounds.MAX_PER_HOUR_MICROS),
            currency=text("price.currency"),
            device_time_us=integer("price.device_time_us", 0, bounds.MAX_DEVICE_TIME_US),
            charge_micros=integer("price.charge_micros"),
        )
    ),
    "model": optional(
        group(
            "model",
            f.Model,
            id=text("model.id"),
            version=text("model.version"),
            weights_digest=hash32("model.weights_digest"),
            engine=text("model.engine"),
            engine_version=text("model.engine_version"),
            dtype=text("model.dtype"),
            quantisation=optional(text("model.quantisation")),
            device=text("model.device"),
        )
    ),
    "parameters": _parameters,
    "prompt": optional(_or_blob("prompt", _prompt)),
    "instructions": optional(
        _or_blob(
            "instructions",
            group(
                "instructions",
                f.Instructions,
                system=optional(text("instructions.system", None, min_bytes=0)),
                chat_template=optional(text("instructions.chat_template", None, min_bytes=0)),
                chat_template_digest=optional(hash32("instructions.chat_template_digest")),
            ),
        )
    ),
    "response": optional(_or_blob("response", group("response", f.Response, choices=_choices))),
    "usage": optional(
        group(
            "usage",
            f.Usage,
            input_tokens=integer("usage.input_tokens"),
            output_tokens=integer("usage.output_tokens"),
        )
    ),
    "sender": group(
        "sender",
        f.Sender,
        address=byte_string("sender.address", ADDRESS_BYTES, ADDRESS_BYTES),
        proof=one_of("sender.proof", "token", "signature"),
        token_id=optional(text("sender.token_id")),
        signature=optional(byte_string("sender.signature", 1, bounds.MAX_SIGNATURE_BYTES)),
    ),
    "proof_of_compute": optional(
        group(
            "proof_of_compute",
            f.ProofOfCompute,
            class_=one_of("proof_of_compute.class", "reproducible", "statistical", "none"),
            toploc=optional(byte_string("proof_of_compute.toploc", 1, bounds.MAX_TOPLOC_BYTES)),
        )
    ),
}

_RECORD_CHECKS: Final = tuple(_CHECKS.values())
_RECORD_VALUES: Final = attrgetter(*_CHECKS)
