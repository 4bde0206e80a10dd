"""Forms with files, and the reader of transcriptions (section 7)."""

import re
from typing import Any

from tests.support.stranger.crypto import keccak
from tests.support.stranger.errors import REQUEST, Refused
from tests.support.stranger.fields import strict_json

MAX_FORM = 33_554_432
MAX_PARTS = 64
MAX_HEAD = 4_096
MAX_TEXT = 65_536
SIGNS = r"[0-9A-Za-z'()+_,\-./:=?]"


def _fail(param: str, text: str) -> Refused:
    return Refused(REQUEST, f"{param or 'the form'}: {text}", param)


def _boundary(content_type: str | None) -> str:
    found = re.match(r" *multipart/form-data *; *boundary=(.*?) *$", content_type or "", re.IGNORECASE)
    given = found[1] if found else ""
    if given[:1] == '"' == given[-1:] and len(given) > 1:
        given = given[1:-1]
    elif " " in given:
        given = ""
    if not 1 <= len(given) <= 70 or not re.fullmatch(f"(?:{SIGNS}| )*{SIGNS}", given):
        raise _fail("content_type", "is no form with a boundary")
    return given


def _parts(body: bytes, boundary: str) -> list[bytes]:
    """What stands between the boundaries."""
    line = b"--" + boundary.encode()
    if len(body) > MAX_FORM or not body.startswith(line + b"\r\n"):
        raise _fail("", "is too long, or does not begin with its boundary")
    parts = []
    at = len(line) + 2
    while True:
        end = body.find(b"\r\n" + line, at)
        if end < 0:
            raise _fail("", "breaks off")
        parts.append(body[at:end])
        after = body[end + 2 + len(line) :]
        if after in (b"--", b"--\r\n"):
            break
        if not after.startswith(b"\r\n"):
            raise _fail("", "goes on where a boundary stands")
        at = end + 4 + len(line)
    if len(parts) > MAX_PARTS:
        raise _fail("", "has too many parts")
    return parts


def _head(part: bytes) -> tuple[dict[str, str], bytes]:
    found = re.match(rb"((?:[^\r\n]+\r\n)+)\r\n", part)
    if found is None or len(found[1]) - 2 > MAX_HEAD:
        raise _fail("", "has a part without a head, or with a long one")
    headers = {}
    for line in found[1].split(b"\r\n")[:-1]:
        try:
            name, value = re.fullmatch(r"([A-Za-z-]+):(.*)", line.decode()).groups()
        except (UnicodeDecodeError, AttributeError):
            raise _fail("", "has a malformed head") from None
        if name.lower() in headers or not value.isprintable():
            raise _fail("", "has a malformed head")
        headers[name.lower()] = value.strip(" ")
    return headers, part[found.end() :]


def _disposition(text: str) -> dict[str, str]:
    kind, *rest = re.split(r"(;)", text, maxsplit=1)
    given = "".join(rest)
    found: dict[str, str] = {}
    while kind.strip(" ").lower() == "form-data" and given.strip(" "):
        one = re.match(r' *; *([A-Za-z*]+)=(?:"((?:\\.|[^"\\])*)"|([^\s";]+))', given)
        if one is None or one[1].lower() in found:
            break
        found[one[1].lower()] = one[2] if one[2] is not None else one[3]
        given = given[one.end() :]
    else:
        if "name" in found:
            return found
    raise _fail("", "has a part that is no form-data with a name")


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_TEXT:
        raise _fail(name, "is too long")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _fail(name, "is not UTF-8") from None


def _value(name: str, text: str) -> Any:
    if name not in ("temperature", "seed", "stream"):
        return text
    try:
        value = strict_json(REQUEST, text.encode())
    except Refused:
        raise _fail(name, "is no JSON") from None
    if isinstance(value, bool) is not (name == "stream") or not isinstance(value, int | float):
        raise _fail(name, "is of another type")
    return value


def read_transcription(method: str, content_type: str | None, body: bytes) -> tuple[Any, None, dict[str, Any], Any]:
    """Prompt, system, asked and model."""
    if method != "POST":
        raise _fail("method", "is not POST")
    members: dict[str, Any] = {}
    file: dict[str, Any] | None = None
    for part in _parts(body, _boundary(content_type)):
        headers, data = _head(part)
        told = _disposition(headers.get("content-disposition", ""))
        name, listed = re.fullmatch(r"(.*?)((?:\[\])?)", told["name"], re.DOTALL).groups()
        listed = listed or name in ("include", "timestamp_granularities")
        if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
            raise _fail(told["name"], "is encoded")
        if not listed and (name in members or (name == "file" and file is not None)):
            raise _fail(name, "is there twice")
        if "filename" in told and told["name"] == "file":
            digest = "0x" + keccak(data).hex()
            file = {
                "digest": digest,
                "length": len(data),
                "name": told["filename"],
                "type": headers.get("content-type"),
            }
            continue
        if "filename" in told:
            raise _fail(told["name"], "is a file")
        value = _value(name, _text(told["name"], data))
        if not listed:
            members[name] = value
        elif isinstance(members.setdefault(name, []), list):
            members[name].append(value)
        else:
            raise _fail(name, "is there twice")
    if file is None or not file["length"]:
        raise _fail("file", "is not there, or empty")
    model = members.pop("model", None)
    if model is not None and not isinstance(model, str):
        raise _fail("model", "is a list")
    return {"file": file}, None, members, model
