"""Chats as Anthropic's clients ask for them, at `POST /v1/messages`: the same task in other words.

The reader `chat/anthropic/1` gives what `chat/openai/1` would give of the same conversation, so that record, model and replay know one kind
of chat. An answer's `input` is an object, which has lost how the model wrote it; `tool_arguments` beside it holds the arguments of each
call word for word, as the record does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tallystick.errors import AnswerError, RequestError
from tallystick.record import Output, Value
from tallystick.tasks import chat
from tallystick.tasks.answers import Received, fault_in, list_at, object_at, position_at, text_at
from tallystick.tasks.reading import Reading, checked_object, json_object

READER: Final = "chat/anthropic/1"
TARGET: Final = "/v1/messages"
MESSAGE: Final = "message"
EVENTS: Final = ("message_start", "content_block_start", "content_block_delta", "message_delta")
"""Events of a stream that say anything."""
STOP_REASONS: Final[Mapping[str, str]] = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
"""Why an answer ended, and what its record says."""
MAX_BLOCKS: Final = 1 + chat.MAX_TOOL_CALLS * 2

_SAID_OTHERWISE: Final = ("messages", "system", "stop_sequences", "tools", "tool_choice")
_CHOICES: Final[Mapping[Value, str]] = {"auto": "auto", "any": "required", "none": "none"}


def read(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a chat request asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_members(json_object(method, body))


def read_members(members: Mapping[str, Value]) -> Reading:
    """What a chat request asks whose body is parsed already.

    Requires: a body that `json_object` or `checked_object` gave.
    Raises: RequestError.
    """
    return chat.read_members(checked_object(_as_chat(members)))


def _as_chat(members: Mapping[str, Value]) -> dict[str, Value]:
    """The body that a client of OpenAI's would have sent."""
    messages = members.get("messages")
    if not isinstance(messages, list):
        raise RequestError("messages", "is not a list")
    made = {name: value for name, value in members.items() if name not in _SAID_OTHERWISE}
    told: list[Value] = [*_system(members.get("system"))]
    for at, message in enumerate(messages):
        told.extend(_messages(message, f"messages[{at}]"))
    made["messages"] = told
    if members.get("tools") is not None:
        made["tools"] = _tools(members["tools"])
    if members.get("stop_sequences") is not None:
        made["stop"] = members["stop_sequences"]
    return {**made, **_choice(members.get("tool_choice"))}


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer that was sent whole.

    Raises: AnswerError.
    """
    texts: list[str] = []
    calls: list[dict[str, Value]] = []
    arguments = list_at(answer.get("tool_arguments"), "tool_arguments")
    for at, one in enumerate(list_at(answer.get("content"), "content")):
        block, where = object_at(one, f"content[{at}]"), f"content[{at}]"
        if block.get("type") == "text":
            texts.append(text_at(block.get("text"), f"{where}.text"))
        elif block.get("type") == "tool_use":
            if len(calls) >= len(arguments):
                raise AnswerError("tool_arguments", "has fewer texts than there are calls")
            written = text_at(arguments[len(calls)], "tool_arguments")
            name, call = text_at(block.get("name"), f"{where}.name"), text_at(block.get("id"), f"{where}.id")
            calls.append({"id": call, "name": name, "arguments": written})
        else:
            raise AnswerError(f"{where}.type", "is neither text nor tool_use")
    reason = _reason(answer.get("stop_reason"), "stop_reason")
    return [chat.chat_output("".join(texts) if texts else None, reason, calls)]


def stream_received(events: Sequence[object]) -> Received:
    """The outcome in the events of a stream: the pieces joined.

    Raises: AnswerError.
    """
    blocks: dict[int, dict[str, str]] = {}
    reason = error = None
    for event in events:
        members = object_at(event, "event")
        error = fault_in(members) or error
        kind = members.get("type")
        if kind == "content_block_start":
            block = object_at(members.get("content_block"), "content_block")
            named = {name: text_at(block[name], f"content_block.{name}") for name in ("id", "name") if name in block}
            said = text_at(block.get("text", ""), "content_block.text")
            blocks[_index(members)] = {**named, "said": said}
        elif kind == "content_block_delta":
            delta, at = object_at(members.get("delta"), "delta"), _index(members)
            if at not in blocks:
                raise AnswerError("index", "is that of no block that was begun")
            blocks[at]["said"] += text_at(delta.get("text", delta.get("partial_json")), "delta")
        elif kind == "message_delta":
            reason = _reason(object_at(members.get("delta"), "delta").get("stop_reason"), "delta.stop_reason")
    texts = [block["said"] for block in blocks.values() if "id" not in block]
    calls: list[dict[str, Value]] = [
        {"id": block["id"], "name": block.get("name", ""), "arguments": block["said"]}
        for block in blocks.values()
        if "id" in block
    ]
    outputs = (chat.chat_output("".join(texts) if texts else None, reason, calls),)
    return Received(outputs=outputs, error=error, whole=reason is not None or error is not None)


def _index(event: Mapping[str, object]) -> int:
    return position_at(event.get("index"), "index", MAX_BLOCKS)


def _reason(value: object, where: str) -> str | None:
    if value is None:
        return None
    found = STOP_REASONS.get(text_at(value, where))
    if found is None:
        raise AnswerError(where, f"is none of {', '.join(STOP_REASONS)}")
    return found


def _system(system: Value) -> Iterator[Value]:
    if system is None:
        return
    if not isinstance(system, str | list):
        raise RequestError("system", "is neither text nor a list of blocks")
    yield {"role": chat.SYSTEM_ROLES[0], "content": system}


def _messages(message: Value, where: str) -> Iterator[dict[str, Value]]:
    """A message as chats have it: results of tools are messages of their own, in their place."""
    if not isinstance(message, dict) or message.get("role") not in ("user", chat.ANSWERING):
        raise RequestError(where, "is not a message of the user or the assistant")
    role, content = message["role"], message.get("content")
    other = {name: value for name, value in message.items() if name not in ("role", "content")}
    if not isinstance(content, list):
        yield {"role": role, "content": content, **other}
        return
    blocks = [_block(block, f"{where}.content[{at}]") for at, block in enumerate(content)]
    if role == chat.ANSWERING:
        calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
        parts: Value = [block for block in blocks if block["type"] != "tool_use"] or None
        yield {"role": role, "content": parts, **({"tool_calls": calls} if calls else {}), **other}
        return
    parts_of_one: list[Value] = []
    for block in blocks:
        if block["type"] != "tool_result":
            parts_of_one.append(block)
            continue
        if parts_of_one:
            yield {"role": role, "content": parts_of_one, **other}
            parts_of_one = []
        yield _result(block)
    if parts_of_one:
        yield {"role": role, "content": parts_of_one, **other}


def _block(block: Value, where: str) -> dict[str, Value]:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise RequestError(where, "is not an object with a type")
    return block


def _call(block: Mapping[str, Value]) -> dict[str, Value]:
    function: Value = {"name": block.get("name"), "arguments": block.get("input")}
    return {"id": block.get("id"), "type": "function", "function": function}


def _result(block: Mapping[str, Value]) -> dict[str, Value]:
    content = block.get("content")
    return {
        "role": chat.RESULT,
        "tool_call_id": block.get("tool_use_id"),
        "content": "" if content is None else content,
    }


def _tools(tools: Value) -> list[Value]:
    if not isinstance(tools, list):
        raise RequestError("tools", "is not a list")
    return [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]


def _tool(tool: Value, where: str) -> dict[str, Value]:
    if not isinstance(tool, dict):
        raise RequestError(where, "is not an object")
    if tool.get("type") not in (None, "custom"):
        raise RequestError(f"{where}.type", "is not custom, and tools of the server's own are not offered")
    if not isinstance(tool.get("input_schema"), dict):
        raise RequestError(f"{where}.input_schema", "is not an object")
    names = {"name": "name", "description": "description", "input_schema": "parameters", "strict": "strict"}
    function: Value = {other: tool[name] for name, other in names.items() if tool.get(name) is not None}
    beside = {name: value for name, value in tool.items() if name not in (*names, "type")}
    return {"type": "function", "function": function, **beside}


def _choice(choice: Value) -> dict[str, Value]:
    """`tool_choice` as chats have it."""
    if choice is None:
        return {}
    if not isinstance(choice, dict):
        raise RequestError("tool_choice", "is not an object")
    kind, alone = choice.get("type"), choice.get("disable_parallel_tool_use")
    made: dict[str, Value] = {}
    if kind == "tool":
        made["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _CHOICES:
        made["tool_choice"] = _CHOICES[kind]
    else:
        raise RequestError("tool_choice.type", f"is none of {', '.join(map(str, _CHOICES))}, tool")
    if alone is not None:
        if not isinstance(alone, bool):
            raise RequestError("tool_choice.disable_parallel_tool_use", "is neither true nor false")
        made["parallel_tool_calls"] = not alone
    return made
