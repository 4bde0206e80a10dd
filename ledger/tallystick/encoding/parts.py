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
    flag,
    free_value,
    hash32,
    hash32_or_null,
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
_CHOICE_HEAD: Final = b"\xa3dtext"
_UNBOUNDED: Final = r.MAX_INTEGER  # by itself; the field around it is bounded


def write_id(value: object) -> bytes:
    if type(value) is not bytes or not is_record_id(value):
        raise RecordError("id", "is not the 16 bytes of a UUIDv7")
    return _ID_HEAD + value


def write_gpu(gpu: r.Gpu | None) -> bytes:
    if gpu is None:
        return b"cgpu\xf6"
    _expect(gpu, r.Gpu, "gpu")
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
    _expect(http, r.HttpExchange, "http")
    return (
        b"dhttp\xa5dpath"
        + text(http.path, "http.path", r.MAX_PATH_BYTES)
        + b"fmethod"
        + text(http.method, "http.method")
        + b"hstreamed"
        + flag(http.streamed, "http.streamed")
        + b"lrequest_hash"
        + hash32(http.request_hash, "http.request_hash")
        + b"mresponse_hash"
        + hash32_or_null(http.response_hash, "http.response_hash")
    )


def write_task(task: object) -> bytes:
    return b"dtask" + text(task, "task")


def write_time(time: r.RecordTime) -> bytes:
    _expect(time, r.RecordTime, "time")
    return (
        b"dtime\xa3jstarted_at"
        + (NULL if time.started_at is None else integer(time.started_at, "time.started_at"))
        + b"kadmitted_at"
        + integer(time.admitted_at, "time.admitted_at")
        + b"kfinished_at"
        + integer(time.finished_at, "time.finished_at")
    )


def write_error(fault: r.RecordFault | None) -> bytes:
    if fault is None:
        return b"eerror\xf6"
    _expect(fault, r.RecordFault, "error")
    return (
        b"eerror\xa2dcode"
        + text(fault.code, "error.code")
        + b"gmessage"
        + text(fault.message, "error.message", r.MAX_ERROR_MESSAGE_BYTES, 0)
    )


def write_model(model: r.Model | None) -> bytes:
    if model is None:
        return b"emodel\xf6"
    _expect(model, r.Model, "model")
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
    _expect(price, r.Price, "price")
    return (
        b"eprice\xa4hcurrency"
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


def write_usage(usage: r.Usage | None) -> bytes:
    if usage is None:
        return b"eusage\xf6"
    _expect(usage, r.Usage, "usage")
    return (
        b"eusage\xa2linput_tokens"
        + integer(usage.input_tokens, "usage.input_tokens")
        + b"moutput_tokens"
        + integer(usage.output_tokens, "usage.output_tokens")
    )


def write_prompt(prompt: object) -> bytes:
    if prompt is None:
        return b"fprompt\xf6"
    if type(prompt) is r.BlobRef:
        return b"fprompt" + _blob(prompt, "prompt")
    if type(prompt) is not dict:
        raise RecordError("prompt", "is not a map")
    if "blob" in prompt:
        raise RecordError("prompt", "has the key blob, which stands for a blob reference")
    return b"fprompt" + free_value(prompt, "prompt")


def write_sender(sender: r.Sender) -> bytes:
    _expect(sender, r.Sender, "sender")
    signature = sender.signature
    return (
        b"fsender\xa4eproof"
        + one_of(sender.proof, "sender.proof", _PROOFS)
        + b"gaddress"
        + byte_string(sender.address, "sender.address", ADDRESS_BYTES, ADDRESS_BYTES)
        + b"htoken_id"
        + text_or_null(sender.token_id, "sender.token_id")
        + b"isignature"
        + (NULL if signature is None else byte_string(signature, "sender.signature", 1, r.MAX_SIGNATURE_BYTES))
    )


def write_provider(provider: r.Provider | None) -> bytes:
    if provider is None:
        return b"hprovider\xf6"
    _expect(provider, r.Provider, "provider")
    return (
        b"hprovider\xa3bid"
        + text(provider.id, "provider.id")
        + b"dname"
        + text(provider.name, "provider.name")
        + b"gaddress"
        + byte_string(provider.address, "provider.address", ADDRESS_BYTES, ADDRESS_BYTES)
    )


def write_response(response: r.Response | r.BlobRef | None) -> bytes:
    if response is None:
        return b"hresponse\xf6"
    if isinstance(response, r.BlobRef):
        return b"hresponse" + _blob(response, "response")
    _expect(response, r.Response, "response")
    choices = response.choices
    if type(choices) is not tuple or len(choices) > r.MAX_CHOICES:
        raise RecordError("response.choices", f"is not a tuple of at most {r.MAX_CHOICES}")
    return b"hresponse\xa1gchoices" + head(ARRAY, len(choices)) + b"".join(map(_choice, choices, range(len(choices))))


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


def write_instructions(instructions: r.Instructions | r.BlobRef | None) -> bytes:
    if instructions is None:
        return b"linstructions\xf6"
    if isinstance(instructions, r.BlobRef):
        return b"linstructions" + _blob(instructions, "instructions")
    _expect(instructions, r.Instructions, "instructions")
    return (
        b"linstructions\xa3fsystem"
        + text_or_null(instructions.system, "instructions.system", _UNBOUNDED, 0)
        + b"mchat_template"
        + text_or_null(instructions.chat_template, "instructions.chat_template", _UNBOUNDED, 0)
        + b"tchat_template_digest"
        + hash32_or_null(instructions.chat_template_digest, "instructions.chat_template_digest")
    )


def write_admission_seq(value: object) -> bytes:
    return b"madmission_seq" + integer(value, "admission_seq", 1)


def write_proof_of_compute(proof: r.ProofOfCompute | None) -> bytes:
    if proof is None:
        return b"pproof_of_compute\xf6"
    _expect(proof, r.ProofOfCompute, "proof_of_compute")
    toploc = proof.toploc
    return (
        b"pproof_of_compute\xa2eclass"
        + one_of(proof.class_, "proof_of_compute.class", _CLASSES)
        + b"ftoploc"
        + (NULL if toploc is None else byte_string(toploc, "proof_of_compute.toploc", 1, r.MAX_TOPLOC_BYTES))
    )


def _choice(choice: r.Choice, position: int) -> bytes:
    _expect(choice, r.Choice, "response.choices")
    if choice.index != position:
        raise RecordError("response.choices.index", f"is {choice.index} at position {position}")
    return (
        _CHOICE_HEAD
        + text(choice.text, "response.choices.text", _UNBOUNDED, 0)
        + b"eindex"
        + integer(choice.index, "response.choices.index")
        + b"mfinish_reason"
        + text_or_null(choice.finish_reason, "response.choices.finish_reason")
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


def _blob(ref: r.BlobRef, name: str) -> bytes:
    path = f"{name}.blob"
    return (
        b"\xa1dblob\xa3fdigest"
        + hash32(ref.digest, f"{path}.digest")
        + b"flength"
        + integer(ref.length, f"{path}.length", r.MAX_INLINE_BYTES + 1, r.MAX_BLOB_BYTES)
        + b"msealed_digest"
        + hash32(ref.sealed_digest, f"{path}.sealed_digest")
    )


def _expect(part: object, kind: type, path: str) -> None:
    if type(part) is not kind:
        raise RecordError(path, "is null" if part is None else f"is not a {kind.__name__}")
