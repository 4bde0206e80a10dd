"""From the bytes of a chat request to a `ChatRequest`, or to a refusal that names what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks import Reading, chat_requests
from tallystick.tasks.reading import checked_object
from tallystick_platform.api.chat_body import (
    MAX_STOP_CHARS,
    NAMES,
    NOT_OFFERED,
    ChatBody,
)
from tallystick_platform.api.refusals import BadRequest, quoted
from tallystick_platform.api.strict_json import read_object
from tallystick_platform.exchange.request import ChatRequest, Turn

_DECODER = msgspec.json.Decoder(ChatBody)
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)


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
    text, members = read_object(body)
    _refuse_unknown(members)
    try:
        parsed = _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise explained(str(error)) from error
    except msgspec.DecodeError as error:  # what one reader takes and the other does not
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error
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


def _refuse_unknown(keys: dict[str, object]) -> None:
    for name in keys:
        if name not in NAMES:
            shown = quoted(name)
            if name in NOT_OFFERED:
                raise BadRequest(
                    f"Unsupported parameter: '{shown}' is not offered by this server.",
                    param=shown,
                    code="unsupported_parameter",
                )
            raise BadRequest(f"Unknown parameter: '{shown}'.", param=shown, code="unknown_parameter")


def _refuse_misfits(body: ChatBody) -> None:
    if body.n not in {None, 1}:
        raise BadRequest("Unsupported value: 'n' must be 1.", param="n", code="unsupported_value")
    if body.max_tokens and body.max_completion_tokens and body.max_tokens != body.max_completion_tokens:
        raise BadRequest(
            "'max_tokens' and 'max_completion_tokens' differ: send one.", param="max_tokens", code="invalid_value"
        )
    if body.stream_options is not None and not body.stream:
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
