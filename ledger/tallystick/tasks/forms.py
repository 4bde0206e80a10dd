"""Forms with files, `multipart/form-data` (RFC 7578), read strictly: whatever another reader could take otherwise is refused.

A form is its parts in order, each with a name. A part with a file name is a file; any other is text in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.errors import RequestError
from tallystick.hashing import keccak256
from tallystick.ids import to_hex
from tallystick.record import Value
from tallystick.tasks.reading import MAX_BODY_BYTES, require_method

MAX_PARTS: Final = 64
MAX_HEAD_BYTES: Final = 4_096
MAX_TEXT_BYTES: Final = 65_536
_TYPE: Final = re.compile(r"multipart/form-data *; *boundary=(?:\"([^\"]{1,70})\"|([^\s\";]{1,70}))", re.IGNORECASE)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER: Final = re.compile(r"; *([A-Za-z*]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\";]+))")
_PLAIN: Final = frozenset(("binary", "8bit", "7bit"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part. `file_name` and `content_type` are what its sender says of it; None for no file, and for nothing said."""

    name: str
    file_name: str | None
    content_type: str | None
    data: bytes

    def text(self) -> str:
        """Its text. Raises: RequestError for a file, and for what is no UTF-8 or too long."""
        if self.file_name is not None:
            raise RequestError(self.name, "is a file where text is expected")
        if len(self.data) > MAX_TEXT_BYTES:
            raise RequestError(self.name, f"has more than {MAX_TEXT_BYTES} bytes")
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise RequestError(self.name, "is not UTF-8") from error

    def stated(self) -> dict[str, Value]:
        """A file as a prompt names it: its content by digest and length, beside its name and type as they were sent."""
        return {
            "digest": to_hex(keccak256(self.data)),
            "length": len(self.data),
            "name": self.file_name,
            "type": self.content_type,
        }


def read_form(method: str, content_type: str | None, body: bytes) -> list[Part]:
    """The parts of a form that was posted.

    Raises: RequestError.
    Source: SPEC 7.
    """
    require_method(method, "POST")
    if len(body) > MAX_BODY_BYTES:
        raise RequestError("", f"has more than {MAX_BODY_BYTES} bytes")
    delimiter = b"\r\n--" + _boundary(content_type)
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if pieces[0] or len(pieces) < 3 or pieces[-1] not in (b"--", b"--\r\n"):
        raise RequestError("", f"is no form of 1 to {MAX_PARTS} parts between the boundaries of its content type")
    return [_part(piece) for piece in pieces[1:-1]]


def _boundary(content_type: str | None) -> bytes:
    found = _TYPE.fullmatch((content_type or "").strip(" "))
    boundary = "" if found is None else found[1] or found[2]
    if not _BOUNDARY.fullmatch(boundary):
        raise RequestError("content_type", "is not multipart/form-data with a boundary")
    return boundary.encode()


def _part(piece: bytes) -> Part:
    head, separator, data = piece.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not separator or len(head) - 2 > MAX_HEAD_BYTES:
        raise RequestError("", f"has a part without a head of at most {MAX_HEAD_BYTES} bytes")
    headers = _headers(head[2:])
    disposition = headers.get("content-disposition", "")
    parameters = _parameters(disposition)
    if "name" not in parameters:
        raise RequestError("", "has a part without a name")
    name = parameters["name"]
    if headers.get("content-transfer-encoding", "binary").lower() not in _PLAIN:
        raise RequestError(name, "is encoded for its transfer")
    file_name = parameters.get("filename")
    return Part(name=name, file_name=file_name, content_type=headers.get("content-type"), data=data)


def _headers(head: bytes) -> dict[str, str]:
    """The lines of a part's head by their names in lower case."""
    found: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        try:
            name, colon, value = line.decode().partition(":")
        except UnicodeDecodeError as error:
            raise RequestError("", "has a part whose head is not UTF-8") from error
        name = name.lower()
        if not colon or not re.fullmatch(r"[a-z-]+", name) or name in found or not value.isprintable():
            raise RequestError("", "has a part whose head is malformed")
        found[name] = value.strip(" ")
    return found


def _parameters(disposition: str) -> Mapping[str, str]:
    """The parameters of `form-data; name="..."; filename="..."`, as they stand between their quotes."""
    kind, _, _ = disposition.partition(";")
    rest = disposition[len(kind) :]
    found = _PARAMETER.findall(rest)
    names = [name.lower() for name, _, _ in found]
    if kind.strip(" ").lower() != "form-data" or _PARAMETER.sub("", rest).strip(" ") or len(set(names)) < len(names):
        raise RequestError("", "has a part that is not form-data")
    return {name: quoted or plain for name, (_, quoted, plain) in zip(names, found, strict=True)}
