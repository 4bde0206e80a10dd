"""Parts that many records share, kept with their bytes.

A service writes the same few frozen objects (model, hardware, provider) into every record, and an auditor reads the same few maps
back. Building, checking and encoding them anew costs a third of the whole; keeping them costs two bounded tables.
"""

from __future__ import annotations

from typing import Any, Final

MAX_KEEPSAKES: Final = 512
MAX_KEPT_BYTES: Final = 4096
"""What is longer is not kept: the tables stay below a few megabytes."""


class Keepsakes:
    """Two tables: the encoding of a part, by its identity; and a part, by its class and the values it was read from.

    Requires: parts are frozen all the way down, and each is of a class that has one place in a record; an encoding is kept once it was
    checked. Each operation is one step on a dict, so threads may share it.
    """

    def __init__(self) -> None:
        self._written: dict[int, tuple[object, bytes]] = {}
        self._parts: dict[tuple[object, ...], Any] = {}

    def written(self, part: object) -> bytes | None:
        """The encoding that was kept for this very object, if any."""
        # By identity, not equality: True equals 1, and the encodings differ. The table holds the object, so its id stays its own.
        kept = self._written.get(id(part))
        return kept[1] if kept is not None and kept[0] is part else None

    def keep_written(self, part: object, data: bytes) -> None:
        """Keep the encoding of a part."""
        if len(data) <= MAX_KEPT_BYTES:
            if len(self._written) >= MAX_KEEPSAKES:
                self._written.clear()
            self._written[id(part)] = (part, data)

    def part(self, values: tuple[object, ...]) -> Any | None:
        """A part that was read from equal values, if any.

        Raises: TypeError if one of the values cannot be a key.
        """
        return self._parts.get(values)

    def keep_part(self, values: tuple[object, ...], part: object) -> None:
        """Keep a part by the values that it was read from."""
        if sum(len(value) for value in values if isinstance(value, str | bytes)) <= MAX_KEPT_BYTES:
            if len(self._parts) >= MAX_KEEPSAKES:
                self._parts.clear()
            self._parts[values] = part
