"""The files of a folder, by `lstat` alone: nothing is opened and no link is followed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tallystick.manifest import LEFT_OUT, SIGNATURE_NAME
from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.formats.limits import MAX_FILES, MAX_FOLDER_BYTES, MAX_SIGNATURE_BYTES
from tallystick_platform.formats.names import NameTable, shown

REPLACE_LINK = "put a copy of the file in its place (cp -rL FOLDER COPY)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file by its name relative to the folder, with slashes. Units: bytes."""

    name: str
    size: int


def list_folder(folder: Path) -> tuple[Listed, ...]:
    """Every file that belongs to the model, by name; not Git's own files and the signature, which the digest leaves out too.

    Raises: FormatError, UnsafeModel.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise FormatError(path=folder, reason="not a folder")
    try:
        return _walk(folder)
    except OSError as error:
        raise FormatError(path=folder, reason=error.strerror or "it cannot be read") from error


def _walk(folder: Path) -> tuple[Listed, ...]:
    names, found, total, entries = NameTable(), list[Listed](), 0, 0
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        with os.scandir(folder / parent) as scan:
            for entry in scan:
                entries += 1
                if entries > MAX_FILES:
                    raise FormatError(path=folder, reason=f"more than {MAX_FILES} files and folders")
                name = parent + entry.name
                if name in LEFT_OUT and name != SIGNATURE_NAME:
                    continue
                status = entry.stat(follow_symlinks=False)
                _check_entry(name, status, names)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(name + "/")
                elif name != SIGNATURE_NAME:
                    found.append(Listed(name=name, size=status.st_size))
                    total += status.st_size
                elif status.st_size > MAX_SIGNATURE_BYTES:
                    raise FormatError(path=name, reason=f"a signature of more than {MAX_SIGNATURE_BYTES} bytes")
    if total > MAX_FOLDER_BYTES:
        raise FormatError(path=folder, reason=f"{total} bytes, the limit is {MAX_FOLDER_BYTES}")
    return tuple(sorted(found, key=lambda item: item.name))


def _check_entry(name: str, status: os.stat_result, names: NameTable) -> None:
    is_folder = stat.S_ISDIR(status.st_mode)
    fault = names.add_folder(name) if is_folder else names.add(name)
    if fault:
        raise UnsafeModel(file=shown(name), reason=fault, remedy="rename or remove it")
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeModel(file=name, reason="a symbolic link, which may lead out of the folder", remedy=REPLACE_LINK)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise UnsafeModel(file=name, reason="a pipe, socket or device, not a file", remedy="remove it")
