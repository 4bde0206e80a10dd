"""Chats as OpenAI's newer clients ask for them, at `POST /v1/responses`: the same task in other words.

The reader `chat/responses/1` gives what `chat/openai/1` would give of the same conversation, so that record, model and replay know one kind
of chat. A request may go on from an earlier answer of the same sender. Its record names that one in `previous_response_id` and holds what
is new alone; the turns before stand in the records that lead there (`earlier_turns`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.errors import AnswerError, RequestError
from tallystick.record import BlobRef, Output, Record, Response, Value
from tallystick.tasks import chat
from tallystick.tasks.answers import Received, fault_in, list_at, object_at, text_at
from tallystick.tasks.reading import Reading, checked_object, json_object

READER: Final = "chat/responses/1"
TARGET: Final = "/v1/responses"
OBJECT: Final = "response"
EVENTS: Final = "response."
"""Events of a stream are called so, and more."""
PREVIOUS: Final = "previous_response_id"

_SAID_OTHERWISE: Final = ("input", "instructions", "max_output_tokens", "text", "tools", "tool_choice")
_TEXTS: Final = ("input_text", "output_text", "text")
_ENDED: Final = ("response.completed", "response.incomplete", "response.failed")


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
    """The body that a client of chats would have sent."""
    made = {name: value for name, value in members.items() if name not in _SAID_OTHERWISE}
    instructions = members.get("instructions")
    told: list[Value] = []
    if instructions is not None:
        if not isinstance(instructions, str):
            raise RequestError("instructions", "is not text")
        told.append({"role": chat.SYSTEM_ROLES[0], "content": instructions})
    told += _messages(members.get("input"))
    made["messages"] = told
    if members.get("tools") is not None:
        made["tools"] = _tools(members["tools"])
    if members.get("max_output_tokens") is not None:
        made["max_tokens"] = members["max_output_tokens"]
    choice = members.get("tool_choice")
    if choice is not None:
        made["tool_choice"] = _named(choice, ("name",), "tool_choice") if isinstance(choice, dict) else choice
    return {**made, **_format(members.get("text"))}


def earlier_turns(record: Record) -> tuple[list[Value], str | None]:
    """The messages that a request went on from whose answer is in this record, without its instructions, and what that one went on from.

    Requires: the record's large fields are in place.
    Raises: RequestError if it holds no such request, or no answer.
    """
    request, response, prompt = record.request, record.response, record.prompt
    if request is None or isinstance(request, BlobRef) or request.reader != READER:
        raise RequestError(PREVIOUS, "is the id of no response of this kind")
    if not isinstance(response, Response) or not isinstance(prompt, Mapping):
        raise RequestError(PREVIOUS, "is the id of a request that was not answered")
    members = json_object(record.http.method, request.body)
    messages = prompt.get("messages")
    turns: list[Value] = (
        list(messages)[members.get("instructions") is not None :] if isinstance(messages, list | tuple) else []
    )
    before = record.parameters.get(PREVIOUS)
    return [*turns, _answered(response.outputs[0])], before if isinstance(before, str) else None


def outputs_received(answer: Mapping[str, object]) -> list[Output]:
    """The outputs of an answer that was sent whole.

    Raises: AnswerError.
    """
    texts: list[str] = []
    calls: list[dict[str, Value]] = []
    for at, one in enumerate(list_at(answer.get("output"), "output")):
        item, where = object_at(one, f"output[{at}]"), f"output[{at}]"
        if item.get("type") == "message":
            parts = list_at(item.get("content"), f"{where}.content")
            texts += [
                text_at(object_at(part, f"{where}.content").get("text"), f"{where}.content.text") for part in parts
            ]
        elif item.get("type") == "function_call":
            names = {"call_id": "id", "name": "name", "arguments": "arguments"}
            calls.append({other: text_at(item.get(name), f"{where}.{name}") for name, other in names.items()})
        else:
            raise AnswerError(f"{where}.type", "is neither message nor function_call")
    status = answer.get("status")
    if status not in ("completed", "incomplete"):
        raise AnswerError("status", "is neither completed nor incomplete")
    reason = "length" if status == "incomplete" else "tool_calls" if calls else "stop"
    return [chat.chat_output("".join(texts) if texts else None, reason, calls)]


def stream_received(events: Sequence[object]) -> Received:
    """The outcome in the events of a stream: what its last one says; of one that broke off, the pieces joined.

    Raises: AnswerError.
    """
    items: dict[str, dict[str, str]] = {}
    error = None
    for event in events:
        members = object_at(event, "event")
        error = fault_in(members) or error
        kind = members.get("type")
        if kind in _ENDED:
            answer = object_at(members.get(OBJECT), OBJECT)
            return Received(outputs=tuple(outputs_received(answer)), error=error, whole=True)
        if kind == "response.output_item.added":
            item = object_at(members.get("item"), "item")
            names = ("id", "call_id", "name") if item.get("type") == "function_call" else ("id",)
            held = {name: text_at(item.get(name), f"item.{name}") for name in names}
            items[held["id"]] = {**held, "said": ""}
        elif kind in ("response.output_text.delta", "response.function_call_arguments.delta"):
            item_id = text_at(members.get("item_id"), "item_id")
            if item_id not in items:
                raise AnswerError("item_id", "is that of no item that was begun")
            items[item_id]["said"] += text_at(members.get("delta"), "delta")
    texts = [item["said"] for item in items.values() if "call_id" not in item]
    calls: list[dict[str, Value]] = [
        {"id": item["call_id"], "name": item["name"], "arguments": item["said"]}
        for item in items.values()
        if "call_id" in item
    ]
    output = chat.chat_output("".join(texts) if texts else None, None, calls)
    return Received(outputs=(output,), error=error, whole=error is not None)


def _messages(given: Value) -> list[Value]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise RequestError("input", "is neither text nor a list of items")
    told: list[Value] = []
    for at, item in enumerate(given):
        where = f"input[{at}]"
        if not isinstance(item, dict):
            raise RequestError(where, "is not an object")
        kind = item.get("type", "message")
        if kind == "message":
            told.append(_message(item, where))
        elif kind == "function_call":
            _add_call(
                told, {"id": item.get("call_id"), "type": "function", "function": _picked(item, "name", "arguments")}
            )
        elif kind == "function_call_output":
            content = _content(item.get("output"), f"{where}.output")
            told.append({"role": chat.RESULT, "tool_call_id": item.get("call_id"), "content": content})
        else:
            raise RequestError(f"{where}.type", "is none of message, function_call, function_call_output")
    return told


def _message(item: Mapping[str, Value], where: str) -> Value:
    if item.get("role") not in ("user", chat.ANSWERING, *chat.SYSTEM_ROLES):
        raise RequestError(f"{where}.role", "is none of user, assistant, system, developer")
    return {"role": item["role"], "content": _content(item.get("content"), f"{where}.content")}


def _content(content: Value, where: str) -> Value:
    """A text, or parts as chats have them."""
    if not isinstance(content, list):
        return content
    parts: list[Value] = []
    for at, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in _TEXTS:
            raise RequestError(f"{where}[{at}].type", f"is none of {', '.join(_TEXTS)}")
        parts.append({"type": chat.TEXT_PART, "text": part.get("text")})
    return parts


def _add_call(told: list[Value], call: Value) -> None:
    """A call belongs to the message of the assistant before it, or to one of its own."""
    last = told[-1] if told else None
    if not isinstance(last, dict) or last.get("role") != chat.ANSWERING:
        last = {"role": chat.ANSWERING, "content": None}
        told.append(last)
    before = last.get("tool_calls")
    last["tool_calls"] = [*(before if isinstance(before, list) else []), call]


def _answered(output: Output) -> Value:
    """An answer of a record as a message."""
    content = output.content
    if not isinstance(content, Mapping):
        raise RequestError(PREVIOUS, "is the id of no chat")
    calls = content.get("tool_calls") or ()
    told: list[Value] = [
        {"id": call["id"], "type": "function", "function": _picked(call, "name", "arguments")}
        for call in calls  # type: ignore[union-attr]
        if isinstance(call, Mapping)
    ]
    return {"role": chat.ANSWERING, "content": content.get("content"), **({"tool_calls": told} if told else {})}


def _tools(tools: Value) -> list[Value]:
    if not isinstance(tools, list):
        raise RequestError("tools", "is not a list")
    names = ("name", "description", "parameters", "strict")
    found: list[Value] = []
    for at, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise RequestError(f"tools[{at}]", "is not an object")
        found.append(_named(tool, names, f"tools[{at}]"))
    return found


def _named(members: Mapping[str, Value], names: Sequence[str], where: str) -> Value:
    """A function whose members stand beside its type, as chats have it."""
    if members.get("type") != "function":
        raise RequestError(f"{where}.type", "is not function, and tools of the server's own are not offered")
    unknown = next((name for name in members if name not in ("type", *names)), None)
    if unknown is not None:
        raise RequestError(f"{where}.{unknown}", "is not known here")
    return {"type": "function", "function": {name: members[name] for name in names if members.get(name) is not None}}


def _picked(members: Mapping[str, Value], *names: str) -> Value:
    return {name: members.get(name) for name in names}


def _format(text: Value) -> dict[str, Value]:
    """The form of the answer as chats have it, which `text` has."""
    if text is None:
        return {}
    if not isinstance(text, dict):
        raise RequestError("text", "is not an object")
    unknown = next((name for name in text if name not in ("format", "verbosity")), None)
    if unknown is not None:
        raise RequestError(f"text.{unknown}", "is not known here")
    form, made = text.get("format"), {}
    if text.get("verbosity") is not None:
        made["verbosity"] = text["verbosity"]
    if isinstance(form, dict) and form.get("type") == "json_schema":
        described: Value = {name: value for name, value in form.items() if name != "type"}
        form = {"type": "json_schema", "json_schema": described}
    return made if form is None else {**made, "response_format": form}
