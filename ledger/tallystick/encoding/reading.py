"""The way back: from decoded maps to the parts of a record. Types and bounds inside are checked when a part is written again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tallystick import record as r
from tallystick.errors import EncodingError, RecordError

MAX_SHOWN_KEY: Final = 40


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


def _structure(name: str, kind: Any, *keys: str) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        same_keys(name, value, keys)
        return kind(**value)

    return read


def _or_blob(name: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    blob = _structure(f"{name}.blob", r.BlobRef, "digest", "length", "sealed_digest")

    def read_either(value: Any) -> Any:
        if type(value) is dict and "blob" in value:
            same_keys(name, value, ("blob",))
            return blob(value["blob"])
        return read(value)

    return read_either


def _state(value: object) -> r.State:
    try:
        return r.State(value)  # type: ignore[arg-type]  # whatever it is, the enumeration decides
    except ValueError as error:
        raise RecordError("state", f"is not one of {', '.join(r.State)}") from error


def _response(value: Any) -> r.Response:
    same_keys("response", value, ("choices",))
    choices = value["choices"]
    if type(choices) is not list:
        raise RecordError("response.choices", "is not a list")
    return r.Response(choices=tuple(map(_choice, choices)))


def _proof_of_compute(value: Any) -> r.ProofOfCompute:
    same_keys("proof_of_compute", value, ("class", "toploc"))
    return r.ProofOfCompute(class_=value["class"], toploc=value["toploc"])


def _shown(key: object) -> str:
    return ascii(key).strip("'")[:MAX_SHOWN_KEY]


_choice = _structure("response.choices", r.Choice, "text", "index", "finish_reason")
_instructions = _structure("instructions", r.Instructions, "system", "chat_template", "chat_template_digest")

READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "gpu": _structure("gpu", r.Gpu, "kind", "name", "uuid", "count", "driver", "memory_bytes"),
    "http": _structure("http", r.HttpExchange, "path", "method", "streamed", "request_hash", "response_hash"),
    "time": _structure("time", r.RecordTime, "started_at", "admitted_at", "finished_at"),
    "error": _structure("error", r.RecordFault, "code", "message"),
    "model": _structure(
        "model",
        r.Model,
        "id",
        "dtype",
        "device",
        "engine",
        "version",
        "quantisation",
        "engine_version",
        "weights_digest",
    ),
    "price": _structure("price", r.Price, "currency", "charge_micros", "device_time_us", "per_hour_micros"),
    "state": _state,
    "usage": _structure("usage", r.Usage, "input_tokens", "output_tokens"),
    "prompt": _or_blob("prompt", lambda value: value),
    "sender": _structure("sender", r.Sender, "proof", "address", "token_id", "signature"),
    "provider": _structure("provider", r.Provider, "id", "name", "address"),
    "response": _or_blob("response", _response),
    "instructions": _or_blob("instructions", _instructions),
    "proof_of_compute": _proof_of_compute,
}
"""How the value of a field becomes its part, when it is not null; a field that is not here is its value."""
