"""The tools that a chat request offers to its model, what it says of their use, and the calls and results in its history.

A tool is a function with a name and a JSON Schema of its arguments. `tools`, and a `tool_choice` that names one, stand in a record's
prompt; a `tool_choice` of one word and `parallel_tool_calls` among its parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tallystick.errors import JsonError, RequestError
from tallystick.record import Value
from tallystick.strict_json import read_json
from tallystick.tasks import neutral

MEMBERS: Final = ("tools", "tool_choice")
"""Of a record's prompt."""
SCALARS: Final = ("tools", "tool_choice", "parallel_tool_calls")
"""Among a record's parameters: an empty list of tools is no object."""
MAX_TOOLS: Final = 128
MAX_ARGUMENTS_BYTES: Final = 1_048_576
"""Of one call in a history."""

_WORDS: Final = ("none", "auto", "required")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FUNCTION: Final = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may call. `parameters` is the schema of its arguments; where it is `strict`, they always keep to it."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Value] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False

    def told(self) -> dict[str, Value]:
        """The definition as chat templates are given it."""
        described: dict[str, Value] = {} if self.description is None else {"description": self.description}
        return {"type": _FUNCTION, _FUNCTION: {"name": self.name, **described, "parameters": dict(self.parameters)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Tools, at least one, and their use: `must` it call one, `only` the one that it must call, and `several` at once or one alone."""

    tools: tuple[Tool, ...]
    must: bool = False
    only: str | None = None
    several: bool = True


def offered_in(prompt: Mapping[str, Value], asked: Mapping[str, Value]) -> Offered | None:
    """What a request offers; None where it offers nothing, or where its `tool_choice` is "none": the model is told of no tools then.

    Requires: prompt and parameters of a reading or a record.
    Raises: RequestError.
    """
    listed = prompt.get("tools", asked.get("tools"))
    if listed is not None and not isinstance(listed, list | tuple):
        raise RequestError("tools", "is not a list")
    if len(listed or ()) > MAX_TOOLS:
        raise RequestError("tools", f"holds more than {MAX_TOOLS} tools")
    tools = tuple(_tool(one, f"tools[{at}]") for at, one in enumerate(listed or ()))
    names = [tool.name for tool in tools]
    twice = next((at for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise RequestError(f"tools[{twice}].function.name", "is the name of another tool, too")
    named = prompt.get("tool_choice")
    word, several = asked.get("tool_choice"), asked.get("parallel_tool_calls")
    if several is not None and not isinstance(several, bool):
        raise RequestError("parallel_tool_calls", "is neither true nor false")
    if named is None and word is not None and word not in _WORDS:
        raise RequestError("tool_choice", f"is none of {', '.join(_WORDS)}, and no object that names a function")
    only = None if named is None else _choice(named, names)
    must = only is not None or word == "required"
    if not tools:
        if must:
            raise RequestError("tool_choice", "asks for a call, and there are no 'tools'")
        return None
    if word == "none" and named is None:
        return None
    return Offered(tools=tools, must=must, only=only, several=several is not False)


def calls_in(message: Mapping[str, Value], where: str) -> list[dict[str, Value]]:
    """The calls of an assistant's message as chat templates are given them, their arguments as objects.

    Raises: RequestError.
    """
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list | tuple):
        raise RequestError(f"{where}.tool_calls", "is not a list")
    return [_call(one, f"{where}.tool_calls[{at}]") for at, one in enumerate(calls)]


def _call(call: Value, where: str) -> dict[str, Value]:
    members = _object(call, where, ("id", "type", _FUNCTION), neutral.CALL)
    _function_type(members, where)
    function = _object(members.get(_FUNCTION), f"{where}.function", ("name", "arguments"), {})
    given = _arguments(function.get("arguments"), f"{where}.function.arguments")
    name = _text(function, "name", f"{where}.function")
    return {"id": _text(members, "id", where), "type": _FUNCTION, _FUNCTION: {"name": name, "arguments": given}}


def _arguments(arguments: Value, where: str) -> Mapping[str, Value]:
    """An object, or the text of one, as clients of OpenAI's API write it; an empty text is an empty object."""
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments.encode(), MAX_ARGUMENTS_BYTES) if arguments.strip() else {}  # type: ignore[assignment]
        except JsonError as error:
            raise RequestError(where, str(error)) from error
    if not isinstance(arguments, Mapping):
        raise RequestError(where, "is not a JSON object")
    return arguments


def _tool(tool: Value, where: str) -> Tool:
    members = _object(tool, where, ("type", _FUNCTION), neutral.TOOL)
    _function_type(members, where)
    where = f"{where}.function"
    function = _object(members.get(_FUNCTION), where, ("name", "description", "parameters", "strict"), {})
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RequestError(f"{where}.name", "is not 1 to 64 letters, digits, underscores and dashes")
    if description is not None and not isinstance(description, str):
        raise RequestError(f"{where}.description", "is not text")
    parameters, strict = function.get("parameters"), function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise RequestError(f"{where}.strict", "is neither true nor false")
    if parameters is None:
        return Tool(name=name, description=description, strict=bool(strict))
    if not isinstance(parameters, Mapping):
        raise RequestError(f"{where}.parameters", "is not an object")
    return Tool(name=name, description=description, parameters=parameters, strict=bool(strict))


def _choice(choice: Value, names: list[str]) -> str:
    members = _object(choice, "tool_choice", ("type", _FUNCTION), {})
    _function_type(members, "tool_choice")
    name = _text(_object(members.get(_FUNCTION), "tool_choice.function", ("name",), {}), "name", "tool_choice.function")
    if name not in names:
        raise RequestError("tool_choice.function.name", "is the name of no tool in 'tools'")
    return name


def _function_type(members: Mapping[str, Value], where: str) -> None:
    if members.get("type") != _FUNCTION:
        raise RequestError(
            f"{where}.type", f"is {json.dumps(members.get('type'))[:40]}, and functions alone are offered"
        )


def _object(
    value: Value, where: str, names: tuple[str, ...], known: Mapping[str, neutral.Neutral]
) -> Mapping[str, Value]:
    if not isinstance(value, Mapping):
        raise RequestError(where, "is not an object")
    neutral.require(value, known, names, where)
    return value


def _text(members: Mapping[str, Value], name: str, where: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{where}.{name}", "is not text")
    return value
