"""The one canonical encoding of a record: deterministic CBOR, strictly decoded.

A decoder builds the record, encodes it again and compares: whatever is not the canonical form of what it says is refused, by the
first byte that differs. So every accepted record has exactly one encoding, and its hashes are about its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import cbor2

from tallystick.errors import EncodingError, RecordError
from tallystick.ids import RecordId
from tallystick.record import (
    FIELD_NAMES,
    MAX_CHOICES,
    MAX_DEPTH,
    VERSION,
    BlobRef,
    Choice,
    Gpu,
    HttpExchange,
    Instructions,
    Model,
    Price,
    ProofOfCompute,
    Provider,
    Record,
    RecordFault,
    RecordTime,
    Response,
    Sender,
    State,
    Usage,
    Value,
    validate,
)

T = TypeVar("T")

MAX_ENCODED_BYTES: Final = 64 * 1_048_576
"""Nothing larger is decoded, whatever it claims to be."""

RECORD_PREFIX: Final = bytes((0xA0 | len(FIELD_NAMES),))
"""The head of a map of twenty entries."""

_dumps = cbor2.dumps
_KEYS: Final = tuple(cbor2.dumps(name) for name in FIELD_NAMES)
_VERSION_FIELD = _KEYS[0] + cbor2.dumps(VERSION)
_CBOR_DEPTH = MAX_DEPTH + 4
MAX_KEEPSAKES: Final = 256
_keepsakes: dict[int, tuple[object, bytes]] = {}
_FREE_FIELDS = frozenset(("parameters", "prompt"))


def encode_fields(record: Record) -> list[bytes]:
    """The record's fields in canonical order, each its encoded key followed by its encoded value.

    Raises: RecordError if a field breaks its bound.
    Source: SPEC 1 and 3.
    """
    validate(record)
    return _encode_fields(record)


def encode_record(record: Record) -> bytes:
    """The record's canonical bytes.

    Raises: RecordError.
    Source: SPEC 1.
    """
    return RECORD_PREFIX + b"".join(encode_fields(record))


def decode_record(data: bytes) -> Record:
    """The record that these bytes are the canonical form of.

    Raises: EncodingError if they are the canonical form of nothing; RecordError for an unknown version, an unknown or missing
    field, or a value beyond its bound.
    """
    return decode_with_fields(data)[0]


def decode_with_fields(data: bytes) -> tuple[Record, list[bytes]]:
    """`decode_record` together with `split_fields`, at the price of one. Raises: as `decode_record`."""
    tree = _loads(data)
    if not isinstance(tree, dict):
        raise EncodingError("a record is a map")
    record = _record_from(tree)
    validate(record)
    # Every typed map was read in its canonical order (`_part`), and the plain mode of the encoder keeps the order, writes the
    # shortest integers and lengths, and no tags; only the two free maps can hold floats or keys out of order.
    fields = [
        key + _dumps(tree[name], canonical=name in _FREE_FIELDS) for name, key in zip(FIELD_NAMES, _KEYS, strict=True)
    ]
    again = RECORD_PREFIX + b"".join(fields)
    if again != data:
        raise EncodingError("this is not the canonical encoding of the record", offset=_first_difference(again, data))
    return record, fields


def split_fields(data: bytes) -> list[bytes]:
    """A record's fields as they stand in its bytes. Raises: as `decode_record`."""
    return decode_with_fields(data)[1]


def encode_value(value: Value) -> bytes:
    """The deterministic encoding of one free value. Source: RFC 8949 4.2.1."""
    return _dumps(value, canonical=True)


def decode_value(data: bytes) -> Value:
    """The value that these bytes are the deterministic encoding of.

    Raises: EncodingError.
    """
    value: Value = _loads(data)
    try:
        again = encode_value(value)
    except (cbor2.CBOREncodeError, TypeError) as error:
        raise EncodingError("holds something that no record can") from error
    if again != data:
        raise EncodingError(
            "this is not the deterministic encoding of the value", offset=_first_difference(again, data)
        )
    return value


def decode_field(data: bytes) -> tuple[str, Value]:
    """The name and value of one field's bytes.

    Raises: EncodingError.
    """
    for name, key in zip(FIELD_NAMES, _KEYS, strict=True):
        if data.startswith(key):
            return name, decode_value(data[len(key) :])
    raise EncodingError("does not start with the key of a field")


def field_value(data: bytes) -> bytes:
    """The encoded value in one field's bytes. Raises: EncodingError."""
    for key in _KEYS:
        if data.startswith(key):
            return data[len(key) :]
    raise EncodingError("does not start with the key of a field")


