"""The reader `download/tallystick/1`: `GET /v1/exports/{export}/files/{file}`, or `GET /v1/exports/{export}/archive.tar`."""

from __future__ import annotations

from typing import Final

from tallystick.errors import RequestError
from tallystick.tasks.reading import Reading, path_segments, require_method

NAME: Final = "download/tallystick/1"
ARCHIVE_FILE: Final = "archive.tar"


def read(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What a download asks: which export, and which of its files. The range stands in a header and is not part of it.

    Raises: RequestError.
    Source: SPEC 7.
    """
    require_method(method, "GET")
    if body:
        raise RequestError("body", "is not empty")
    segments = path_segments(target)
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
