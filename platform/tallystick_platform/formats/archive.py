"""Archives, unpacked into an empty folder or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tallystick_platform.formats.errors import UnsafeArchive
from tallystick_platform.formats.limits import MAX_FILES, MAX_FOLDER_BYTES
from tallystick_platform.formats.names import NameTable, shown
from tallystick_platform.formats.reading import open_regular
from tallystick_platform.formats.tar_file import CHUNK_BYTES, GZIP_MAGIC, Gunzip, TarReader
from tallystick_platform.formats.zip_file import open_zip


def extract_tar(path: Path, target: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_FOLDER_BYTES) -> None:
    """Unpack a .tar or .tar.gz; permissions, owners and times of the archive are not kept.

    Requires: `target` is an empty folder. Raises: UnsafeArchive, FormatError, and OSError where the disk is full; whatever
    happens, nothing half-unpacked stays behind.
    """
    names, total = NameTable(), 0
    with _emptied_on_failure(target), open_regular(path) as (file, _):
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        reader = TarReader(Gunzip(file, path) if packed else file, path)
        for count, member in enumerate(reader.members(), 1):
            if member.is_folder and member.name in {"", "."}:
                continue
            total += member.size
            if count > max_files or total > max_bytes:
                reason = f"more than {max_files} members or {max_bytes} bytes"
                raise UnsafeArchive(name=path.name, reason=reason)
            fault = names.add_folder(member.name) if member.is_folder else names.add(member.name)
            if fault:
                raise UnsafeArchive(name=shown(member.name), reason=fault)
            if member.is_folder:
                (target / member.name).mkdir(parents=True, exist_ok=True)
            else:
                _write(target / member.name, reader.data(member))


def extract_zip(path: Path, target: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_FOLDER_BYTES) -> None:
    """Unpack a .zip; permissions and times of the archive are not kept.

    Requires: `target` is an empty folder. Raises: UnsafeArchive, FormatError, and OSError where the disk is full; whatever
    happens, nothing half-unpacked stays behind.
    """
    with (
        _emptied_on_failure(target),
        open_zip(path, max_files=max_files, max_bytes=max_bytes) as (archive, members),
    ):
        for member in members:
            if member.is_dir():
                (target / member.orig_filename).mkdir(parents=True, exist_ok=True)
                continue
            with archive.open(member) as content:
                written = _write(target / member.orig_filename, _pieces(content))
            if written != member.file_size:
                raise UnsafeArchive(name=shown(member.orig_filename), reason="not of the size that the archive claims")


@contextmanager
def _emptied_on_failure(target: Path) -> Iterator[None]:
    if any(target.iterdir()):
        raise UnsafeArchive(name=target.name, reason="the folder to unpack into is not empty")
    try:
        yield
    except BaseException:
        empty(target)
        raise


def empty(folder: Path) -> None:
    """Remove what lies in a folder, as far as that is possible."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(CHUNK_BYTES):
        yield piece


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never through something that is there already, and never executable.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        return sum(file.write(piece) for piece in pieces)
