"""Calls of tools in what a model writes, read out of its text as it comes.

Each family of models spells calls in its own way, which its chat template teaches it (`tool_format_of`):

    hermes   <tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>         Qwen, Hermes
    llama3   {"name": ..., "parameters": {...}}; {...}                            Llama 3; <|python_tag|> may stand in front
    mistral  [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]                 Mistral

A call begins once its name is that of a tool and its arguments open an object; from there to the bracket that closes them, what the model
writes is the call's arguments, word for word. Whatever is no call stays text. White space beside a call belongs to neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

import msgspec

ToolFormat = Literal["hermes", "llama3", "mistral"]

MAX_HEAD_CHARS: Final = 1_024  # of a call before its arguments

_HEAD: Final = re.compile(r'\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
_OPENS: Final[Mapping[str, str]] = {"hermes": "<tool_call>", "llama3": "<|python_tag|>", "mistral": "[TOOL_CALLS]"}
ANNOUNCING: Final = frozenset(_OPENS.values())
"""Tokens that announce calls: some tokenizers declare them special, and they are text of the answer all the same."""
_LEADS: Final[Mapping[str, str]] = {"hermes": "", "llama3": "", "mistral": "["}
_CLOSES: Final[Mapping[str, str]] = {"hermes": "</tool_call>", "llama3": "", "mistral": "]"}
_BETWEEN: Final[Mapping[str, str]] = {"hermes": "", "llama3": ";", "mistral": ","}
_SPACE: Final = " \t\r\n"
_decoder: Final = json.JSONDecoder()


def tool_format_of(template: str | None) -> ToolFormat | None:
    """How a model with this chat template writes calls, None where it is told of no tools or has a way that is not known here.

    A template that uses `tools` and writes `[TOOL_CALLS]` is Mistral's, but for the newer one with `[ARGS]`; one that writes `<tool_call>`
    is Hermes's, but for those with `<function=` or `<arg_key>`; one that asks for `"parameters":` or writes `<|python_tag|>` is Llama 3's.
    """
    if template is None or re.search(r"\btools\b", template) is None:
        return None
    if "[TOOL_CALLS]" in template:
        return None if "[ARGS]" in template else "mistral"
    if "<tool_call>" in template:
        return None if "<function=" in template or "<arg_key>" in template else "hermes"
    return "llama3" if "<|python_tag|>" in template or '"parameters":' in template else None


class CallPiece(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a call. The first one of each has its `id` and `name`; `arguments` is text that follows what came before."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


class CallReader:
    """Reads one answer: text goes in as it comes, and what it decides comes out, each piece of it as text or of a call.

    The outcome does not depend on how the text was cut. `new_id` gives the id of a call by its number.
    """

    __slots__ = (
        "_after_call",
        "_before",
        "_calls",
        "_closed",
        "_form",
        "_held",
        "_looked",
        "_new_id",
        "_object",
        "_out",
        "_step",
        "_tools",
    )

    def __init__(self, form: ToolFormat, tools: Collection[str], new_id: Callable[[int], str]) -> None:
        self._form = form
        self._tools = frozenset(tools)
        self._new_id = new_id
        self._calls = 0
        self._held = ""
        self._before = ""  # what stands before the call that may be beginning: it is text if there is none
        self._after_call = False  # whether all that came since the last call is white space
        self._closed = False  # whether no further call can begin
        self._object = _Object()
        self._looked = 0  # at so much of an object
        self._out: list[str | CallPiece] = []
        self._step = self._at_start if form == "llama3" else self._in_text

    @property
    def calls(self) -> int:
        """How many calls have begun."""
        return self._calls

    def push(self, text: str) -> list[str | CallPiece]:
        """What is decided now."""
        self._held += text
        while self._step():
            pass
        return self._taken()

    def flush(self) -> list[str | CallPiece]:
        """What was held back, once no more text can come."""
        rest = self._before + self._held
        self._held = self._before = ""
        if rest.strip(_SPACE) or not self._after_call:
            self._say(rest)
        return self._taken()

    def _taken(self) -> list[str | CallPiece]:
        out, self._out = self._out, []
        return out

    def _say(self, text: str) -> None:
        if text:
            self._after_call = False
            self._out.append(text)

    def _at_start(self) -> bool:
        """Of a family whose calls are the whole answer: whether this is one."""
        opens, begun = _OPENS[self._form], self._held.lstrip(_SPACE)
        if opens.startswith(begun) and begun != opens:
            return False
        if begun.startswith((opens, "{")):
            size = len(self._held) - len(begun) + (len(opens) if begun.startswith(opens) else 0)
            return self._begin(size)
        self._closed, self._step = True, self._in_text
        return True

    def _in_text(self) -> bool:
        """Outside of calls. White space waits for what follows it."""
        if self._after_call:
            self._held = self._held.lstrip(_SPACE)
        opens = _OPENS[self._form]
        found = -1 if self._closed else self._held.find(opens)
        cut = found if found >= 0 else len(self._held) - (0 if self._closed else _begun(self._held, opens))
        cut = len(self._held[:cut].rstrip(_SPACE))
        self._say(self._held[:cut])
        self._held = self._held[cut:]
        return found >= 0 and self._begin(found - cut + len(opens))

    def _begin(self, size: int) -> bool:
        """So much of what is held stands before a call that may be beginning."""
        self._before, self._held = self._held[:size], self._held[size:]
        self._object, self._looked, self._step = _Object(), 0, self._in_head
        return True

    def _give_up(self) -> bool:
        """It is no call."""
        self._say(self._before)
        self._before = ""
        self._closed, self._step = self._closed or self._form == "llama3", self._in_text
        return True

    def _in_head(self) -> bool:
        """Between what announces a call and its arguments."""
        lead = "" if self._before.endswith(_BETWEEN[self._form] or "\0") else _LEADS[self._form]
        begun = self._held.lstrip(_SPACE)
        if lead and begun[:1] == lead:
            begun = begun[1:].lstrip(_SPACE)
        elif lead and begun:
            return self._give_up()
        if not begun:
            return False
        if begun[0] != "{":
            return self._give_up()
        found = _HEAD.match(begun, 0, MAX_HEAD_CHARS) if self._looked < MAX_HEAD_CHARS else None
        if found is not None:
            name = _text(found[1])
            if name not in self._tools:
                return self._give_up()
            self._held = begun[found.end() :]
            self._start(name, "")
            self._step = self._in_arguments
            return True
        more = self._object.end_in(begun[self._looked :])
        if more is None:
            self._looked = len(begun)
            return False
        end = self._looked + more
        members = _members(begun[:end])
        name, arguments = _text(members.get("name", "")), members.get("arguments", members.get("parameters", "{}"))
        if name not in self._tools or not arguments.startswith("{"):
            return self._give_up()
        self._held = begun[end:]
        self._start(name, arguments)
        self._step = self._after_object
        return True

    def _start(self, name: str, arguments: str) -> None:
        self._out.append(CallPiece(self._calls, arguments, self._new_id(self._calls), name))
        self._calls += 1
        self._before, self._object, self._after_call = "", _Object(), True

    def _in_arguments(self) -> bool:
        end = self._object.end_in(self._held)
        told = self._held if end is None else self._held[:end]
        if told:
            self._out.append(CallPiece(self._calls - 1, told))
        self._held = self._held[len(told) :]
        if end is None:
            return False
        self._step = self._after_arguments
        return True

    def _after_arguments(self) -> bool:
        """The call's object goes on to its own bracket, maybe with other members, which say nothing."""
        begun = self._held.lstrip(_SPACE)
        if not begun:
            return False
        if begun[0] in ",}":
            end = _Object(1).end_in(begun)
            if end is None:
                return False
            self._held = begun[end:]
        self._step = self._after_object
        return True

    def _after_object(self) -> bool:
        """Behind a call: its closing mark, another call, or text."""
        closes, between = _CLOSES[self._form], _BETWEEN[self._form]
        begun = self._held.lstrip(_SPACE)
        if between and begun[:1] == between:
            return self._begin(len(self._held) - len(begun) + 1)
        if not begun or (closes.startswith(begun) and begun != closes):
            return False
        if closes and begun.startswith(closes):
            self._held = begun[len(closes) :]
        self._closed, self._step = self._closed or self._form == "llama3", self._in_text
        return True


