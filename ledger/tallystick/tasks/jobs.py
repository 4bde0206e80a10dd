"""The tasks `job` and `batch`: several requests that are taken on together. Each has a record
of its own; these readers read what took them on.

- `job/remote/1`: `POST /remotejobs/v2/jobs`, whose `commandLine` holds the prompts in a text of its own.
- `job/tallystick/1`: `POST /v1/jobs`: prompts, each for up to three models.
- `batch/openai/1`: `POST /v1/batches`: a file of requests, by its id.

What is not answered by the time that the request names is given up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tallystick.errors import JsonError, RequestError
from tallystick.record import Value
from tallystick.strict_json import read_json
from tallystick.tasks.reading import Reading, json_object, placed

REMOTE_READER: Final = "job/remote/1"
JOB_READER: Final = "job/tallystick/1"
BATCH_READER: Final = "batch/openai/1"
APP: Final = "gridrepublic:text-inference"
INPUTS: Final = ("input", "inputs")
MAX_COMMAND_BYTES: Final = 1_048_576
MAX_PROMPTS: Final = 64
MAX_MODELS: Final = 3

_TEXT: Final = re.compile(r"'((?:[^'\\\n]|\\.)*)'|\"((?:[^\"\\\n]|\\.)*)\"", re.DOTALL)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_PLAIN: Final = {"\\": "\\", "'": "'", '"': '"', "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def read_remote(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `POST /remotejobs/v2/jobs` asks: the prompts out of `commandLine`; `tag` names the model.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return read_remote_members(json_object(method, body))


def read_remote_members(members: Mapping[str, Value]) -> Reading:
    """The same of a body that is parsed already. Raises: RequestError."""
    tag, command = members.get("tag"), members.get("commandLine")
    if not isinstance(tag, str):
        raise RequestError("tag", "is not text")
    if not isinstance(command, str):
        raise RequestError("commandLine", "is not text")
    asked = {name: value for name, value in members.items() if name != "commandLine" and value is not None}
    inputs: list[Value] = [*command_inputs(command)]
    return Reading(prompt={"inputs": inputs}, system=None, asked=asked, model=tag)


def read_job(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `POST /v1/jobs` asks.

    Raises: RequestError.
    Source: SPEC 7.
    """
    return placed(json_object(method, body), "inputs")


def read_batch(method: str, _target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `POST /v1/batches` asks: which file; the batch's record has the digest of what the file held.

    Raises: RequestError.
    Source: SPEC 7.
    """
    members = json_object(method, body)
    reading = placed({name: value for name, value in members.items() if name != "input_file_id"}, "metadata")
    return Reading(
        prompt=reading.prompt,
        system=None,
        asked={**reading.asked, "input_file_id": members.get("input_file_id")},
        model=None,
    )


def command_inputs(text: str) -> list[str]:
    """The prompts of a command line: `{"input": [...]}`, or `inputs`, as JSON or as a literal with single quotes.

    A literal is no program: nothing of it is evaluated, and it is a map of one name to texts or it is refused.

    Raises: RequestError.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("commandLine", "is not Unicode text") from error
    if len(data) > MAX_COMMAND_BYTES:
        raise RequestError("commandLine", f"has more than {MAX_COMMAND_BYTES} bytes")
    try:
        found = read_json(data, MAX_COMMAND_BYTES)
    except JsonError:
        found = _literal(text)
    if not isinstance(found, dict) or len(found) != 1 or next(iter(found)) not in INPUTS:
        raise RequestError("commandLine", 'is no map with the one name "input" or "inputs"')
    [given] = found.values()
    prompts = [given] if isinstance(given, str) else given
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= MAX_PROMPTS:
        raise RequestError("commandLine", f"holds neither a text nor a list of 1 to {MAX_PROMPTS} of them")
    texts = [one for one in prompts if isinstance(one, str) and one.strip()]
    if len(texts) != len(prompts):
        raise RequestError("commandLine", "holds something else than texts, or an empty one")
    return texts


def _literal(text: str) -> dict[str, str | list[str]]:
    """A map of one text to a text or to a list of them."""
    at = _after(text, 0, "{")
    name, at = _text(text, at)
    at = _after(text, at, ":")
    given: str | list[str]
    if text.startswith("[", _skip(text, at)):
        given, at = _texts(text, _after(text, at, "["))
    else:
        given, at = _text(text, at)
    if text.startswith(",", at):
        at = _after(text, at, ",")
    if _after(text, at, "}") != len(text):
        raise _malformed(at)
    return {name: given}


def _texts(text: str, at: int) -> tuple[list[str], int]:
    found: list[str] = []
    while not text.startswith("]", at):
        if found:
            at = _after(text, at, ",")
            if text.startswith("]", at):
                break
        if len(found) > MAX_PROMPTS:
            break
        one, at = _text(text, at)
        found.append(one)
    return found, _after(text, at, "]")


def _text(text: str, at: int) -> tuple[str, int]:
    """The text that stands here, and where what comes after it begins."""
    found = _TEXT.match(text, _skip(text, at))
    if found is None:
        raise _malformed(at)
    plain = found[1] if found[1] is not None else found[2]
    return _ESCAPE.sub(lambda escape: _escaped(escape, at), plain), _skip(text, found.end())


def _escaped(escape: re.Match[str], at: int) -> str:
    number = escape[1] or escape[2] or escape[3]
    if number is None:
        if escape[4] not in _PLAIN:
            raise _malformed(at)
        return _PLAIN[escape[4]]
    code = int(number, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise _malformed(at)
    return chr(code)


def _after(text: str, at: int, mark: str) -> int:
    """Where what comes after a mark begins."""
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise _malformed(at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _malformed(at: int) -> RequestError:
    return RequestError("commandLine", f"is neither JSON nor a literal: it cannot be read from character {at} on")
