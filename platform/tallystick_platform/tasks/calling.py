"""Answers that must keep to the tools they were offered: the grammar for it, in the spelling of the model's family."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tallystick.errors import RequestError
from tallystick.record import Value
from tallystick.tasks.structure import Structure
from tallystick.tasks.tools import Offered
from tallystick_platform.tasks.structure import WRITTEN, structure_checked
from tallystick_platform.tasks.tool_calls import ToolFormat

MAX_CALLS: Final = 16  # of one answer that is held to a grammar
PARAM: Final = "tools"
_OBJECT: Final = '{"type": "object"}'
_KEYS: Final[Mapping[str, str]] = {"hermes": "arguments", "llama3": "parameters", "mistral": "arguments"}

_TEXT: Final = r"/(.|\n)*/"
_NO_CALL: Final = r"/[ \t\r\n]*([^ \t\r\n{<](.|\n)*|<([^|](.|\n)*)?)?/"  # where calls are the whole answer


def check_tools(offered: Offered) -> None:
    """Look at schemas that arguments will be held to. Raises: RequestError, naming the tool."""
    for at, tool in enumerate(offered.tools):
        if tool.strict or offered.must:
            source = json.dumps(tool.parameters, ensure_ascii=False)
            structure_checked(Structure(kind="json_schema", source=source, param=f"tools[{at}].function.parameters"))


def held_to(offered: Offered, structure: Structure | None, form: ToolFormat) -> Structure | None:
    """What an answer is held to that may call these tools; None where the model is free to.

    It is held to a grammar where it must call, where a tool is strict, where at most one call is wanted, and where what is no call must
    have a form of its own.

    Raises: RequestError for a form that cannot stand beside tools.
    """
    if not (offered.must or not offered.several or structure or any(tool.strict for tool in offered.tools)):
        return None
    if structure is not None and structure.kind not in ("json_object", "json_schema") and not offered.must:
        raise RequestError(structure.param, "cannot be asked for beside 'tools'; forms that are JSON can")
    tools = [tool for tool in offered.tools if offered.only in (None, tool.name)]
    several = offered.several and offered.only is None
    rules = [_start(form, several=several, must=offered.must, formed=structure is not None and not offered.must)]
    if structure is not None and not offered.must:
        rules.append(f"formed: %json {_json(_kept(json.loads(structure.source or _OBJECT)))}")
    rules.append("call: " + " | ".join(f"call_{at}" for at in range(len(tools))))
    for at, tool in enumerate(tools):
        head = f'{{"name": {json.dumps(tool.name)}, "{_KEYS[form]}": '
        rules.append(f'call_{at}: {json.dumps(head)} arguments_{at} "}}"')
        schema = tool.parameters if tool.strict or offered.must else json.loads(_OBJECT)
        rules.append(f"arguments_{at}: %json {_json(_kept(schema))}")
    return structure_checked(Structure(kind="grammar", source="\n".join(rules), param=PARAM))


def _start(form: ToolFormat, *, several: bool, must: bool, formed: bool) -> str:
    """The rules around calls: calls alone, calls or a text of a form, or calls among any text."""
    between = {"hermes": r'"\n" one', "llama3": '"; " call', "mistral": '", " call'}[form]
    more = f"({between}){{0,{MAX_CALLS - 1}}}" if several else ""
    calls = {"hermes": f"one {more}", "llama3": f"call {more}", "mistral": f'"[TOOL_CALLS][" call {more} "]"'}[form]
    one = '\none: "<tool_call>\\n" call "\\n</tool_call>"' if form == "hermes" else ""
    if must or formed:
        return f"start: calls{'' if must else ' | formed'}\ncalls: {calls}{one}"
    if form == "llama3":
        return f"start: calls | TEXT\ncalls: {calls}\nTEXT: {_NO_CALL}"
    if form == "hermes":
        start = "(head rest)* tail" if several else "tail | head rest"
        return f'start: {start}\nhead[lazy]: {_TEXT} "<tool_call>"\ntail: {_TEXT}\nrest: "\\n" call "\\n</tool_call>"'
    return f'start: tail | head rest\nhead[lazy]: {_TEXT} "[TOOL_CALLS]"\ntail: {_TEXT}\nrest: "[" call {more} "]"'


def _kept(schema: Mapping[str, Value] | bool) -> Mapping[str, Value]:
    """A schema with the same rules for white space that it has by itself."""
    return {**(schema if isinstance(schema, Mapping) else {}), "x-guidance": WRITTEN}  # type: ignore[dict-item]


def _json(value: Mapping[str, Value]) -> str:
    return json.dumps(value, ensure_ascii=False)
