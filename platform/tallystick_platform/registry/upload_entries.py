"""An upload as its owner announced it: files with sizes and digests, in parts of one size; and one such part on its way to disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.errors import ManifestError
from tallystick.ids import Address
from tallystick.manifest import SIGNATURE_NAME, FileEntry, Manifest
from tallystick_platform.formats.limits import MAX_FILES, MAX_SIGNATURE_BYTES
from tallystick_platform.registry.entries import Visibility
from tallystick_platform.registry.errors import UploadRefused

PART_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedFile:
    """One file to come. Units: bytes."""

    name: str
    size: int
    sha256: bytes

    @property
    def parts(self) -> int:
        """How many parts it has; an empty file has none."""
        return -(-self.size // PART_BYTES)

    def part_size(self, part: int) -> int:
        """The size of one of its parts. Units: bytes."""
        return min(PART_BYTES, self.size - part * PART_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What an upload is to become. `base` is the reference of an adapter's base."""

    files: tuple[AnnouncedFile, ...]
    visibility: Visibility
    licence: str | None
    base: str | None

    @property
    def size_bytes(self) -> int:
        """All files together. Units: bytes."""
        return sum(file.size for file in self.files)

    def check(self) -> None:
        """Raises: UploadRefused where these cannot be the files of a model."""
        if not 0 < len(self.files) <= MAX_FILES:
            raise UploadRefused(file=None, reason=f"a model has 1 to {MAX_FILES} files")
        covered = []
        for file in self.files:
            if file.name == SIGNATURE_NAME:
                if not (0 < file.size <= MAX_SIGNATURE_BYTES and len(file.sha256) == 32):
                    raise UploadRefused(file=file.name, reason="it is no signature: its size or digest is none")
                continue
            try:
                covered.append(FileEntry(name=file.name, size=file.size, sha256=file.sha256))
            except ManifestError as error:
                raise UploadRefused(file=ascii(file.name)[:200], reason=error.reason) from error
        try:
            Manifest.of(covered)
        except ManifestError as error:
            raise UploadRefused(file=error.path or None, reason=error.reason) from error
        if len({file.name.casefold() for file in self.files}) != len(self.files):
            raise UploadRefused(file=None, reason="two names differ in case alone, or not at all")

    def to_json(self) -> str:
        """The form in which it is kept."""
        return json.dumps(
            {
                "files": [[file.name, file.size, file.sha256.hex()] for file in self.files],
                "visibility": self.visibility.value,
                "licence": self.licence,
                "base": self.base,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Announcement:
        """Read it again. Requires: text of `to_json`, as a row's MAC assures."""
        kept: Mapping[str, Any] = json.loads(text)
        files = (
            AnnouncedFile(name=name, size=size, sha256=bytes.fromhex(digest)) for name, size, digest in kept["files"]
        )
        return cls(
            files=tuple(files),
            visibility=Visibility(kept["visibility"]),
            licence=kept["licence"],
            base=kept["base"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Consecutive parts of a file that did not come yet, `first` to `last`."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload under way. Units: microseconds UTC."""

    id: str
    owner: Address
    token_id: str
    model: str
    announced: Announcement
    missing: tuple[Missing, ...]
    created_at: int
    expires_at: int

    @property
    def missing_parts(self) -> int:
        """How many parts are still to come."""
        return sum(gap.last - gap.first + 1 for gap in self.missing)


def gaps(files: Sequence[AnnouncedFile], here: set[tuple[int, int]]) -> tuple[Missing, ...]:
    """What is missing, where `here` holds (file number, part number) of what came."""
    found: list[Missing] = []
    for number, file in enumerate(files):
        first: int | None = None
        for part in range(file.parts + 1):
            absent = part < file.parts and (number, part) not in here
            if absent and first is None:
                first = part
            elif not absent and first is not None:
                found.append(Missing(name=file.name, first=first, last=part - 1))
                first = None
    return tuple(found)


class Part:
    """One part on its way to its place in its file: hashed as it comes, flushed before `finish` makes it count."""

    def __init__(self, path: Path, *, offset: int, size: int, finish: Callable[[int, bytes], None]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            path.chmod(0o600)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._offset = offset
        self.size = size
        self._done = 0
        self._hash = hashlib.sha256()
        self._finish = finish

    def write(self, data: bytes) -> None:
        """The next bytes. Raises: UploadRefused where there are too many, OSError"""
        if self._done + len(data) > self.size:
            raise UploadRefused(file=None, reason=f"the part is longer than its {self.size} bytes")
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, self._offset + self._done)
            self._hash.update(view[:count])
            self._done += count
            view = view[count:]

    def finish(self, sha256: bytes | None) -> bytes:
        """Durable and noted on return; gives its SHA-256. `sha256`: what the sender says of it. Raises: UploadRefused"""
        if self._done != self.size:
            raise UploadRefused(file=None, reason=f"the part has {self._done} bytes; {self.size} were announced")
        found = self._hash.digest()
        if sha256 is not None and sha256 != found:
            raise UploadRefused(file=None, reason=f"the part arrived damaged: its SHA-256 is {found.hex()}")
        os.fsync(self._fd)
        self._finish(self.size, found)
        return found

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
