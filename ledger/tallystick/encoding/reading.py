"""The way back: from a decoded map to a record. Types and bounds are checked when the record is written again.

Until then its parts hold whatever was read, so nothing here may be handed out before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick import record as r
from tallystick.encoding.keepsakes import Keepsakes
from tallystick.errors import EncodingError, RecordError

MAX_SHOWN_KEY: Final = 40


def read_record(tree: Mapping[str, Any], keepsakes: Keepsakes) -> r.Record:
    """The record that a decoded map stands for, unchecked.

    Requires: the map has the keys of a record.
    Raises: RecordError for an unknown or missing key inside, EncodingError for keys out of order.
    """
    return r.Record(
        id=tree["id"],
        admission_seq=tree["admission_seq"],
        sender_seq=tree["sender_seq"],
        task=tree["task"],
        state=_state(tree["state"]),
        error=_structure("error", r.RecordFault, ERROR_KEYS, tree["error"]),
        time=_structure("time", r.RecordTime, TIME_KEYS, tree["time"]),
        http=_structure("http", r.HttpExchange, HTTP_KEYS, tree["http"]),
        gpu=_kept("gpu", r.Gpu, GPU_KEYS, tree["gpu"], keepsakes),
        provider=_kept("provider", r.Provider, PROVIDER_KEYS, tree["provider"], keepsakes),
        price=_structure("price", r.Price, PRICE_KEYS, tree["price"]),
        model=_kept("model", r.Model, MODEL_KEYS, tree["model"], keepsakes),
        parameters=tree["parameters"],
        request=read_large("request", tree["request"]),
        prompt=read_large("prompt", tree["prompt"]),
        instructions=read_large("instructions", tree["instructions"]),
        response=read_large("response", tree["response"]),
        usage=tree["usage"],
        sender=_sender(tree["sender"], keepsakes),
        follows=tree["follows"],
        proof_of_compute=_proof_of_compute(tree["proof_of_compute"], keepsakes),
    )


def same_keys(name: str, value: Any, keys: tuple[str, ...]) -> None:
    """Hold a decoded map to exactly these keys in this order.

    Raises: RecordError for an unknown or missing key, EncodingError for keys out of order.
    """
    if type(value) is not dict:
        raise RecordError(name, "is not a map")
    if tuple(value) == keys:
        return
    for key in keys:
        if key not in value:
            raise RecordError(f"{name}.{key}", "is missing")
    for key in value:
        if key not in keys:
            raise RecordError(f"{name}.{_shown(key)}", "is unknown to version 2")
    raise EncodingError(f"the keys of {name} are not in canonical order")


def _structure(name: str, kind: Any, keys: tuple[str, ...], value: Any) -> Any:
    if value is None:
        return None
    same_keys(name, value, keys)
    return kind(**value)


def _kept(name: str, kind: Any, keys: tuple[str, ...], value: Any, keepsakes: Keepsakes) -> Any:
    if value is None:
        return None
    if type(value) is not dict:
        raise RecordError(name, "is not a map")
    values = (kind, *value.values())
    try:
        part = keepsakes.part(values)
    except TypeError as error:
        raise RecordError(name, "holds a list or a map") from error
    if part is None:
        part = _structure(name, kind, keys, value)
        keepsakes.keep_part(values, part)
    return part


def read_large(name: str, value: Any) -> Any:
    """The content of a large field, or the blob reference in its place. Raises: as `read_record`."""
    if type(value) is dict and "blob" in value:
        same_keys(name, value, ("blob",))
        blob = value["blob"]
        if blob is None:
            raise RecordError(f"{name}.blob", "is null")
        return _structure(f"{name}.blob", r.BlobRef, BLOB_KEYS, blob)
    if name == "prompt":
        return value
    if name == "response":
        return _response(value)
    kind, keys = (r.Request, REQUEST_KEYS) if name == "request" else (r.Instructions, INSTRUCTIONS_KEYS)
    return _structure(name, kind, keys, value)


def _response(value: Any) -> Any:
    if value is None:
        return None
    same_keys("response", value, ("outputs",))
    outputs = value["outputs"]
    if type(outputs) is not list:
        raise RecordError("response.outputs", "is not a list")
    if None in outputs:
        raise RecordError("response.outputs", "holds null")
    return r.Response(outputs=tuple([_structure("response.outputs", r.Output, OUTPUT_KEYS, one) for one in outputs]))


def _sender(value: Any, keepsakes: Keepsakes) -> Any:
    signature = value.get("signature") if type(value) is dict else None
    if signature is None:
        return _kept("sender", r.Sender, SENDER_KEYS, value, keepsakes)
    same_keys("sender", value, SENDER_KEYS)  # a signature is of one request: nothing to keep
    signed = _structure("sender.signature", r.SenderSignature, SENDER_SIGNATURE_KEYS, signature)
    return r.Sender(**{**value, "signature": signed})


def _proof_of_compute(value: Any, keepsakes: Keepsakes) -> Any:
    if type(value) is dict and tuple(value) == ("class", "toploc"):
        value = {"class_": value["class"], "toploc": value["toploc"]}  # the language keeps the plain word for itself
    elif value is not None:
        same_keys("proof_of_compute", value, ("class", "toploc"))
    return _kept("proof_of_compute", r.ProofOfCompute, ("class_", "toploc"), value, keepsakes)


def _state(value: object) -> r.State:
    state = _STATES.get(value) if type(value) is str else None
    if state is None:
        raise RecordError("state", f"is not one of {', '.join(r.State)}")
    return state


def _shown(key: object) -> str:
    return ascii(key).strip("'")[:MAX_SHOWN_KEY]


# Each in canonical order: shorter keys first, then bytewise.
TIME_KEYS: Final = ("due_by", "started_at", "admitted_at", "finished_at")
HTTP_KEYS: Final = ("path", "method", "streamed")
GPU_KEYS: Final = ("kind", "name", "uuid", "count", "driver", "memory_bytes")
ERROR_KEYS: Final = ("code", "message")
PRICE_KEYS: Final = ("basis", "rates", "currency", "charge_micros", "device_time_us", "per_hour_micros")
MODEL_KEYS: Final = ("id", "dtype", "device", "engine", "version", "quantisation", "engine_version", "weights_digest")
SENDER_KEYS: Final = ("proof", "address", "token_id", "signature")
SENDER_SIGNATURE_KEYS: Final = ("nonce", "deadline", "signature")
PROVIDER_KEYS: Final = ("id", "name", "address")
REQUEST_KEYS: Final = ("body", "salt", "reader", "target", "content_type")
OUTPUT_KEYS: Final = ("kind", "content", "logprobs", "finish_reason")
BLOB_KEYS: Final = ("digest", "length", "sealed_digest")
INSTRUCTIONS_KEYS: Final = ("system", "chat_template", "chat_template_digest")
_STATES: Final = {state.value: state for state in r.State}
