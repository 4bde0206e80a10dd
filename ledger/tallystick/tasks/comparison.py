"""Where a record and a reading of its request disagree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from tallystick.errors import RequestError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.record import BlobRef, Model, Record, Value
from tallystick.tasks.reading import Reading

MAX_SHOWN_CHARS: Final = 60
ABSENT: Final = "nothing"
STILL_A_BLOB: Final = "stands in a blob that was not opened"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that the record says otherwise than its request. `expected` follows from the request; long values are shown by digest."""

    what: str
    expected: str
    found: str


def disagreements(record: Record, reading: Reading) -> list[Disagreement]:
    """Everything in which a record says otherwise than its request: prompt, system instructions, parameters asked for, model.

    Requires: the large fields of the record are inline; what stands in a blob is put in its place first.
    Raises: RequestError, naming a field that is still a blob.
    Source: SPEC 7.
    """
    prompt, instructions = record.prompt, record.instructions
    if isinstance(prompt, BlobRef):
        raise RequestError("prompt", STILL_A_BLOB)
    if isinstance(instructions, BlobRef):
        raise RequestError("instructions", STILL_A_BLOB)
    found = []
    if not same_value(reading.prompt, prompt):
        found.append(Disagreement("prompt", _shown(reading.prompt), _shown(prompt)))
    for name in ("system", "chat_template"):
        expected, stated = getattr(reading, name), getattr(instructions, name, None)
        if expected != stated:
            found.append(Disagreement(f"instructions.{name}", _shown(expected), _shown(stated)))
    for name, value in reading.asked.items():
        what = f"parameters.{name}"
        if name not in record.parameters:
            found.append(Disagreement(what, _shown(value), ABSENT))
        elif not same_value(value, record.parameters[name]):
            found.append(Disagreement(what, _shown(value), _shown(record.parameters[name])))
    if reading.model is not None and record.model is not None and not names_model(reading.model, record.model):
        found.append(Disagreement("model.id", _shown(reading.model), _shown(record.model.id)))
    return found


def names_model(reference: str, model: Model) -> bool:
    """Whether `id` or `id@digits` names this model: ids are the same but for ASCII case, digits begin the digest of the weights."""
    model_id, _, digits = reference.partition("@")
    return model_id.encode().lower() == model.id.encode().lower() and model.weights_digest.hex().startswith(digits)


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are the same: numbers by value, so that 1 is 1.0; true and false are no numbers.

    Requires: maps are dicts, lists are lists or tuples, as JSON and a decoded record have them.
    """
    if type(one) is str:
        return one == other
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    return type(one) is type(other) and one == other


def _shown(value: Value) -> str:
    if value is None:
        return ABSENT
    text = json.dumps(value, sort_keys=True, default=to_hex)  # bytes are all that JSON does not know
    if len(text) <= MAX_SHOWN_CHARS:
        return text
    return (
        f"{text[: MAX_SHOWN_CHARS // 2]}... ({len(text)} characters, keccak256 {to_hex(keccak256(text.encode()))[:18]})"
    )
