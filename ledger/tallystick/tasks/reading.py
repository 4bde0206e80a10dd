"""What a reader gives, and the rules that all readers share for JSON bodies and addresses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from tallystick.errors import JsonError, RequestError
from tallystick.record import MAX_BLOB_BYTES, MAX_DEPTH, MAX_OUTPUTS, MAX_VALUE_INTEGER, MIN_VALUE_INTEGER, Value
from tallystick.strict_json import read_json

MAX_BODY_BYTES: Final = MAX_BLOB_BYTES
"""No record can hold a larger request."""
DELIVERY: Final = ("stream", "stream_options")
"""Members that say how the answer travels."""
MAX_LOGIT_BIAS: Final = 100
MAX_LOGIT_BIASES: Final = 1_024
MAX_TOKEN_DIGITS: Final = 9
"""Of the id of a token, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a request asks.

    `prompt`, `system` and `chat_template` are what the record's `prompt` and its `instructions` must say. `asked` holds the parameters
    that the sender gave, under the names of the record's `parameters`. `model` is the model that the request names, as it names it.
    `attached` are the contents of members that the prompt names by their digests.
    """

    prompt: Mapping[str, Value] | None
    system: str | None
    asked: Mapping[str, Value] = field(default_factory=dict)
    model: str | None = None
    attached: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    chat_template: str | None = None

    @property
    def whole(self) -> Mapping[str, Value]:
        """The prompt with the contents in place of their digests, and the template that writes it: what a model is given."""
        template = {} if self.chat_template is None else {"chat_template": self.chat_template}
        return {**(self.prompt or {}), **self.attached, **template}


def json_object(method: str, body: bytes) -> dict[str, Value]:
    """The JSON object that a request posts, whose values a record can hold.

    Raises: RequestError.
    """
    require_method(method, "POST")
    try:
        value = read_json(body, MAX_BODY_BYTES)
    except JsonError as error:
        raise RequestError(error.member or "", str(error)) from error
    return checked_object(value)


def checked_object(value: object) -> dict[str, Value]:
    """A JSON object that was read strictly already, held to what a record can hold.

    Raises: RequestError.
    """
    if not isinstance(value, dict):
        raise RequestError("", "is not a JSON object")
    for name, member in value.items():
        _check_value(name, member, MAX_DEPTH - 1)  # the field itself is a map around it
    return value


def require_method(method: str, expected: str) -> None:
    """Raises: RequestError if the request came by another method."""
    if method != expected:
        raise RequestError("method", f"is {method!a:.40}, not {expected}")


def path_segments(target: str) -> list[str]:
    """The parts of the path, percent-decoded, without its query.

    Raises: RequestError.
    """
    path = target.partition("?")[0]
    if not path.startswith("/"):
        raise RequestError("target", "does not begin with a slash")
    try:
        return [unquote(segment, errors="strict") for segment in path[1:].split("/")]
    except UnicodeDecodeError as error:
        raise RequestError("target", "is not percent-encoded UTF-8") from error


def placed(members: Mapping[str, Value], subject: str, elsewhere: Collection[str] = ()) -> Reading:
    """Each member of a body in its one place, known today or not, so that nothing that was asked is lost.

    The subject, as sent, and every other member that is an object or holds containers are the prompt; `model` is the model; every other
    member that is not null was asked for. The caller places those named in `elsewhere`.

    Raises: RequestError.
    """
    model = members.get("model")
    if model is not None and not isinstance(model, str):
        raise RequestError("model", "is not text")
    prompt: dict[str, Value] = {subject: members.get(subject)}
    asked: dict[str, Value] = {}
    for name, value in members.items():
        if value is None or name in (subject, "model") or name in elsewhere:
            continue
        if not is_compound(value):
            asked[name] = value
        elif name == "blob":
            raise RequestError(name, "is a name that a record keeps for itself")
        else:
            prompt[name] = value
    return Reading(prompt=prompt, system=None, asked=asked, model=model)


def stops_in(members: Mapping[str, Value]) -> dict[str, Value]:
    """The parameter `stop` as it is asked for: a list of texts, also where one text was sent.

    Raises: RequestError.
    """
    stop = members.get("stop")
    if stop is None:
        return {}
    stops = stop if isinstance(stop, list) else [stop]
    if not all(isinstance(one, str) for one in stops):
        raise RequestError("stop", "is neither text nor a list of texts")
    return {"stop": stops}


def biases_in(prompt: Mapping[str, Value]) -> dict[int, float]:
    """What `logit_bias` adds to the logits of which tokens, by their ids; nothing where there is none.

    Requires: the prompt of a reading or a record.
    Raises: RequestError.
    """
    biases = prompt.get("logit_bias")
    if biases is None:
        return {}
    if not isinstance(biases, Mapping) or len(biases) > MAX_LOGIT_BIASES:
        raise RequestError("logit_bias", f"is no object of up to {MAX_LOGIT_BIASES} token ids with a number each")
    found = {}
    for token, bias in biases.items():
        if not (token.isascii() and token.isdecimal() and len(token) <= MAX_TOKEN_DIGITS):
            raise RequestError(f"logit_bias.{token}", "is no id of a token")
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not abs(bias) <= MAX_LOGIT_BIAS:
            raise RequestError(f"logit_bias.{token}", f"is no number from -{MAX_LOGIT_BIAS} to {MAX_LOGIT_BIAS}")
        if int(token) in found:
            raise RequestError(f"logit_bias.{token}", "names a token twice")
        found[int(token)] = float(bias)
    return found


def texts_or_ids(value: Value, where: str) -> tuple[str | tuple[int, ...], ...]:
    """What a model is given one by one: a text, a list of texts, the ids of the tokens of a text, or a list of such ids.

    Raises: RequestError; an empty text or list is nothing to give.
    """
    if isinstance(value, str) or _holds_numbers(value):
        value = [value]
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_OUTPUTS:
        raise RequestError(where, f"is neither text nor token ids, nor a list of 1 to {MAX_OUTPUTS} of one of them")
    found = tuple(_text_or_ids(one, where) for one in value)
    if len({type(one) for one in found}) > 1:
        raise RequestError(where, "mixes texts with ids of tokens")
    return found


def subject_of(members: Mapping[str, Value], names: Collection[str]) -> str:
    """The one of several names under which a request has its subject.

    Raises: RequestError if it has none of them, or more than one.
    """
    found = [name for name in names if members.get(name) is not None]
    if len(found) != 1:
        first = next(iter(names))
        raise RequestError(found[1] if found else first, f"is one of {', '.join(names)}, and exactly one must be there")
    return found[0]


def texts_in(value: Value, where: str) -> tuple[str, ...]:
    """What a model is given one by one: a text, or a list of texts.

    Raises: RequestError; an empty text or list is nothing to give.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not 1 <= len(texts) <= MAX_OUTPUTS:
        raise RequestError(where, f"is neither text nor a list of 1 to {MAX_OUTPUTS} of them")
    found = tuple(one for one in texts if isinstance(one, str) and one)
    if len(found) != len(texts):
        raise RequestError(where, "holds something else than texts, or an empty one")
    return found


def is_compound(value: Value) -> bool:
    """Whether a value is more than a scalar or a list of scalars."""
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict)


def _holds_numbers(value: Value) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and not isinstance(value[0], str | list | tuple)


def _text_or_ids(value: Value, where: str) -> str | tuple[int, ...]:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list | tuple) and value:
        ids = tuple(one for one in value if type(one) is int and one >= 0)
        if len(ids) == len(value):
            return ids
    raise RequestError(where, "holds something else than texts or ids of tokens, or an empty one")


def _check_value(where: str, value: object, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise RequestError(where, f"nests deeper than the {MAX_DEPTH} levels of a record")
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) is not str:  # most are
                _check_value(where, item, depth - 1)
    elif type(value) is int and not MIN_VALUE_INTEGER <= value <= MAX_VALUE_INTEGER:
        raise RequestError(where, "holds an integer beyond 64 bits")