class _Object:
    """Finds where a JSON object ends that comes piece by piece; brackets outside of strings count."""

    __slots__ = ("_depth", "_escaped", "_quoted")

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._quoted = self._escaped = False

    def end_in(self, text: str) -> int | None:
        """How much of the text still belongs to the object, None where all of it does and more is to come."""
        for at, letter in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif letter == '"':
                self._quoted = not self._quoted
            elif self._quoted:
                self._escaped = letter == "\\"
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    return at + 1
        return None


def _begun(text: str, mark: str) -> int:
    """How many of the last letters may be the beginning of a mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-size:])), 0)


def _text(quoted: str) -> str:
    """A JSON string's text; empty for what is none."""
    try:
        found = json.loads(quoted)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _members(text: str) -> dict[str, str]:
    """The members of a JSON object, each as it is written; none for what is no object."""
    found: dict[str, str] = {}
    try:
        if not isinstance(json.loads(text), dict):
            return {}
        at = 1
        while (opening := text.find('"', at)) >= 0:
            name, at = _decoder.raw_decode(text, opening)
            begin = text.index(":", at) + 1
            begin += len(text[begin:]) - len(text[begin:].lstrip(_SPACE))
            _, at = _decoder.raw_decode(text, begin)
            found[name] = text[begin:at]
    except (ValueError, RecursionError):
        return {}
    return found
