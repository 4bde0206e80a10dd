"""Each field of a record, written: what members each structure has, and how each member is held to its bound.

The large fields may stand inline or as a reference to a blob. Texts and bytes inside them have no bound of their own: the field around them
is bounded, and a large one moves to a blob. A test holds every structure equal to what a general encoder makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import cbor2

from tallystick import record as r
from tallystick.encoding.atoms import (
    ARRAY,
    BYTES,
    MAP,
    UNSIGNED,
    Writer,
    byte_string,
    expect,
    flag,
    free_value,
    hash32,
    head,
    integer,
    one_of,
    or_null,
    ordered_keys,
    scalar,
    text,
    words,
)
from tallystick.encoding.outputs import write_outputs
from tallystick.errors import RecordError
from tallystick.ids import ADDRESS_BYTES, RECORD_ID_BYTES, is_record_id

UNBOUNDED: Final = r.MAX_INTEGER


class Structure:
    """A class of a record's parts as a map: its members by their keys, in canonical order, each with its writer.

    An attribute is called as its key is, but for an underscore after a word that the language keeps for itself.
    """

    __slots__ = ("_head", "_members", "attributes", "keys", "kind", "path")

    def __init__(self, path: str, kind: type, /, **members: Writer) -> None:
        self.path = path
        self.kind = kind
        self.attributes = tuple(sorted(members, key=lambda name: (len(name.rstrip("_")), name)))
        self.keys = tuple(name.rstrip("_") for name in self.attributes)
        self._head = head(MAP, len(members))
        self._members = [
            (cbor2.dumps(key), name, f"{path}.{key}", members[name])
            for key, name in zip(self.keys, self.attributes, strict=True)
        ]

    def __call__(self, part: object, _: str = "") -> bytes:
        """The part as a map. Raises: RecordError."""
        if type(part) is not self.kind:
            expect(part, self.kind, self.path)
        return self._head + b"".join(
            [key + write(getattr(part, name), path) for key, name, path, write in self._members]
        )


def _record_id(value: object, path: str) -> bytes:
    if type(value) is not bytes or not is_record_id(value):
        raise RecordError(path, "is not the 16 bytes of a UUIDv7")
    return head(BYTES, RECORD_ID_BYTES) + value


def _counts(counts: object, path: str, most: int = r.MAX_INTEGER) -> bytes:
    if type(counts) is not dict:
        raise RecordError(path, "is not a map")
    if not 1 <= len(counts) <= r.MAX_USAGE_COUNTS:
        raise RecordError(path, f"has {len(counts)} entries, not 1 to {r.MAX_USAGE_COUNTS}")
    keys = ordered_keys(counts, path, r.MAX_COUNT_NAME_BYTES, 1)
    return head(MAP, len(keys)) + b"".join([encoded + integer(counts[key], path, 0, most) for key, encoded in keys])


_any_text: Final = partial(text, most=UNBOUNDED, least=0)
_address: Final = partial(byte_string, least=ADDRESS_BYTES, most=ADDRESS_BYTES)
_from_1: Final = partial(integer, low=1)

TIME: Final = Structure(
    "time",
    r.RecordTime,
    due_by=or_null(integer),
    started_at=or_null(integer),
    admitted_at=integer,
    finished_at=integer,
)
HTTP: Final = Structure("http", r.HttpExchange, path=partial(text, most=r.MAX_PATH_BYTES), method=text, streamed=flag)
GPU: Final = Structure(
    "gpu",
    r.Gpu,
    kind=partial(one_of, encoded=words("gpu", "cpu")),
    name=text,
    uuid=or_null(text),
    count=partial(integer, low=1, high=r.MAX_GPU_COUNT),
    driver=or_null(text),
    memory_bytes=integer,
)
ERROR: Final = Structure(
    "error", r.RecordFault, code=text, message=partial(text, most=r.MAX_ERROR_MESSAGE_BYTES, least=0)
)
MODEL: Final = Structure(
    "model",
    r.Model,
    id=text,
    dtype=text,
    device=text,
    engine=text,
    version=text,
    quantisation=or_null(text),
    engine_version=text,
    weights_digest=hash32,
)
PRICE: Final = Structure(
    "price",
    r.Price,
    basis=partial(one_of, encoded=words(*r.PRICE_BASES)),
    rates=or_null(partial(_counts, most=r.MAX_RATE_MICROS)),
    currency=text,
    charge_micros=integer,
    device_time_us=partial(integer, high=r.MAX_DEVICE_TIME_US),
    per_hour_micros=partial(integer, high=r.MAX_PER_HOUR_MICROS),
)
SENDER_SIGNATURE: Final = Structure(
    "sender.signature",
    r.SenderSignature,
    nonce=hash32,
    deadline=integer,
    signature=partial(byte_string, least=r.SENDER_SIGNATURE_BYTES, most=r.SENDER_SIGNATURE_BYTES),
)
SENDER: Final = Structure(
    "sender",
    r.Sender,
    proof=partial(one_of, encoded=words("token", "signature")),
    address=_address,
    token_id=or_null(text),
    signature=or_null(SENDER_SIGNATURE),
)
PROVIDER: Final = Structure("provider", r.Provider, id=text, name=text, address=_address)
PROOF: Final = Structure(
    "proof_of_compute",
    r.ProofOfCompute,
    class_=partial(one_of, encoded=words("reproducible", "statistical", "none")),
    toploc=or_null(partial(byte_string, least=1, most=r.MAX_TOPLOC_BYTES)),
)
REQUEST: Final = Structure(
    "request",
    r.Request,
    body=partial(byte_string, least=0, most=UNBOUNDED),
    salt=partial(byte_string, least=r.REQUEST_SALT_BYTES, most=r.REQUEST_SALT_BYTES),
    reader=text,
    target=partial(text, most=r.MAX_TARGET_BYTES),
    content_type=or_null(_any_text),
)
INSTRUCTIONS: Final = Structure(
    "instructions",
    r.Instructions,
    system=or_null(_any_text),
    chat_template=or_null(_any_text),
    chat_template_digest=or_null(hash32),
)
BLOBS: Final = {
    name: Structure(
        f"{name}.blob",
        r.BlobRef,
        digest=hash32,
        length=partial(integer, low=r.MIN_BLOB_BYTES, high=r.MAX_BLOB_BYTES),
        sealed_digest=hash32,
    )
    for name in r.LARGE_FIELDS
}
_STATES: Final = {state: encoded for state in r.State for encoded in words(state.value).values()}
_BLOB_KEY: Final = head(MAP, 1) + cbor2.dumps("blob")
_OUTPUTS_KEY: Final = head(MAP, 1) + cbor2.dumps("outputs")


def _state(state: object, path: str) -> bytes:
    encoded = _STATES.get(state) if type(state) is r.State else None
    if encoded is None:
        raise RecordError(path, f"is not one of {', '.join(r.State)}")
    return encoded


def _price(price: object, _: str) -> bytes:
    encoded = PRICE(price)
    if isinstance(price, r.Price):
        if price.basis == "device-time" and price.rates is not None:
            raise RecordError("price.rates", "is not null, as the basis device-time needs it")
        if price.basis == "fixed" and tuple(price.rates or ()) != ("request",):
            raise RecordError("price.rates", "is not the price of one request alone, as the basis fixed needs it")
        if price.rates is None and price.basis == "tokens":
            raise RecordError("price.rates", "is not a map")
    return encoded


def _prompt(prompt: object, path: str) -> bytes:
    if type(prompt) is not dict:
        raise RecordError(path, "is not a map")
    if "blob" in prompt:
        raise RecordError(path, "has the key blob, which stands for a blob reference")
    return free_value(prompt, path)


def _response(response: Any, path: str) -> bytes:
    expect(response, r.Response, path)
    return _OUTPUTS_KEY + write_outputs(response.outputs)


def _large(write: Writer) -> Writer:
    def field(value: object, path: str) -> bytes:
        return _BLOB_KEY + BLOBS[path](value) if type(value) is r.BlobRef else write(value, path)

    return or_null(field)


def _parameters(parameters: object, path: str) -> bytes:
    if type(parameters) is not dict:
        raise RecordError(path, "is not a map")
    if len(parameters) > r.MAX_PARAMETERS:
        raise RecordError(path, f"has {len(parameters)} entries, more than {r.MAX_PARAMETERS}")
    keys = ordered_keys(parameters, path, r.MAX_NAME_BYTES, 1)
    items = [encoded + _parameter(parameters[key], key) for key, encoded in keys]
    encoded = head(MAP, len(items)) + b"".join(items)
    if len(encoded) > r.MAX_PARAMETERS_BYTES:
        raise RecordError(path, f"has {len(encoded)} bytes, more than {r.MAX_PARAMETERS_BYTES}")
    return encoded


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


VALUES: Final[Mapping[str, Writer]] = {
    "v": integer,
    "id": _record_id,
    "gpu": or_null(GPU),
    "http": HTTP,
    "task": text,
    "time": TIME,
    "error": or_null(ERROR),
    "model": or_null(MODEL),
    "price": or_null(_price),
    "state": _state,
    "usage": or_null(_counts),
    "prompt": _large(_prompt),
    "sender": SENDER,
    "follows": or_null(_record_id),
    "request": _large(REQUEST),
    "provider": or_null(PROVIDER),
    "response": _large(_response),
    "parameters": _parameters,
    "sender_seq": _from_1,
    "instructions": _large(INSTRUCTIONS),
    "admission_seq": _from_1,
    "proof_of_compute": or_null(PROOF),
}
"""How the value of each field is written."""
