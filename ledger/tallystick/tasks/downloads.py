"""The task `download`: a file that an export published, all of them as one archive, or a file of a model as it was registered.

The reader `download/tallystick/1` takes `GET /v1/exports/{export}/files/{file}` and `GET /v1/exports/{export}/archive.tar`; the reader
`files/tallystick/1` takes `GET /v1/models/{model}/files/{file}`, where the model's name may hold one slash.
"""

from __future__ import annotations

from typing import Final

from tallystick.errors import RequestError
from tallystick.tasks.reading import Reading, path_segments, require_method

NAME: Final = "download/tallystick/1"
FILES_NAME: Final = "files/tallystick/1"
ARCHIVE_FILE: Final = "archive.tar"


def read(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a download asks: which export, and which of its files. The range stands in a header and is not part of it.

    Raises: RequestError.
    Source: SPEC 7.
    """
    segments = _asked_of(method, target, body)
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
    """What a download of a registered model's file asks: which model, and which of its files. `files` is no second part of a name.

    Raises: RequestError.
    Source: SPEC 7.
    """
    segments = _asked_of(method, target, body)
    at = next((place for place in (3, 4) if segments[place : place + 1] == ["files"]), None)
    if at is None or segments[:2] != ["v1", "models"] or len(segments) == at + 1:
        raise RequestError("target", "is not /v1/models/{model}/files/{file}")
    return Reading(
        prompt=None, system=None, asked={"file": "/".join(segments[at + 1 :])}, model="/".join(segments[2:at])
    )


def _asked_of(method: str, target: str, body: bytes) -> list[str]:
    """The parts of the path of a GET. Raises: RequestError."""
    require_method(method, "GET")
    if body:
        raise RequestError("body", "is not empty")
    return path_segments(target)
