"""From the bytes of a chat request to a `ChatRequest`, or to a refusal that names what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks import Reading, chat_neutral, chat_requests
from tallystick.tasks.chat_neutral import Neutral
from tallystick.tasks.reading import checked_object
from tallystick_platform.api.chat_body import MAX_STOP_CHARS, NAMES, ChatBody
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.strict_json import read_object
from tallystick_platform.exchange.request import ChatRequest, Turn

_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)

_TYPE_NAMES = {str: "any text", bool: "true, false", dict: "any object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedChat:
    """The request, and how its answer is to be sent."""

    request: ChatRequest
    stream: bool
    include_usage: bool


def parse_chat(body: bytes) -> ParsedChat:
    """Read a chat request. What the record will hold of it is read by the function that auditors read it with.

    Raises: BadRequest, naming the parameter.
    """
    _, members = read_object(body)
    try:
        parsed = msgspec.convert(_acting(members), ChatBody)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from error
    _refuse_misfits(parsed)
    reading, turns = _read(members)
    if not any(turn["content"].strip() for turn in turns):
        raise BadRequest("The prompt is empty: no message holds any text.", param="messages", code="empty_prompt")
    stop = parsed.stop
    return ParsedChat(
        request=ChatRequest(
            model=parsed.model,
            reading=reading,
            turns=turns,
            temperature=parsed.temperature,
            top_p=parsed.top_p,
            top_k=parsed.top_k,
            max_tokens=parsed.max_completion_tokens if parsed.max_tokens is None else parsed.max_tokens,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            seed=parsed.seed,
            user=parsed.user,
        ),
        stream=bool(parsed.stream),
        include_usage=bool(parsed.stream_options and parsed.stream_options.include_usage),
    )


def _read(members: dict[str, object]) -> tuple[Reading, tuple[Turn, ...]]:
    """The reading of the record, and the turns that the model is given."""
    try:
        reading = chat_requests.read_members(checked_object(members))
        return reading, tuple(_turn(message) for message in chat_requests.messages_of(reading))
    except RequestError as error:
        where = quoted(error.param)
        raise BadRequest(
            f"Invalid value for '{where or 'body'}': it {error.reason}.", param=where or None, code="invalid_value"
        ) from error


def _acting(members: dict[str, object]) -> dict[str, object]:
    """The request without what changes nothing. Of that only the record keeps something. Raises: BadRequest."""
    kept = {}
    for name, value in members.items():
        if name in NAMES:
            kept[name] = value
        elif name not in chat_neutral.PARAMETERS:
            shown = quoted(name)
            raise BadRequest(f"Unknown parameter: '{shown}'.", param=shown, code="unknown_parameter")
        else:
            _check_neutral(name, value, chat_neutral.PARAMETERS[name])
    messages = members.get("messages")
    if isinstance(messages, list):
        kept["messages"] = [_acting_message(message, f"messages[{at}]") for at, message in enumerate(messages)]
    return kept


def _acting_message(message: object, where: str) -> object:
    """A message without what changes nothing; an assistant's may have had no content. Wrong types are left for the decoder to name."""
    if not isinstance(message, dict):
        return message
    kept = _without_neutral(message, where, chat_neutral.MESSAGE)
    content = kept.get("content")
    if content is None and kept.get("role") == "assistant":
        kept["content"] = ""
    elif isinstance(content, list):
        kept["content"] = [
            _without_neutral(part, f"{where}.content[{at}]", chat_neutral.PART) if isinstance(part, dict) else part
            for at, part in enumerate(content)
        ]
    return kept


def _without_neutral(members: dict[str, object], where: str, known: Mapping[str, Neutral]) -> dict[str, object]:
    kept = {}
    for name, value in members.items():
        if name in known:
            _check_neutral(f"{where}.{name}", value, known[name])
        else:
            kept[name] = value
    return kept


def _check_neutral(param: str, value: object, neutral: Neutral) -> None:
    if neutral.holds(value):  # type: ignore[arg-type]  # JSON values are among a record's
        return
    if not (neutral.values or neutral.any_of):
        raise BadRequest(
            f"Unsupported parameter: '{param}' is not offered by this server.",
            param=param,
            code="unsupported_parameter",
        )
    taken = [json.dumps(one) for one in (*neutral.values, None)]
    taken[:0] = [_TYPE_NAMES[kind] for kind in neutral.any_of]
    raise BadRequest(
        f"Unsupported value: '{param}' is taken only where it changes nothing: {', '.join(taken[:-1])} or {taken[-1]}.",
        param=param,
        code="unsupported_value",
    )


def _refuse_misfits(body: ChatBody) -> None:
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise BadRequest(
            "'max_tokens' and 'max_completion_tokens' differ: send one.", param="max_tokens", code="invalid_value"
        )
    options = body.stream_options
    if options is not None and options.include_obfuscation:
        raise BadRequest(
            "Unsupported value: pieces of a stream are not padded by this server.",
            param="stream_options.include_obfuscation",
            code="unsupported_value",
        )
    if options is not None and options.include_usage and not body.stream:
        raise BadRequest("'stream_options' needs 'stream': true.", param="stream_options", code="invalid_value")
    if isinstance(body.stop, str) and not 1 <= len(body.stop) <= MAX_STOP_CHARS:
        raise BadRequest(f"'stop' must hold 1 to {MAX_STOP_CHARS} characters.", param="stop", code="invalid_value")


def explained(message: str) -> BadRequest:
    """The validation error in the words of an API user: which parameter, and whether its type or its value is wrong."""
    match = _PATH.match(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    if unknown := _UNKNOWN.search(what):
        name = f"{path}.{unknown['name']}" if path else unknown["name"]
        return BadRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if missing := _MISSING.search(what):
        name = f"{path}.{missing['name']}" if path else missing["name"]
        return BadRequest(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    kind = "type" if ", got " in what else "value"
    return BadRequest(f"Invalid {kind} for '{path or 'body'}': {what}.", param=path or None, code=f"invalid_{kind}")


def _turn(message: Mapping[str, Value]) -> Turn:
    role = str(message["role"])
    content = chat_requests.text_of(message.get("content"), "messages.content")
    return {"role": "system" if role in chat_requests.SYSTEM_ROLES else role, "content": content}
