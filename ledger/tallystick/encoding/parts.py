"""Each field of a record, written: one function per structure, its keys in canonical order, its bounds beside them.

A key literal such as `b"jstarted_at"` is its CBOR encoding: `j` is the head of a text of ten bytes. A test holds every
structure equal to what a general encoder makes of it.
"""

from __future__ import annotations

from typing import Final

from tallystick import record as r
from tallystick.encoding.atoms import (
    ARRAY,
    BYTES,
    MAP,
    NULL,
    UNSIGNED,
    byte_string,
    expect,
    flag,
    hash32,
    head,
    integer,
    one_of,
    ordered_keys,
    scalar,
    text,
    text_or_null,
    words,
)
from tallystick.errors import RecordError
from tallystick.ids import ADDRESS_BYTES, RECORD_ID_BYTES, is_record_id

_STATES: Final = {state: encoded for state in r.State for encoded in words(state.value).values()}
_GPU_KINDS: Final = words("gpu", "cpu")
_PROOFS: Final = words("token", "signature")
_CLASSES: Final = words("reproducible", "statistical", "none")
_ID_HEAD: Final = b"bid" + head(BYTES, RECORD_ID_BYTES)
_FOLLOWS_HEAD: Final = b"gfollows" + head(BYTES, RECORD_ID_BYTES)
_BASES: Final = words(*r.PRICE_BASES)


def write_id(value: object) -> bytes:
    if type(value) is not bytes or not is_record_id(value):
        raise RecordError("id", "is not the 16 bytes of a UUIDv7")
    return _ID_HEAD + value


def write_gpu(gpu: r.Gpu | None) -> bytes:
    if gpu is None:
        return b"cgpu\xf6"
    expect(gpu, r.Gpu, "gpu")
    return (
        b"cgpu\xa6dkind"
        + one_of(gpu.kind, "gpu.kind", _GPU_KINDS)
        + b"dname"
        + text(gpu.name, "gpu.name")
        + b"duuid"
        + text_or_null(gpu.uuid, "gpu.uuid")
        + b"ecount"
        + integer(gpu.count, "gpu.count", 1, r.MAX_GPU_COUNT)
        + b"fdriver"
        + text_or_null(gpu.driver, "gpu.driver")
        + b"lmemory_bytes"
        + integer(gpu.memory_bytes, "gpu.memory_bytes")
    )


def write_http(http: r.HttpExchange) -> bytes:
    expect(http, r.HttpExchange, "http")
    return (
        b"dhttp\xa3dpath"
        + text(http.path, "http.path", r.MAX_PATH_BYTES)
        + b"fmethod"
        + text(http.method, "http.method")
        + b"hstreamed"
        + flag(http.streamed, "http.streamed")
    )


def write_task(task: object) -> bytes:
    return b"dtask" + text(task, "task")


def write_time(time: r.RecordTime, *, accepted: bool) -> bytes:
    expect(time, r.RecordTime, "time")
    if (time.due_by is not None) != accepted:
        raise RecordError("time.due_by", "stands in an accepted record, and in no other")
    if accepted and time.started_at is not None:
        raise RecordError("time.started_at", "is not null, as an accepted record needs it")
    return (
        b"dtime\xa4fdue_by"
        + (NULL if time.due_by is None else integer(time.due_by, "time.due_by"))
        + b"jstarted_at"
        + (NULL if time.started_at is None else integer(time.started_at, "time.started_at"))
        + b"kadmitted_at"
        + integer(time.admitted_at, "time.admitted_at")
        + b"kfinished_at"
        + integer(time.finished_at, "time.finished_at")
    )


def write_error(fault: r.RecordFault | None) -> bytes:
    if fault is None:
        return b"eerror\xf6"
    expect(fault, r.RecordFault, "error")
    return (
        b"eerror\xa2dcode"
        + text(fault.code, "error.code")
        + b"gmessage"
        + text(fault.message, "error.message", r.MAX_ERROR_MESSAGE_BYTES, 0)
    )


def write_model(model: r.Model | None) -> bytes:
    if model is None:
        return b"emodel\xf6"
    expect(model, r.Model, "model")
    return (
        b"emodel\xa8bid"
        + text(model.id, "model.id")
        + b"edtype"
        + text(model.dtype, "model.dtype")
        + b"fdevice"
        + text(model.device, "model.device")
        + b"fengine"
        + text(model.engine, "model.engine")
        + b"gversion"
        + text(model.version, "model.version")
        + b"lquantisation"
        + text_or_null(model.quantisation, "model.quantisation")
        + b"nengine_version"
        + text(model.engine_version, "model.engine_version")
        + b"nweights_digest"
        + hash32(model.weights_digest, "model.weights_digest")
    )


def write_price(price: r.Price | None) -> bytes:
    if price is None:
        return b"eprice\xf6"
    expect(price, r.Price, "price")
    basis = one_of(price.basis, "price.basis", _BASES)
    return (
        b"eprice\xa6ebasis"
        + basis
        + b"erates"
        + _rates(price.rates, price.basis)
        + b"hcurrency"
        + text(price.currency, "price.currency")
        + b"mcharge_micros"
        + integer(price.charge_micros, "price.charge_micros")
        + b"ndevice_time_us"
        + integer(price.device_time_us, "price.device_time_us", 0, r.MAX_DEVICE_TIME_US)
        + b"oper_hour_micros"
        + integer(price.per_hour_micros, "price.per_hour_micros", 0, r.MAX_PER_HOUR_MICROS)
    )


