"""The reader `chat/openai/1`: a request to `POST /v1/chat/completions`, as OpenAI's clients send it.

Every member of the body goes to exactly one place, known today or not, so that nothing that was asked is lost:

- `messages` is the prompt, each message with all its members as sent;
- any other member that is an object, or a list that holds objects or lists (tools, a response format), is part of the prompt too;
- `model` is the model, `stream` and `stream_options` say how the answer travels;
- every other member that is not null is a parameter that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks.reading import Reading, is_compound, json_object, parameters_in, require_method

NAME: Final = "chat/openai/1"
SYSTEM_ROLES: Final = ("system", "developer")
"""Chat templates know one of the two."""
SYSTEM_SEPARATOR: Final = "\n\n"
TEXT_PART: Final = "text"

_ELSEWHERE: Final = ("model", "messages", "stream", "stream_options", "max_completion_tokens", "stop")


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a chat request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    require_method(method, "POST")
    return read_members(json_object(body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a chat request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    messages = members.get("messages")
    if not isinstance(messages, list):
        raise RequestError("messages", "is not a list")
    prompt: dict[str, Value] = {"messages": messages}
    for name, value in members.items():
        if name not in _ELSEWHERE and is_compound(value):
            if name == "blob":
                raise RequestError(name, "is a name that a record keeps for itself")
            prompt[name] = value
    return Reading(prompt=prompt, system=_system(messages), asked=_asked(members), model=_model(members))


def messages_of(reading: Reading) -> list[Mapping[str, Value]]:
    """The messages of a chat request that was read, as sent."""
    messages = (reading.prompt or {}).get("messages")
    return [message for message in messages if isinstance(message, Mapping)] if isinstance(messages, list) else []


def text_of(content: Value, where: str) -> str:
    """The text of a message: its content, or its text parts joined; none is the empty text.

    Raises: RequestError.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RequestError(where, "is neither text nor a list of parts")
    texts = []
    for at, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise RequestError(f"{where}[{at}]", "is not an object with a type")
        if part["type"] == TEXT_PART:
            text = part.get("text")
            if not isinstance(text, str):
                raise RequestError(f"{where}[{at}].text", "is not text")
            texts.append(text)
    return "".join(texts)


def _system(messages: list[Value]) -> str | None:
    texts = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(where, "is not an object with a role")
        if message["role"] in SYSTEM_ROLES:
            texts.append(text_of(message.get("content"), f"{where}.content"))
    return SYSTEM_SEPARATOR.join(texts) if texts else None


def _asked(members: Mapping[str, Value]) -> dict[str, Value]:
    asked = parameters_in(members, _ELSEWHERE)
    other, most = members.get("max_completion_tokens"), members.get("max_tokens")
    if other is not None:
        if not _is_number(other):
            raise RequestError("max_completion_tokens", "is not a number")
        if most is not None and not (_is_number(most) and most == other):
            raise RequestError("max_tokens", "differs from max_completion_tokens")
        asked.setdefault("max_tokens", other)
    stop = members.get("stop")
    if stop is not None:
        stops = stop if isinstance(stop, list) else [stop]
        if not all(isinstance(one, str) for one in stops):
            raise RequestError("stop", "is neither text nor a list of texts")
        asked["stop"] = stops
    return asked


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _model(members: Mapping[str, Value]) -> str | None:
    model = members.get("model")
    if model is not None and not isinstance(model, str):
        raise RequestError("model", "is not text")
    return model
