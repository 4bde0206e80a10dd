"""A model folder's content as a list of files, and the 32 bytes that name it in every record.

    resources = for every file, by name: {"algorithm": "sha256", "digest": lower-case hex, "name": path with "/" between parts}
    digest    = SHA-256 of the RFC 8785 JSON of the list `resources`

Anybody with the files computes the same, with this module or with `sha256sum` alone (docs/decisions/0005). Left out are the
folder's signature, which cannot cover itself, and Git's own files at its top. A list of files needs no signature to be believed:
once its digest is the one in a record, it is the list of the files that answered.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import rfc8785

from tallystick.errors import ManifestError

FORMAT: Final = "tallystick/manifest/v1"
SIGNATURE_NAME: Final = "model.sig"
LEFT_OUT: Final = frozenset((SIGNATURE_NAME, ".git", ".gitattributes", ".github", ".gitignore"))
"""Names at the top of a folder that its digest does not cover: what model-signing leaves out when it signs to `model.sig`."""
MAX_FILES: Final = 4_096
MAX_PART_BYTES: Final = 255
"""One part of a name; what file systems take."""
MAX_DEPTH: Final = 8
"""Parts of a name."""
MAX_FILE_BYTES: Final = 2**53 - 1
"""Sizes stay exact in JSON."""
DIGEST_BYTES: Final = 32
CHUNK_BYTES: Final = 1_048_576

Progress = Callable[[int, int], None]
"""Told how many bytes are read, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file: its name relative to the folder, with "/" between parts. Units: `size` is bytes."""

    name: str
    size: int
    sha256: bytes

    def __post_init__(self) -> None:
        """Raises: ManifestError."""
        fault = name_fault(self.name)
        if fault is not None:
            raise ManifestError(self.name if isinstance(self.name, str) else "", fault)
        if type(self.size) is not int or not 0 <= self.size <= MAX_FILE_BYTES:
            raise ManifestError(self.name, f"its size is no integer from 0 to {MAX_FILE_BYTES}")
        if len(self.sha256) != DIGEST_BYTES:
            raise ManifestError(self.name, f"its SHA-256 has {len(self.sha256)} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The files of a folder, by name. Requires: sorted by code points, as `Manifest.of` does."""

    files: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        """Raises: ManifestError."""
        if not self.files:
            raise ManifestError("", "there are no files")
        if len(self.files) > MAX_FILES:
            raise ManifestError("", f"there are more than {MAX_FILES} files")
        names = [entry.name for entry in self.files]
        for before, name in pairwise(names):
            if before >= name:
                raise ManifestError(name, "stands twice" if before == name else f"is out of order after {before!r}")
        known = frozenset(names)
        for name in names:
            parents = (name[:at] for at, letter in enumerate(name) if letter == "/")
            if any(parent in known for parent in parents):
                raise ManifestError(name, "lies in a folder whose name is a file's")

    @classmethod
    def of(cls, files: Iterable[FileEntry]) -> Manifest:
        """The manifest of these files, put in order. Raises: ManifestError."""
        return cls(files=tuple(sorted(files, key=lambda entry: entry.name)))

    @classmethod
    def from_json(cls, document: object) -> Manifest:
        """Read the JSON form; nothing unknown, and the digest must be that of the files.

        Raises: ManifestError.
        """
        members = _members(document, "", ("digest", "files", "format"))
        if members["format"] != FORMAT:
            raise ManifestError("", f"the format is {members['format']!a:.60}; this release reads {FORMAT!r}")
        listed = members["files"]
        if not isinstance(listed, list) or len(listed) > MAX_FILES:
            raise ManifestError("", f"files is no list of at most {MAX_FILES}")
        manifest = cls(files=tuple(_entry(item) for item in listed))
        if _digest(members["digest"], "digest") != manifest.digest:
            raise ManifestError("", f"the digest is not that of the files, {manifest.digest.hex()}")
        return manifest

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name this content. Source: docs/decisions/0005."""
        return combine({entry.name: entry.sha256 for entry in self.files})

    @property
    def size(self) -> int:
        """All files together. Units: bytes."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> dict[str, object]:
        """The JSON form."""
        files = [{"name": entry.name, "sha256": entry.sha256.hex(), "size": entry.size} for entry in self.files]
        return {"digest": self.digest.hex(), "files": files, "format": FORMAT}


