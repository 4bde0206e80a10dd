"""The shape and the bounds of a record (section 1), and what follows from its values alone."""

import math
from collections.abc import Callable
from typing import Any

from tests.support.stranger import cbor
from tests.support.stranger.errors import ENCODING, RECORD, Refused

ORDER = (
    "v", "id", "gpu", "http", "task", "time", "error", "model", "price", "state", "usage", "prompt", "sender", "follows",
    "request", "provider", "response", "parameters", "sender_seq", "instructions", "admission_seq", "proof_of_compute",
)  # fmt: skip
LARGE = ("request", "prompt", "instructions", "response")
STATES = ("completed", "failed", "cancelled", "timed_out", "interrupted", "accepted")
MAX_RECORD = 262_144
MAX_NUMBER = 2**53 - 1
MAX_BLOB = 33_554_432
MAX_ITEMS = 262_144

Check = Callable[[str, Any], None]


def _fail(name: str, text: str) -> None:
    raise Refused(RECORD, f"{name} {text}", name)


def _number(low: int = 0, high: int = MAX_NUMBER) -> Check:
    def check(name: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            _fail(name, f"is no integer of {low} to {high}")

    return check


def _text(low: int = 1, high: int = 512) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or not low <= len(value.encode()) <= high:
            _fail(name, f"is no text of {low} to {high} bytes")

    return check


def _bytes(low: int, high: int | None = None) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, bytes) or not low <= len(value) <= (low if high is None else high):
            _fail(name, "is no bytes of the right length")

    return check


def _one_of(*values: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in values:
            _fail(name, f"is none of {', '.join(values)}")

    return check


def _or_null(inner: Check) -> Check:
    def check(name: str, value: Any) -> None:
        if value is not None:
            inner(name, value)

    return check


def _structure(members: dict[str, Check]) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            _fail(name, "is no map")
        for key in value:
            if key not in members:
                _fail(f"{name}.{key}", "is no member of version 2")
        for key, inner in members.items():
            if key not in value:
                _fail(f"{name}.{key}", "is missing")
            inner(f"{name}.{key}", value[key])

    return check


def _list_of(inner: Check, high: int | None = None) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, list) or (high is not None and len(value) > high):
            _fail(name, "is no list, or one beyond its bound")
        for position, item in enumerate(value):
            inner(f"{name}[{position}]", item)

    return check


def _counts(value_check: Check) -> Check:
    key_check = _text(1, 64)

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict) or not 1 <= len(value) <= 16:
            _fail(name, "is no map of 1 to 16 entries")
        for key, count in value.items():
            key_check(name, key)
            value_check(f"{name}.{key}", count)

    return check


def _boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        _fail(name, "is neither true nor false")


def _real(name: str, value: Any) -> None:
    if not isinstance(value, float) or not math.isfinite(value):
        _fail(name, "is no finite float")


def _anything(name: str, value: Any) -> None:
    """Any value of the format: no undefined, no NaN, no infinity, no integer beyond 64 bits."""
    if isinstance(value, dict):
        for key, member in value.items():
            _anything(f"{name}.{key}", member)
    elif isinstance(value, list):
        for item in value:
            _anything(name, item)
    elif isinstance(value, float):
        _real(name, value)
    elif type(value) is int:
        _number(-(2**63), 2**63 - 1)(name, value)
    elif value is not None and not isinstance(value, bool | str | bytes):
        _fail(name, "is no value of the format")


LONG_TEXT = _text(0, MAX_BLOB)
LONG_BYTES = _bytes(0, MAX_BLOB)


def _vector(name: str, value: Any) -> None:
    if not isinstance(value, bytes) or len(value) % 4:
        _fail(name, "is no bytes of float32")


