"""Requests to `POST /hosted/{model}/v1/predict` and `/predict_stream`: the address names the model, `inputs` are prompts, and `parameters`
have names and defaults of their own.

The reader `completion/hosted/1` gives what the task `completion` takes, under its names; `embedding/hosted/1`, for inputs that are pairs of
an instruction and a text, what `embedding` takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.errors import AnswerError, RequestError
from tallystick.record import MAX_OUTPUTS, Output, Value
from tallystick.tasks import embedding
from tallystick.tasks.answers import Received, fault_in, list_at, object_at, text_at, text_or_none_at
from tallystick.tasks.completion import text_output
from tallystick.tasks.reading import Reading, json_object, path_segments

COMPLETION_READER: Final = "completion/hosted/1"
EMBEDDING_READER: Final = "embedding/hosted/1"
ADDRESS: Final = re.compile(r"/hosted/(?P<model>[^/]+(?:/[^/]+)?)/v1/predict(?:_stream)?")
PARAMETERS: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_new_tokens": "max_tokens",
}  # fmt: skip
"""What may be asked for, and the name of each in a record."""
DEFAULTS: Final[Mapping[str, Value]] = {"temperature": 0.8, "top_p": 0.95, "top_k": 50, "max_tokens": 256}
"""What a request on this address asks for where it says nothing."""


def read(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(target, json_object(method, body))


def read_members(target: str, members: Mapping[str, Value]) -> Reading:
    """What a request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    model, inputs = _told(target, members, ("inputs", "parameters"))
    parameters = members.get("parameters")
    if not isinstance(parameters, dict | None):
        raise RequestError("parameters", "is not an object")
    asked: dict[str, Value] = dict(DEFAULTS)
    for name, value in (parameters or {}).items():
        if name not in PARAMETERS:
            raise RequestError(f"parameters.{name}", "is unknown here")
        if value is not None:
            asked[PARAMETERS[name]] = value
    return Reading(prompt={"prompt": inputs}, system=None, asked=asked, model=model)


def read_embedding(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a request for vectors asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_pairs(target, json_object(method, body))


def read_pairs(target: str, members: Mapping[str, Value]) -> Reading:
    """The same of a body that is parsed already, as `read_members`. Raises: RequestError."""
    model, inputs = _told(target, members, ("inputs",))
    return Reading(prompt={"input": inputs}, system=None, model=model)


def holds_pairs(members: Mapping[str, object]) -> bool:
    """Whether a request asks for vectors: its inputs are lists, and not texts."""
    inputs = members.get("inputs")
    return isinstance(inputs, list) and bool(inputs) and all(isinstance(one, list) for one in inputs)


def _told(target: str, members: Mapping[str, Value], known: Sequence[str]) -> tuple[str, list[Value]]:
    """The model that the address names, and the inputs. Raises: RequestError."""
    found = ADDRESS.fullmatch("/" + "/".join(path_segments(target)))
    if found is None:
        raise RequestError("target", "is no address of a hosted model")
    unknown = [name for name, value in members.items() if name not in known and value is not None]
    if unknown:
        raise RequestError(unknown[0], "is unknown here")
    inputs = members.get("inputs")
    if not isinstance(inputs, list):
        raise RequestError("inputs", "is not a list")
    return found["model"], inputs


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer.

    Raises: AnswerError.
    """
    texts = list_at(answer.get("outputs"), "outputs")
    if any(isinstance(one, list) for one in texts):
        return [embedding.vector_output(embedding.vector_at(one, f"outputs[{at}]")) for at, one in enumerate(texts)]
    reasons = list_at(answer.get("finish_reasons"), "finish_reasons")
    if not 1 <= len(texts) <= MAX_OUTPUTS or len(reasons) != len(texts):
        raise AnswerError("outputs", f"are not 1 to {MAX_OUTPUTS}, each with a reason in finish_reasons")
    return [
        text_output(text_at(text, f"outputs[{at}]"), text_or_none_at(reason, f"finish_reasons[{at}]"))
        for at, (text, reason) in enumerate(zip(texts, reasons, strict=True))
    ]


def received_events(events: Sequence[object]) -> Received:
    """The outcome in the events of a stream: `outputs` of each event are the next pieces, and the last has `finish_reasons`.

    Raises: AnswerError.
    """
    texts: list[str] = []
    reasons: list[object] = []
    error = None
    for event in events:
        members = object_at(event, "event")
        error = fault_in(members) or error
        pieces = list_at(members.get("outputs"), "outputs")
        texts += [""] * (len(pieces) - len(texts))
        if len(texts) > MAX_OUTPUTS:
            raise AnswerError("outputs", f"are more than {MAX_OUTPUTS}")
        for at, piece in enumerate(pieces):
            texts[at] += text_at(piece, f"outputs[{at}]")
        reasons = list_at(members.get("finish_reasons"), "finish_reasons") or reasons
    whole = len(reasons) == len(texts) > 0
    outputs = (
        outputs_received({"outputs": texts, "finish_reasons": reasons if whole else [None] * len(texts)})
        if texts
        else []
    )
    return Received(outputs=tuple(outputs), error=error, whole=whole or error is not None)
