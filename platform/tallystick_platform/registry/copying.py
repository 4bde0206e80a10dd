"""Bringing files into the staging area: regular files alone, within the bounds of a model, with room for them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.manifest import LEFT_OUT, SIGNATURE_NAME, name_fault
from tallystick_platform.errors import kind_of
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import MAX_FILES, MAX_FOLDER_BYTES
from tallystick_platform.registry.conversion import Progress
from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.registry.folders import ModelFolders

CHUNK_BYTES = 8 * 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file to be copied: its name in the model, where it lies. Units: bytes."""

    name: str
    path: Path
    size: int


def files_below(folder: Path, *, links_within: Path | None = None) -> list[Found]:
    """The files of a model folder. Links are followed only where they lead to a file inside `links_within`.

    Raises: FormatError, UnsafeModel
    """
    found = []
    total = 0
    for name, path in _walk(folder, ""):
        details = _details(name, path, links_within)
        found.append(details)
        total += details.size
        if len(found) > MAX_FILES:
            raise FormatError(path=folder, reason=f"there are more than {MAX_FILES} files")
        if total > MAX_FOLDER_BYTES:
            raise FormatError(path=folder, reason=f"the files are larger than {MAX_FOLDER_BYTES} bytes together")
    if not found:
        raise FormatError(path=folder, reason="there are no files")
    return found


def copy_files(files: Sequence[Found], target: Path, folders: ModelFolders, progress: Progress) -> None:
    """Copy files below `target`, after a look at the free space. Raises: DiskFull, OSError"""
    total, done = sum(file.size for file in files), 0
    folders.need(total)
    with full_disk(folders, total):
        for file in files:
            place = target / file.name
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            for count in _copied(file.path, place):
                done += count
                progress("copying", min(1.0, done / total) if total else 1.0)


def link_files(files: Sequence[Found], target: Path) -> None:
    """Give files of the registry's own disk a second name below `target`: nothing is copied."""
    for file in files:
        place = target / file.name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.hardlink_to(file.path)


@contextmanager
def full_disk(folders: ModelFolders, needed_bytes: int) -> Iterator[None]:
    """Inside, a full disk is a DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFull(needed_bytes=needed_bytes, available_bytes=folders.available_bytes()) from error


def _walk(place: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError as error:
        raise FormatError(path=place, reason=kind_of(error)) from error
    for entry in entries:
        name = prefix + entry.name
        if name in LEFT_OUT and name != SIGNATURE_NAME:
            continue
        fault = None if name == SIGNATURE_NAME else name_fault(name)
        if fault is not None:
            raise FormatError(path=ascii(name), reason=fault)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), name + "/")
        else:
            yield name, Path(entry.path)


def _details(name: str, path: Path, links_within: Path | None) -> Found:
    remedy = "copy the file itself into the folder"
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        aim = path.resolve()
        if links_within is None or not aim.is_relative_to(links_within.resolve()):
            raise UnsafeModel(file=name, reason="it is a symbolic link", remedy=remedy)
        path, status = aim, aim.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeModel(file=name, reason="it is neither a file nor a folder", remedy=remedy)
    return Found(name=name, path=path, size=status.st_size)


def _copied(source: Path, target: Path) -> Iterator[int]:
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(read, "rb"):
        write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(write, "wb"):
            while count := os.sendfile(write, read, None, CHUNK_BYTES):
                yield count
