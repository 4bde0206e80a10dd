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
        prompt=_or_blob("prompt", tree["prompt"]),
        instructions=_instructions(tree["instructions"]),
        response=_response(tree["response"]),
        usage=_structure("usage", r.Usage, USAGE_KEYS, tree["usage"]),
        sender=_kept("sender", r.Sender, SENDER_KEYS, tree["sender"], keepsakes),
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
            raise RecordError(f"{name}.{_shown(key)}", "is unknown to version 1")
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


def _or_blob(name: str, value: Any) -> Any:
    if type(value) is dict and "blob" in value:
        same_keys(name, value, ("blob",))
        blob = value["blob"]
        if blob is None:
            raise RecordError(f"{name}.blob", "is null")
        return _structure(f"{name}.blob", r.BlobRef, BLOB_KEYS, blob)
    return value


def _instructions(value: Any) -> Any:
    value = _or_blob("instructions", value)
    if type(value) is r.BlobRef:
        return value
    return _structure("instructions", r.Instructions, INSTRUCTIONS_KEYS, value)


def _response(value: Any) -> Any:
    value = _or_blob("response", value)
    if value is None or type(value) is r.BlobRef:
        return value
    same_keys("response", value, ("choices",))
    choices = value["choices"]
    if type(choices) is not list:
        raise RecordError("response.choices", "is not a list")
    return r.Response(choices=tuple([_structure("response.choices", r.Choice, CHOICE_KEYS, one) for one in choices]))


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
TIME_KEYS: Final = ("started_at", "admitted_at", "finished_at")
HTTP_KEYS: Final = ("path", "method", "streamed", "request_hash", "response_hash")
GPU_KEYS: Final = ("kind", "name", "uuid", "count", "driver", "memory_bytes")
ERROR_KEYS: Final = ("code", "message")
PRICE_KEYS: Final = ("currency", "charge_micros", "device_time_us", "per_hour_micros")
MODEL_KEYS: Final = ("id", "dtype", "device", "engine", "version", "quantisation", "engine_version", "weights_digest")
USAGE_KEYS: Final = ("input_tokens", "output_tokens")
SENDER_KEYS: Final = ("proof", "address", "token_id", "signature")
PROVIDER_KEYS: Final = ("id", "name", "address")
CHOICE_KEYS: Final = ("text", "index", "finish_reason")
BLOB_KEYS: Final = ("digest", "length", "sealed_digest")
INSTRUCTIONS_KEYS: Final = ("system", "chat_template", "chat_template_digest")
_STATES: Final = {state.value: state for state in r.State}
