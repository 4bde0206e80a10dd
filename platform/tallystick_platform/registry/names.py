"""Names of models and references to their versions.

model     = segment ["/" segment]        1 to 96 characters of A-Z a-z 0-9 . _ -, each segment with a letter or digit first
reference = model ["@" version]          version: the first 8 to 64 hexadecimal digits of the digest, 12 where we write it
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tallystick_platform.registry.errors import BadReference

MAX_ID_CHARS = 96
VERSION_CHARS = 12
MIN_VERSION_CHARS = 8
RESERVED = frozenset(
    ("archive", "exports", "files", "load", "promote", "retire", "unload", "uploads", "verify", "versions")
)
"""No second segment of an id: below `/v1/models/{id}/` these words stand for what can be done with it."""

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(rf"[0-9a-f]{{{MIN_VERSION_CHARS},64}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model, or one version of it by the beginning of its digest."""

    model: str
    version: str | None

    @property
    def key(self) -> str:
        """The id as it is compared: without regard to case."""
        return self.model.lower()

    def __str__(self) -> str:
        return self.model if self.version is None else f"{self.model}@{self.version}"


def parse_model_id(text: str) -> str:
    """The id, if it can be one. Raises: BadReference."""
    if not 0 < len(text) <= MAX_ID_CHARS:
        raise BadReference(reference=text, reason=f"a name has 1 to {MAX_ID_CHARS} characters")
    segments = text.split("/")
    if len(segments) > 2:
        raise BadReference(reference=text, reason="a name has at most one slash")
    for segment in segments:
        if _SEGMENT.fullmatch(segment) is None:
            reason = "a name is made of letters, digits, '.', '_' and '-', each part begins with a letter or digit"
            raise BadReference(reference=text, reason=reason)
        if ".." in segment:
            raise BadReference(reference=text, reason="a name holds no two dots in a row")
    if len(segments) == 2 and segments[1].lower() in RESERVED:
        raise BadReference(reference=text, reason=f"{segments[1]!r} stands for something else after a slash")
    return text


def parse_reference(text: str) -> Reference:
    """A reference, read strictly. Raises: BadReference."""
    model, at, version = text.partition("@")
    parse_model_id(model)
    if at and _VERSION.fullmatch(version) is None:
        reason = f"a version is {MIN_VERSION_CHARS} to 64 hexadecimal digits of its digest, in lower case"
        raise BadReference(reference=text, reason=reason)
    return Reference(model=model, version=version if at else None)
