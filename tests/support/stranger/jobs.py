"""The command line of a job, from SPEC 7 alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.stranger.errors import REQUEST, Refused
from tests.support.stranger.fields import strict_json

Fail = Callable[[str, str], Refused]

MOST_BYTES = 1_048_576
MOST_PROMPTS = 64
TOKEN = re.compile(r"[ \t\r\n]*(?:([{}\[\]:,])|'((?:\\.|[^'\\\n])*)'|\"((?:\\.|[^\"\\\n])*)\")", re.DOTALL)
PLAIN = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"', "/": "/"}
NUMBERED = {"x": 2, "u": 4, "U": 8}


def prompts(command: Any, fail: Fail) -> list[str]:
    """The prompts of a command line."""

    def refused(text: str) -> Refused:
        return fail("commandLine", text)

    if not isinstance(command, str):
        raise refused("is no text")
    if len(command.encode()) > MOST_BYTES:
        raise refused("is beyond 1,048,576 bytes")
    try:
        found = strict_json(REQUEST, command)
    except Refused:
        found = _literal(command, refused)
    if not isinstance(found, dict) or list(found) not in (["input"], ["inputs"]):
        raise refused("is no map of input or inputs alone")
    [given] = found.values()
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_PROMPTS:
        raise refused("holds no texts, or too many")
    if not all(isinstance(one, str) and one.strip() for one in texts):
        raise refused("holds what is no text, or an empty one")
    return texts


def _literal(command: str, refused: Callable[[str], Refused]) -> dict[str, Any]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while command[at:].strip(" \t\r\n"):
        found = TOKEN.match(command, at)
        if found is None:
            raise refused("is no literal")
        at = found.end()
        text = found[2] if found[2] is not None else found[3]
        tokens.append(("mark", found[1]) if found[1] else ("text", _plain(text, refused)))
    shape = "".join(mark if kind == "mark" else "t" for kind, mark in tokens)
    if not re.fullmatch(r"\{t:(t|\[(t(,t)*,?)?\]),?\}", shape):
        raise refused("is no map of one text")
    name, *texts = [text for kind, text in tokens if kind == "text"]
    return {name: texts if "[" in shape else texts[0]}


def _plain(text: str, refused: Callable[[str], Refused]) -> str:
    """A text with its escapes read."""
    plain, rest = "", text
    while rest:
        before, slash, rest = rest.partition("\\")
        plain += before
        if slash and rest[:1] in NUMBERED:
            digits = rest[1 : 1 + NUMBERED[rest[0]]]
            if not re.fullmatch("[0-9a-fA-F]{" + str(NUMBERED[rest[0]]) + "}", digits):
                raise refused("has an escape without its digits")
            code, rest = int(digits, 16), rest[1 + len(digits) :]
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise refused("has an escape of no letter")
            plain += chr(code)
        elif slash:
            if rest[:1] not in PLAIN:
                raise refused("has an escape that is none")
            plain, rest = plain + PLAIN[rest[0]], rest[1:]
    return plain