CONTENTS: dict[str, Check] = {
    "text": LONG_TEXT,
    "message": _structure(
        {
            "role": LONG_TEXT,
            "content": _or_null(LONG_TEXT),
            "tool_calls": _list_of(_structure({"id": LONG_TEXT, "name": LONG_TEXT, "arguments": LONG_TEXT})),
        }
    ),
    "vector": _vector,
    "labels": _list_of(_structure({"label": LONG_TEXT, "score": _real})),
    "scores": _list_of(_structure({"index": _number(), "score": _real})),
    "media": _structure({"type": LONG_TEXT, "digest": _bytes(32), "length": _number()}),
    "tensor": _structure({"dtype": LONG_TEXT, "shape": _list_of(_number()), "data": LONG_BYTES}),
    "document": _anything,
}


def _output(name: str, value: Any) -> None:
    def content(inner: str, given: Any) -> None:
        CONTENTS[value["kind"]](inner, given)

    _structure(
        {
            "kind": _one_of(*CONTENTS),
            "content": content,
            "finish_reason": _or_null(LONG_TEXT),
            "logprobs": _or_null(_anything),
        }
    )(name, value)


def _map_of_anything(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        _fail(name, "is no map")
    _anything(name, value)


INLINE: dict[str, Check] = {
    "request": _structure(
        {
            "reader": _text(1, 512),
            "target": _text(1, 4096),
            "content_type": _or_null(LONG_TEXT),
            "body": LONG_BYTES,
            "salt": _bytes(16),
        }
    ),
    "prompt": _map_of_anything,
    "instructions": _structure(
        {
            "system": _or_null(LONG_TEXT),
            "chat_template": _or_null(LONG_TEXT),
            "chat_template_digest": _or_null(_bytes(32)),
        }
    ),
    "response": _structure({"outputs": _list_of(_output, 2048)}),
}
BLOB = _structure({"digest": _bytes(32), "length": _number(1025, MAX_BLOB), "sealed_digest": _bytes(32)})


def is_blob(value: Any) -> bool:
    """Whether the value of a large field is a reference to a blob."""
    return isinstance(value, dict) and "blob" in value


def _large(name: str, value: Any) -> None:
    if value is None:
        return
    if is_blob(value):
        _structure({"blob": BLOB})(name, value)
    else:
        INLINE[name](name, value)


def _parameter(name: str, value: Any, *, within: bool = False) -> None:
    if isinstance(value, list) and not within:
        for item in value:
            _parameter(name, item, within=True)
    elif isinstance(value, bytes | dict | list):
        _fail(name, "is no parameter")
    else:
        _anything(name, value)


def _parameters(name: str, value: Any) -> None:
    if not isinstance(value, dict) or len(value) > 64:
        _fail(name, "is no map of at most 64 entries")
    for key, member in value.items():
        _text()(name, key)
        _parameter(f"{name}.{key}", member)
    if len(cbor.encode(value)) > 8192:
        _fail(name, "is beyond 8,192 bytes")


def _price(name: str, value: Any) -> None:
    _structure(
        {
            "basis": _one_of("device-time", "tokens", "fixed"),
            "currency": _text(),
            "per_hour_micros": _number(0, 10**14),
            "device_time_us": _number(0, 10**11),
            "rates": lambda _name, _value: None,
            "charge_micros": _number(),
        }
    )(name, value)
    rate = _number(0, 10**14)
    rates: dict[str, Check] = {
        "device-time": lambda inner, given: None if given is None else _fail(inner, "must be null"),
        "tokens": _counts(rate),
        "fixed": _structure({"request": rate}),
    }
    rates[value["basis"]]("price.rates", value["rates"])


def _version(name: str, value: Any) -> None:
    if type(value) is not int or value != 2:
        _fail(name, f"is {value!r}, not 2")


def _identifier(name: str, value: Any) -> None:
    _bytes(16)(name, value)
    if value[6] >> 4 != 7 or value[8] >> 6 != 2:
        _fail(name, "is no UUIDv7")


TIME = _number()
FIELDS: dict[str, Check] = {
    "v": _version,
    "id": _identifier,
    "admission_seq": _number(1),
    "sender_seq": _number(1),
    "task": _text(),
    "state": _one_of(*STATES),
    "error": _or_null(_structure({"code": _text(), "message": _text(0, 2048)})),
    "time": _structure(
        {"admitted_at": TIME, "started_at": _or_null(TIME), "finished_at": TIME, "due_by": _or_null(TIME)}
    ),
    "http": _structure({"method": _text(), "path": _text(1, 1024), "streamed": _boolean}),
    "request": _large,
    "gpu": _or_null(
        _structure(
            {
                "kind": _one_of("gpu", "cpu"),
                "name": _text(),
                "uuid": _or_null(_text()),
                "count": _number(1, 65_536),
                "memory_bytes": _number(),
                "driver": _or_null(_text()),
            }
        )
    ),
    "provider": _or_null(_structure({"id": _text(), "name": _text(), "address": _bytes(20)})),
    "price": _or_null(_price),
    "model": _or_null(
        _structure(
            {
                "id": _text(),
                "version": _text(),
                "weights_digest": _bytes(32),
                "engine": _text(),
                "engine_version": _text(),
                "dtype": _text(),
                "quantisation": _or_null(_text()),
                "device": _text(),
            }
        )
    ),
    "parameters": _parameters,
    "prompt": _large,
    "instructions": _large,
    "response": _large,
    "usage": _or_null(_counts(_number())),
    "sender": _structure(
        {
            "address": _bytes(20),
            "proof": _one_of("token", "signature"),
            "token_id": _or_null(_text()),
            "signature": _or_null(_structure({"nonce": _bytes(32), "deadline": _number(), "signature": _bytes(65)})),
        }
    ),
    "follows": _or_null(_bytes(16)),
    "proof_of_compute": _or_null(
        _structure({"class": _one_of("reproducible", "statistical", "none"), "toploc": _or_null(_bytes(1, 8192))})
    ),
}


def decode_record(data: bytes) -> dict[str, Any]:
    """A record from its bytes; its one encoding, every field, every bound."""
    if len(data) > MAX_RECORD:
        raise Refused(ENCODING, "the record is beyond 262,144 bytes")
    record = cbor.decode(data, depth=cbor.MAX_DEPTH + 1)
    if not isinstance(record, dict):
        raise Refused(ENCODING, "the record is no map")
    if "v" in record:
        _version("v", record["v"])
    for name in record:
        if name not in FIELDS:
            _fail(name, "is no field of version 2")
    for name in ORDER:
        if name not in record:
            _fail(name, "is missing")
        FIELDS[name](name, record[name])
    accepted = record["state"] == "accepted"
    if accepted != (record["time"]["due_by"] is not None):
        _fail("time.due_by", "does not fit the state")
    if accepted and any(
        part is not None for part in (record["time"]["started_at"], record["response"], record["price"])
    ):
        _fail("state", "is accepted, yet work was done")
    return record


def decode_field(name: str, field: bytes) -> Any:
    """The value of a field from the bytes of its key and its value."""
    key = cbor.encode(name)
    if name not in FIELDS or not field.startswith(key):
        _fail(name, "is not the field that it is called")
    value = cbor.decode(field[len(key) :])
    FIELDS[name](name, value)
    return value


def decode_blob_value(name: str, data: bytes) -> Any:
    """The value of a large field that stood in a blob."""
    value = cbor.decode(data, items=MAX_ITEMS)
    if value is None or is_blob(value):
        _fail(name, "is no value that a blob holds")
    INLINE[name](name, value)
    return value


def fields_of(record: dict[str, Any]) -> list[bytes]:
    """F_0 to F_21."""
    return [cbor.encode(name) + cbor.encode(record[name]) for name in ORDER]


def charge_of(price: dict[str, Any], usage: dict[str, int] | None) -> int:
    """What a price comes to."""
    if price["basis"] == "device-time":
        return -(-price["per_hour_micros"] * price["device_time_us"] // 3_600_000_000)
    if price["basis"] == "fixed":
        return int(price["rates"]["request"])
    return -(-sum(rate * (usage or {}).get(name, 0) for name, rate in price["rates"].items()) // 1_000_000)
