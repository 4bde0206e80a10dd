"""The way back: from a decoded map to a record. Types and bounds are checked when the record is written again.

Until then its parts hold whatever was read, so nothing here may be handed out before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tallystick import record as r
from tallystick.encoding import parts
from tallystick.encoding.keepsakes import Keepsakes
from tallystick.errors import EncodingError, RecordError

MAX_SHOWN_KEY: Final = 40
OUTPUT_KEYS: Final = ("kind", "content", "logprobs", "finish_reason")


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
        error=_structure(parts.ERROR, tree["error"]),
        time=_structure(parts.TIME, tree["time"]),
        http=_structure(parts.HTTP, tree["http"]),
        gpu=_kept(parts.GPU, tree["gpu"], keepsakes),
        provider=_kept(parts.PROVIDER, tree["provider"], keepsakes),
        price=_structure(parts.PRICE, tree["price"]),
        model=_kept(parts.MODEL, tree["model"], keepsakes),
        parameters=tree["parameters"],
        request=read_large("request", tree["request"]),
        prompt=read_large("prompt", tree["prompt"]),
        instructions=read_large("instructions", tree["instructions"]),
        response=read_large("response", tree["response"]),
        usage=tree["usage"],
        sender=_sender(tree["sender"], keepsakes),
        follows=tree["follows"],
        proof_of_compute=_kept(parts.PROOF, tree["proof_of_compute"], keepsakes),
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


def _structure(structure: parts.Structure, value: Any) -> Any:
    if value is None:
        return None
    same_keys(structure.path, value, structure.keys)
    return structure.kind(**dict(zip(structure.attributes, value.values(), strict=True)))


def _kept(structure: parts.Structure, value: Any, keepsakes: Keepsakes) -> Any:
    if value is None:
        return None
    if type(value) is not dict:
        raise RecordError(structure.path, "is not a map")
    values = (structure.kind, *value.values())
    try:
        part = keepsakes.part(values)
    except TypeError as error:
        raise RecordError(structure.path, "holds a list or a map") from error
    if part is None:
        part = _structure(structure, value)
        keepsakes.keep_part(values, part)
    return part


def read_large(name: str, value: Any) -> Any:
    """The content of a large field, or the blob reference in its place. Raises: as `read_record`."""
    if type(value) is dict and "blob" in value:
        same_keys(name, value, ("blob",))
        blob = value["blob"]
        if blob is None:
            raise RecordError(f"{name}.blob", "is null")
        return _structure(parts.BLOBS[name], blob)
    if name == "prompt":
        return value
    if name == "response":
        return _response(value)
    return _structure(parts.REQUEST if name == "request" else parts.INSTRUCTIONS, value)


def _response(value: Any) -> Any:
    if value is None:
        return None
    same_keys("response", value, ("outputs",))
    outputs = value["outputs"]
    if type(outputs) is not list:
        raise RecordError("response.outputs", "is not a list")
    if None in outputs:
        raise RecordError("response.outputs", "holds null")
    return r.Response(outputs=tuple([_output(one) for one in outputs]))


def _output(value: Any) -> Any:
    same_keys("response.outputs", value, OUTPUT_KEYS)
    return r.Output(**value)


def _sender(value: Any, keepsakes: Keepsakes) -> Any:
    signature = value.get("signature") if type(value) is dict else None
    if signature is None:
        return _kept(parts.SENDER, value, keepsakes)
    same_keys("sender", value, parts.SENDER.keys)  # a signature is of one request: nothing to keep
    return r.Sender(**{**value, "signature": _structure(parts.SENDER_SIGNATURE, signature)})


def _state(value: object) -> r.State:
    state = _STATES.get(value) if type(value) is str else None
    if state is None:
        raise RecordError("state", f"is not one of {', '.join(r.State)}")
    return state


def _shown(key: object) -> str:
    return ascii(key).strip("'")[:MAX_SHOWN_KEY]


_STATES: Final = {state.value: state for state in r.State}