def combine(sha256_by_name: Mapping[str, bytes]) -> bytes:
    """The digest over files' names and SHA-256 digests; sizes follow from these and are not in it."""
    listed = [
        {"algorithm": "sha256", "digest": sha256_by_name[name].hex(), "name": name} for name in sorted(sha256_by_name)
    ]
    return hashlib.sha256(rfc8785.dumps(listed)).digest()


def name_fault(name: object) -> str | None:
    """Why this cannot be the name of a file in a manifest; None where it can.

    The same names are safe to write below a folder: none is absolute or leads upwards, and none can steer a terminal.
    """
    if not isinstance(name, str) or not name:
        return "a name is text that is not empty"
    if not name.isprintable() or "\\" in name:
        return "the name holds a character that is not printable, or a backslash"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "the name is not a path relative to the folder"
    if len(parts) > MAX_DEPTH:
        return f"the name has more than {MAX_DEPTH} parts"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"a part of the name is longer than {MAX_PART_BYTES} bytes"
    if parts[0] in LEFT_OUT:
        return "the digest of a folder does not cover this name"
    return None


def hash_folder(folder: Path, progress: Progress | None = None) -> Manifest:
    """Hash every file of a folder.

    Raises: ManifestError for symbolic links and devices, which name nothing fixed, for names that no manifest holds, and for
    what cannot be read or changes meanwhile.
    """
    found: list[tuple[str, int]] = []
    try:
        for name, size in list_files(folder):
            found.append((name, size))
            if len(found) > MAX_FILES:
                raise ManifestError(str(folder), f"there are more than {MAX_FILES} files")
    except OSError as error:
        raise ManifestError(str(error.filename or folder), error.strerror or str(error)) from error
    total, done = sum(size for _, size in found), 0
    entries = []
    for name, size in found:
        before = done

        def tell(read: int, before: int = before) -> None:
            if progress is not None:
                progress(before + read, total)

        entries.append(_hash_file(folder, name, size, tell))
        done += size
    return Manifest.of(entries)


def list_files(place: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Names and sizes of the files that a folder's digest covers, in no order. Units: bytes.

    Raises: OSError; ManifestError for links, devices and names that no manifest holds.
    """
    with os.scandir(place) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_symlink():
                raise ManifestError(_shown(name), "is a symbolic link")
            if name in LEFT_OUT:
                continue
            fault = name_fault(name)
            if fault is not None:
                raise ManifestError(_shown(name), fault)
            if entry.is_dir(follow_symlinks=False):
                yield from list_files(place / entry.name, name + "/")
            elif entry.is_file(follow_symlinks=False):
                yield name, entry.stat(follow_symlinks=False).st_size
            else:
                raise ManifestError(_shown(name), "is neither a file nor a folder")


def _hash_file(folder: Path, name: str, size: int, tell: Callable[[int], None]) -> FileEntry:
    hasher, chunk, read = hashlib.sha256(), memoryview(bytearray(CHUNK_BYTES)), 0
    try:
        # What was a file when the folder was listed may be a link or a pipe by now: neither is followed or waited for.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ManifestError(name, "is no file any more")
            while count := file.readinto(chunk):
                hasher.update(chunk[:count])
                read += count
                tell(read)
    except OSError as error:
        raise ManifestError(name, error.strerror or str(error)) from error
    if read != size:
        raise ManifestError(name, f"changed while it was read: {size} bytes, then {read}")
    return FileEntry(name=name, size=size, sha256=hasher.digest())


def _entry(document: object) -> FileEntry:
    members = _members(document, "files", ("name", "sha256", "size"))
    name, size = members["name"], members["size"]
    if not isinstance(name, str) or type(size) is not int:
        raise ManifestError("files", "a file's name is no text, or its size no integer")
    return FileEntry(name=name, size=size, sha256=_digest(members["sha256"], name))


def _members(document: object, where: str, names: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(document, dict) or set(document) != set(names):
        raise ManifestError(where, f"is no object with exactly {', '.join(names)}")
    return document


def _digest(text: object, where: str) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * DIGEST_BYTES or not set(text) <= set("0123456789abcdef"):
        raise ManifestError(where, "is no digest of 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def _shown(name: str) -> str:
    """A name for a message: the letters that could not be decoded, or steer a terminal, as escapes."""
    return name if name.isprintable() else ascii(name)