def _encode_fields(record: Record) -> list[bytes]:
    # Typed parts are written with their keys in canonical order and hold no floats, so the encoder's faster, order-preserving mode
    # gives the deterministic form; only the two free maps need its sorting mode. The order of values is that of FIELD_NAMES.
    dumps = _dumps
    values = (
        dumps(record.id),
        _kept(record.gpu, _gpu),
        dumps(_http(record.http)),
        dumps(record.task),
        dumps(_time(record.time)),
        dumps(_fault(record.error)),
        _kept(record.model, _model),
        dumps(_price(record.price)),
        dumps(record.state.value),
        dumps(_usage(record.usage)),
        dumps(_ref(record.prompt)) if isinstance(record.prompt, BlobRef) else dumps(record.prompt, canonical=True),
        _kept(record.sender, _sender),
        _kept(record.provider, _provider),
        dumps(_response(record.response)),
        dumps(record.parameters, canonical=True),
        dumps(record.sender_seq),
        dumps(_instructions(record.instructions)),
        dumps(record.admission_seq),
        dumps(_proof(record.proof_of_compute)),
    )
    return [_VERSION_FIELD, *[key + value for key, value in zip(_KEYS[1:], values, strict=True)]]


def _kept(part: T, layout: Callable[[T], object]) -> bytes:
    # A service writes the same few frozen objects into every record, so their bytes are kept by identity. Holding the object
    # keeps its identity its own; the bound keeps a reader of many records from growing the table.
    known = _keepsakes.get(id(part))
    if known is not None and known[0] is part:
        return known[1]
    encoded = _dumps(layout(part))
    if len(_keepsakes) >= MAX_KEEPSAKES:
        _keepsakes.clear()
    _keepsakes[id(part)] = (part, encoded)
    return encoded


def _gpu(gpu: Gpu | None) -> object:
    return gpu and {
        "kind": gpu.kind,
        "name": gpu.name,
        "uuid": gpu.uuid,
        "count": gpu.count,
        "driver": gpu.driver,
        "memory_bytes": gpu.memory_bytes,
    }


def _http(http: HttpExchange) -> object:
    return {
        "path": http.path,
        "method": http.method,
        "streamed": http.streamed,
        "request_hash": http.request_hash,
        "response_hash": http.response_hash,
    }


def _time(time: RecordTime) -> object:
    return {"started_at": time.started_at, "admitted_at": time.admitted_at, "finished_at": time.finished_at}


def _fault(fault: RecordFault | None) -> object:
    return fault and {"code": fault.code, "message": fault.message}


def _model(model: Model | None) -> object:
    return model and {
        "id": model.id,
        "dtype": model.dtype,
        "device": model.device,
        "engine": model.engine,
        "version": model.version,
        "quantisation": model.quantisation,
        "engine_version": model.engine_version,
        "weights_digest": model.weights_digest,
    }


def _price(price: Price | None) -> object:
    return price and {
        "currency": price.currency,
        "charge_micros": price.charge_micros,
        "device_time_us": price.device_time_us,
        "per_hour_micros": price.per_hour_micros,
    }