def write_state(state: object) -> bytes:
    encoded = _STATES.get(state) if type(state) is r.State else None
    if encoded is None:
        raise RecordError("state", f"is not one of {', '.join(r.State)}")
    return b"estate" + encoded


def write_usage(usage: object) -> bytes:
    return b"eusage\xf6" if usage is None else b"eusage" + _counts(usage, "usage", r.MAX_INTEGER)


def write_sender(sender: r.Sender) -> bytes:
    expect(sender, r.Sender, "sender")
    signature = sender.signature
    return (
        b"fsender\xa4eproof"
        + one_of(sender.proof, "sender.proof", _PROOFS)
        + b"gaddress"
        + byte_string(sender.address, "sender.address", ADDRESS_BYTES, ADDRESS_BYTES)
        + b"htoken_id"
        + text_or_null(sender.token_id, "sender.token_id")
        + b"isignature"
        + (NULL if signature is None else _sender_signature(signature))
    )


def write_follows(follows: object) -> bytes:
    if follows is None:
        return b"gfollows\xf6"
    if type(follows) is not bytes or not is_record_id(follows):
        raise RecordError("follows", "is not the 16 bytes of a UUIDv7")
    return _FOLLOWS_HEAD + follows


def write_provider(provider: r.Provider | None) -> bytes:
    if provider is None:
        return b"hprovider\xf6"
    expect(provider, r.Provider, "provider")
    return (
        b"hprovider\xa3bid"
        + text(provider.id, "provider.id")
        + b"dname"
        + text(provider.name, "provider.name")
        + b"gaddress"
        + byte_string(provider.address, "provider.address", ADDRESS_BYTES, ADDRESS_BYTES)
    )


def write_parameters(parameters: object) -> bytes:
    if type(parameters) is not dict:
        raise RecordError("parameters", "is not a map")
    if len(parameters) > r.MAX_PARAMETERS:
        raise RecordError("parameters", f"has {len(parameters)} entries, more than {r.MAX_PARAMETERS}")
    keys = ordered_keys(parameters, "parameters", r.MAX_NAME_BYTES, 1)
    items = [encoded + _parameter(parameters[key], key) for key, encoded in keys]
    encoded = head(MAP, len(items)) + b"".join(items)
    if len(encoded) > r.MAX_PARAMETERS_BYTES:
        raise RecordError("parameters", f"has {len(encoded)} bytes, more than {r.MAX_PARAMETERS_BYTES}")
    return b"jparameters" + encoded


def write_sender_seq(value: object) -> bytes:
    return b"jsender_seq" + integer(value, "sender_seq", 1)


def write_admission_seq(value: object) -> bytes:
    return b"madmission_seq" + integer(value, "admission_seq", 1)


def write_proof_of_compute(proof: r.ProofOfCompute | None) -> bytes:
    if proof is None:
        return b"pproof_of_compute\xf6"
    expect(proof, r.ProofOfCompute, "proof_of_compute")
    toploc = proof.toploc
    return (
        b"pproof_of_compute\xa2eclass"
        + one_of(proof.class_, "proof_of_compute.class", _CLASSES)
        + b"ftoploc"
        + (NULL if toploc is None else byte_string(toploc, "proof_of_compute.toploc", 1, r.MAX_TOPLOC_BYTES))
    )


def _rates(rates: object, basis: str) -> bytes:
    if basis == "device-time":
        if rates is not None:
            raise RecordError("price.rates", "is not null, as the basis device-time needs it")
        return NULL
    if basis == "fixed" and (type(rates) is not dict or tuple(rates) != ("request",)):
        raise RecordError("price.rates", "is not the price of one request alone, as the basis fixed needs it")
    return _counts(rates, "price.rates", r.MAX_RATE_MICROS)


def _counts(counts: object, path: str, most: int) -> bytes:
    if type(counts) is not dict:
        raise RecordError(path, "is not a map")
    if not 1 <= len(counts) <= r.MAX_USAGE_COUNTS:
        raise RecordError(path, f"has {len(counts)} entries, not 1 to {r.MAX_USAGE_COUNTS}")
    keys = ordered_keys(counts, path, r.MAX_COUNT_NAME_BYTES, 1)
    return head(MAP, len(keys)) + b"".join([encoded + integer(counts[key], path, 0, most) for key, encoded in keys])


def _sender_signature(signature: r.SenderSignature) -> bytes:
    expect(signature, r.SenderSignature, "sender.signature")
    size = r.SENDER_SIGNATURE_BYTES
    return (
        b"\xa3enonce"
        + hash32(signature.nonce, "sender.signature.nonce")
        + b"hdeadline"
        + integer(signature.deadline, "sender.signature.deadline")
        + b"isignature"
        + byte_string(signature.signature, "sender.signature.signature", size, size)
    )


def _parameter(value: object, key: str) -> bytes:
    # The three kinds that nearly every parameter has come first.
    if type(value) is int and 0 <= value <= r.MAX_VALUE_INTEGER:
        return head(UNSIGNED, value)
    if type(value) is float or value is None:
        return scalar(value, "parameters")
    path = f"parameters.{key}"
    if type(value) is list or type(value) is tuple:
        return head(ARRAY, len(value)) + b"".join([_parameter_item(item, path) for item in value])
    return _parameter_item(value, path)


def _parameter_item(value: object, path: str) -> bytes:
    return text(value, path, r.MAX_PARAMETERS_BYTES, 0) if type(value) is str else scalar(value, path)
