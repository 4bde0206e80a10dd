"""Parts that many records share, kept with their bytes.

A service writes the same few frozen objects (model, hardware, provider) into every record, and an auditor reads the same few byte
strings back. Checking and encoding them anew costs a third of the whole; keeping them costs two bounded tables.
"""

from __future__ import annotations

from typing import Any, Final

MAX_KEEPSAKES: Final = 512
MAX_KEPT_BYTES: Final = 1024
"""A longer field is not kept: the tables stay below a few megabytes."""


class Keepsakes:
    """Two tables: encoded field by the identity of a part, and part by the bytes of its encoded field.

    Requires: parts are frozen all the way down, checked, and each of a class that has one place in a record.
    Each operation is one step on a dict, so threads may share it.
    """

    __slots__ = ("_encoded", "_parts")

    def __init__(self) -> None:
        self._encoded: dict[int, tuple[object, bytes]] = {}
        self._parts: dict[bytes, tuple[Any]] = {}

    def encoded(self, part: object) -> bytes | None:
        """The encoded field that was kept for this very object, if any."""
        # By identity, not equality: True equals 1, and the encodings differ. The table holds the object, so its id stays its own.
        kept = self._encoded.get(id(part))
        return kept[1] if kept is not None and kept[0] is part else None

    def part(self, field: bytes) -> tuple[Any] | None:
        """The part that was kept for these bytes, in a tuple of one, since a part may be None."""
        return self._parts.get(field)

    def keep_encoded(self, part: object, field: bytes) -> None:
        """Keep the encoded field of a part."""
        if len(field) <= MAX_KEPT_BYTES:
            if len(self._encoded) >= MAX_KEEPSAKES:
                self._encoded.clear()
            self._encoded[id(part)] = (part, field)

    def keep_part(self, field: bytes, part: object) -> None:
        """Keep the part of an encoded field."""
        if len(field) <= MAX_KEPT_BYTES:
            if len(self._parts) >= MAX_KEEPSAKES:
                self._parts.clear()
            self._parts[field] = (part,)