def _usage(usage: Usage | None) -> object:
    return usage and {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _ref(ref: BlobRef) -> object:
    return {"blob": {"digest": ref.digest, "length": ref.length, "sealed_digest": ref.sealed_digest}}


def _sender(sender: Sender) -> object:
    return {
        "proof": sender.proof,
        "address": sender.address,
        "token_id": sender.token_id,
        "signature": sender.signature,
    }


def _provider(provider: Provider | None) -> object:
    return provider and {"id": provider.id, "name": provider.name, "address": provider.address}


def _response(response: Response | BlobRef | None) -> object:
    if isinstance(response, BlobRef):
        return _ref(response)
    return response and {
        "choices": [{"text": c.text, "index": c.index, "finish_reason": c.finish_reason} for c in response.choices]
    }


def _instructions(instructions: Instructions | BlobRef | None) -> object:
    if isinstance(instructions, BlobRef):
        return _ref(instructions)
    return instructions and {
        "system": instructions.system,
        "chat_template": instructions.chat_template,
        "chat_template_digest": instructions.chat_template_digest,
    }


def _proof(proof: ProofOfCompute | None) -> object:
    return proof and {"class": proof.class_, "toploc": proof.toploc}


def _record_from(tree: Mapping[str, Any]) -> Record:
    version = tree.get("v")
    if version != VERSION or isinstance(version, bool):
        raise RecordError("v", f"is version {version!r:.40}; this release knows version {VERSION}")
    _same_keys("record", tree, FIELD_NAMES)
    try:
        state = State(tree["state"])
    except ValueError as error:
        raise RecordError("state", f"is not one of {', '.join(State)}") from error
    return Record(
        id=RecordId(tree["id"]),
        admission_seq=tree["admission_seq"],
        sender_seq=tree["sender_seq"],
        task=tree["task"],
        state=state,
        error=_part("error", tree["error"], RecordFault, ("code", "message")),
        time=_must("time", _part("time", tree["time"], RecordTime, ("started_at", "admitted_at", "finished_at"))),
        http=_must("http", _part("http", tree["http"], HttpExchange, _HTTP_KEYS)),
        gpu=_part("gpu", tree["gpu"], Gpu, _GPU_KEYS),
        provider=_part("provider", tree["provider"], Provider, ("id", "name", "address")),
        price=_part("price", tree["price"], Price, _PRICE_KEYS),
        model=_part("model", tree["model"], Model, _MODEL_KEYS),
        parameters=tree["parameters"],
        prompt=_or_blob("prompt", tree["prompt"], lambda value: value),
        instructions=_or_blob("instructions", tree["instructions"], _instructions_from),
        response=_or_blob("response", tree["response"], _response_from),
        usage=_part("usage", tree["usage"], Usage, ("input_tokens", "output_tokens")),
        sender=_must("sender", _part("sender", tree["sender"], Sender, _SENDER_KEYS)),
        proof_of_compute=_proof_from(tree["proof_of_compute"]),
    )


_HTTP_KEYS = ("path", "method", "streamed", "request_hash", "response_hash")
_GPU_KEYS = ("kind", "name", "uuid", "count", "driver", "memory_bytes")
_PRICE_KEYS = ("currency", "charge_micros", "device_time_us", "per_hour_micros")
_MODEL_KEYS = ("id", "dtype", "device", "engine", "version", "quantisation", "engine_version", "weights_digest")
_SENDER_KEYS = ("proof", "address", "token_id", "signature")


def _instructions_from(value: Any) -> Instructions | None:
    return _part("instructions", value, Instructions, ("system", "chat_template", "chat_template_digest"))


def _response_from(value: Any) -> Response | None:
    if value is None:
        return None
    _same_keys("response", value, ("choices",))
    choices = value["choices"]
    if not isinstance(choices, list) or len(choices) > MAX_CHOICES:
        raise RecordError("response.choices", f"is not a list of at most {MAX_CHOICES}")
    parts = [_part("response.choices", choice, Choice, ("text", "index", "finish_reason")) for choice in choices]
    return Response(choices=tuple(_must("response.choices", part) for part in parts))


def _proof_from(value: Any) -> ProofOfCompute | None:
    if value is None:
        return None
    _same_keys("proof_of_compute", value, ("class", "toploc"))
    return ProofOfCompute(class_=value["class"], toploc=value["toploc"])


def _or_blob(name: str, value: Any, otherwise: Callable[[Any], T]) -> T | BlobRef:
    if isinstance(value, dict) and "blob" in value:
        _same_keys(name, value, ("blob",))
        return _must(name, _part(f"{name}.blob", value["blob"], BlobRef, ("digest", "length", "sealed_digest")))
    return otherwise(value)


def _part(name: str, value: Any, kind: Callable[..., T], keys: tuple[str, ...]) -> T | None:
    if value is None:
        return None
    _same_keys(name, value, keys)
    return kind(**value)


def _must(name: str, part: T | None) -> T:
    if part is None:
        raise RecordError(name, "must not be null")
    return part


def _same_keys(name: str, value: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise RecordError(name, "is not a map")
    if tuple(value) == keys:
        return
    missing = [key for key in keys if key not in value]
    if missing:
        raise RecordError(f"{name}.{missing[0]}", "is missing")
    unknown = [key for key in value if key not in keys]
    if unknown:
        raise RecordError(f"{name}.{unknown[0]!s:.40}", "is unknown to version 1")
    raise EncodingError(f"the keys of {name} are not in canonical order")


def _loads(data: bytes) -> Any:
    if len(data) > MAX_ENCODED_BYTES:
        raise EncodingError(f"{len(data)} bytes are more than the {MAX_ENCODED_BYTES} that are ever decoded")
    try:
        return cbor2.loads(data, max_depth=_CBOR_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise EncodingError(f"is not deterministic CBOR: {error!s:.100}") from error


def _first_difference(canonical: bytes, data: bytes) -> int:
    for offset, (left, right) in enumerate(zip(canonical, data, strict=False)):
        if left != right:
            return offset
    return min(len(canonical), len(data))
