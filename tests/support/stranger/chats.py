"""Chats in the words of two other wires (section 7): the body that a chat would have, and what their answers say."""

from collections.abc import Iterator
from typing import Any

from tests.support.stranger.errors import REQUEST, Refused


def _check(right: bool, param: str) -> None:
    if not right:
        raise Refused(REQUEST, f"{param}: is not as section 7 has it", param)


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _call(call: dict[str, Any], named: str, arguments: str) -> dict[str, Any]:
    function = {"name": call.get("name"), "arguments": call.get(arguments)}
    return {"id": call.get(named), "type": "function", "function": function}


def _split(message: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """A message of the first wire, as one or several."""
    content = message.get("content")
    if not isinstance(content, list):
        yield {**message, "content": content}
        return
    for position, block in enumerate(content):
        _check(isinstance(block, dict) and isinstance(block.get("type"), str), f"{where}.content[{position}]")
    if message["role"] == "assistant":
        calls = [_call(block, "id", "input") for block in content if block["type"] == "tool_use"]
        rest = [block for block in content if block["type"] != "tool_use"]
        yield {**message, "content": rest or None} | ({"tool_calls": calls} if calls else {})
        return
    waiting: list[Any] = []
    for block in [*content, None]:
        if block is not None and block["type"] != "tool_result":
            waiting.append(block)
            continue
        if waiting:
            yield {**message, "content": waiting}
            waiting = []
        if block is not None:
            result = "" if block.get("content") is None else block["content"]
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": result}


def _listed(value: Any, param: str) -> list[Any]:
    _check(isinstance(value, list), param)
    found: list[Any] = value
    return found


def first_as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """A body of `chat/anthropic/1` as one of `chat/openai/1`."""
    made = _without(body, "messages", "system", "stop_sequences", "tools", "tool_choice")
    made["messages"] = []
    if body.get("system") is not None:
        _check(isinstance(body["system"], str | list), "system")
        made["messages"].append({"role": "system", "content": body["system"]})
    for position, message in enumerate(_listed(body.get("messages"), "messages")):
        where = f"messages[{position}]"
        _check(isinstance(message, dict) and message.get("role") in ("user", "assistant"), where)
        made["messages"] += _split(message, where)
    if body.get("stop_sequences") is not None:
        made["stop"] = body["stop_sequences"]
    if body.get("tools") is not None:
        made["tools"] = []
        for position, tool in enumerate(_listed(body["tools"], "tools")):
            where = f"tools[{position}]"
            _check(isinstance(tool, dict), where)
            _check(tool.get("type") in (None, "custom"), f"{where}.type")
            _check(isinstance(tool.get("input_schema"), dict), f"{where}.input_schema")
            inside = {"name": "name", "description": "description", "input_schema": "parameters", "strict": "strict"}
            function = {inside[name]: tool[name] for name in inside if tool.get(name) is not None}
            beside = _without(tool, "type", *inside)
            made["tools"].append({"type": "function", "function": function, **beside})
    choice = body.get("tool_choice")
    if choice is not None:
        _check(isinstance(choice, dict), "tool_choice")
        words = {"auto": "auto", "any": "required", "none": "none"}
        kind, alone = choice.get("type"), choice.get("disable_parallel_tool_use")
        _check(isinstance(kind, str) and (kind == "tool" or kind in words), "tool_choice.type")
        named = {"type": "function", "function": {"name": choice.get("name")}}
        made["tool_choice"] = named if kind == "tool" else words[kind]
        if alone is not None:
            _check(isinstance(alone, bool), "tool_choice.disable_parallel_tool_use")
            made["parallel_tool_calls"] = not alone
    return made


def _parts(content: Any, where: str) -> Any:
    if not isinstance(content, list):
        return content
    for position, part in enumerate(content):
        known = isinstance(part, dict) and part.get("type") in ("input_text", "output_text", "text")
        _check(known, f"{where}[{position}].type")
    return [{"type": "text", "text": part.get("text")} for part in content]


def _function(members: Any, names: tuple[str, ...], where: str) -> dict[str, Any]:
    _check(isinstance(members, dict), where)
    _check(members.get("type") == "function", f"{where}.type")
    for name in members:
        _check(name in ("type", *names), f"{where}.{name}")
    return {"type": "function", "function": {name: members[name] for name in names if members.get(name) is not None}}


def _items(items: list[Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for position, item in enumerate(items):
        where = f"input[{position}]"
        _check(isinstance(item, dict), where)
        kind = item.get("type", "message")
        if kind == "message":
            _check(item.get("role") in ("user", "assistant", "system", "developer"), f"{where}.role")
            told.append({"role": item["role"], "content": _parts(item.get("content"), f"{where}.content")})
        elif kind == "function_call":
            if not told or told[-1]["role"] != "assistant":
                told.append({"role": "assistant", "content": None})
            told[-1].setdefault("tool_calls", []).append(_call(item, "call_id", "arguments"))
        else:
            _check(kind == "function_call_output", f"{where}.type")
            output = _parts(item.get("output"), f"{where}.output")
            told.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
    return told


def second_as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """A body of `chat/responses/1` as one of `chat/openai/1`."""
    made = _without(body, "input", "instructions", "max_output_tokens", "text", "tools", "tool_choice")
    made["messages"] = []
    if body.get("instructions") is not None:
        _check(isinstance(body["instructions"], str), "instructions")
        made["messages"].append({"role": "system", "content": body["instructions"]})
    given = body.get("input")
    made["messages"] += (
        [{"role": "user", "content": given}] if isinstance(given, str) else _items(_listed(given, "input"))
    )
    if body.get("max_output_tokens") is not None:
        made["max_tokens"] = body["max_output_tokens"]
    if body.get("tools") is not None:
        names = ("name", "description", "parameters", "strict")
        made["tools"] = [
            _function(tool, names, f"tools[{position}]")
            for position, tool in enumerate(_listed(body["tools"], "tools"))
        ]
    choice = body.get("tool_choice")
    if choice is not None:
        made["tool_choice"] = _function(choice, ("name",), "tool_choice") if isinstance(choice, dict) else choice
    text = body.get("text")
    if text is not None:
        _check(isinstance(text, dict), "text")
        for name in text:
            _check(name in ("format", "verbosity"), f"text.{name}")
        if text.get("verbosity") is not None:
            made["verbosity"] = text["verbosity"]
        form = text.get("format")
        if isinstance(form, dict) and form.get("type") == "json_schema":
            form = {"type": "json_schema", "json_schema": _without(form, "type")}
        if form is not None:
            made["response_format"] = form
    return made


def _message(texts: list[str], calls: list[dict[str, Any]], reason: str | None) -> list[dict[str, Any]]:
    content = {"role": "assistant", "content": "".join(texts) if texts else None, "tool_calls": calls}
    return [{"kind": "message", "content": content, "finish_reason": reason, "logprobs": None}]


REASONS = {None: None, "end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def first_answer(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The output of an answer of the first wire that came whole."""
    blocks = document["content"]
    uses = [block for block in blocks if block["type"] == "tool_use"]
    arguments = document.get("tool_arguments") or []
    calls = [{"id": use["id"], "name": use["name"], "arguments": arguments[at]} for at, use in enumerate(uses)]
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    return _message(texts, calls, REASONS[document["stop_reason"]])


def first_stream(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output of a stream of the first wire."""
    blocks: dict[int, dict[str, Any]] = {}
    reason = None
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = {"said": "", **event["content_block"]}
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            blocks[event["index"]]["said"] += delta.get("text", delta.get("partial_json"))
        elif event["type"] == "message_delta":
            reason = REASONS[event["delta"]["stop_reason"]]
    calls = [{"id": b["id"], "name": b["name"], "arguments": b["said"]} for b in blocks.values() if "id" in b]
    return _message([b["said"] for b in blocks.values() if "id" not in b], calls, reason)


def second_answer(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The output of an answer of the second wire."""
    texts = [part["text"] for item in document["output"] if item["type"] == "message" for part in item["content"]]
    calls = [
        {"id": item["call_id"], "name": item["name"], "arguments": item["arguments"]}
        for item in document["output"]
        if item["type"] == "function_call"
    ]
    reason = "length" if document["status"] == "incomplete" else "tool_calls" if calls else "stop"
    return _message(texts, calls, reason)
