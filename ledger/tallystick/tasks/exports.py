"""The tasks `export` and `download`: a model made into another format, and files that are fetched. Neither has a prompt.

What is asked for stands in the address. A model's name there may hold one slash.
"""

from __future__ import annotations

from typing import Final

from tallystick.errors import RequestError
from tallystick.tasks.reading import Reading, is_compound, json_object, path_segments, require_method

EXPORT_READER: Final = "export/tallystick/1"
DOWNLOAD_READER: Final = "download/tallystick/1"
FILES_READER: Final = "files/tallystick/1"
ARCHIVE_FILE: Final = "archive.tar"


def read_export(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `POST /v1/models/{model}/exports` asks: a model from the address, format and quantisation from the body.

    Raises: RequestError.
    Source: SPEC 7.
    """
    segments = path_segments(target)
    if not 4 <= len(segments) <= 5 or segments[:2] != ["v1", "models"] or segments[-1] != "exports":
        raise RequestError("target", "is not /v1/models/{model}/exports")
    members = json_object(method, body)
    for name, value in members.items():
        if is_compound(value):
            raise RequestError(name, "is neither a single value nor a list of them")
    asked = {name: value for name, value in members.items() if value is not None}
    return Reading(prompt=None, system=None, asked=asked, model="/".join(segments[2:-1]))


def read_download(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `GET /v1/exports/{export}/files/{file}` or `GET /v1/exports/{export}/archive.tar` asks: which export, and which of its files.

    The range stands in a header and is not part of it.

    Raises: RequestError.
    Source: SPEC 7.
    """
    segments = _segments_got(method, target, body)
    if len(segments) < 4 or segments[:2] != ["v1", "exports"]:
        raise RequestError("target", "is not below /v1/exports/{export}/")
    export, rest = segments[2], segments[3:]
    if rest == [ARCHIVE_FILE]:
        file = ARCHIVE_FILE
    elif rest[0] == "files" and len(rest) > 1:
        file = "/".join(rest[1:])
    else:
        raise RequestError("target", f"names neither a file of an export nor its {ARCHIVE_FILE}")
    return Reading(prompt=None, system=None, asked={"export": export, "file": file})


def read_files(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What `GET /v1/models/{model}/files/{file}` asks: a file of a model as it was registered. `files` is no second part of a name.

    Raises: RequestError.
    Source: SPEC 7.
    """
    segments = _segments_got(method, target, body)
    at = next((place for place in (3, 4) if segments[place : place + 1] == ["files"]), None)
    if at is None or segments[:2] != ["v1", "models"] or len(segments) == at + 1:
        raise RequestError("target", "is not /v1/models/{model}/files/{file}")
    asked = {"file": "/".join(segments[at + 1 :])}
    return Reading(prompt=None, system=None, asked=asked, model="/".join(segments[2:at]))


def _segments_got(method: str, target: str, body: bytes) -> list[str]:
    """The parts of the path of a GET. Raises: RequestError."""
    require_method(method, "GET")
    if body:
        raise RequestError("body", "is not empty")
    return path_segments(target)
