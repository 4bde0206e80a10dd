"""The reader `export/tallystick/1`: a request to `POST /v1/models/{model}/exports`. The model's name may hold one slash."""

from __future__ import annotations

from typing import Final

from tallystick.errors import RequestError
from tallystick.tasks.reading import Reading, is_compound, json_object, path_segments

NAME: Final = "export/tallystick/1"


def read(method: str, target: str, _content_type: str | None, body: bytes) -> Reading:
    """What an export request asks: a model from the address, format and quantisation from the body.

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
    return Reading(
        prompt=None,
        system=None,
        asked={name: value for name, value in members.items() if value is not None},
        model="/".join(segments[2:-1]),
    )
