"""The folder beside the target in which an export gathers. It is named by the export's digest, so what lies there is of that export."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from tallystick.errors import ManifestError, PullBlocked
from tallystick.manifest import hash_folder, list_files
from tallystick.pull.listing import Listing, WantedFile

SUFFIX: Final = ".part"
DIGEST_CHARACTERS: Final = 12
SPARE_BYTES: Final = 16 * 1_048_576
"""What a pull leaves free on the disk."""
CHUNK_BYTES: Final = 1_048_576
FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755


class Staging:
    """The files of one export as far as they have come."""

    def __init__(self, target: Path, listing: Listing) -> None:
        self.target = target
        self.folder = target.with_name(f"{target.name}.{listing.manifest.digest.hex()[:DIGEST_CHARACTERS]}{SUFFIX}")
        self._listing = listing

    def is_published(self) -> bool:
        """Whether the target is this export already.

        Raises: PullBlocked if it is something else.
        """
        if not self.target.exists() and not self.target.is_symlink():
            return False
        if self.target.is_symlink() or not self.target.is_dir():
            raise PullBlocked(str(self.target), "is there already, and is not a folder")
        if not any(self.target.iterdir()):
            return False
        try:
            same = hash_folder(self.target).digest == self._listing.manifest.digest
        except ManifestError:
            same = False
        if not same:
            raise PullBlocked(str(self.target), "is there already, and is not this export; it is not overwritten")
        return True

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder for this process alone; made if it is not there.

        Raises: PullBlocked if another pull works on it, if it holds what no pull put there, or if the disk is too small.
        """
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PullBlocked(str(self.folder), error.strerror or str(error)) from error
        try:
            try:
                fcntl.flock(
                    descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
                )  # given up by the system, however the process ends
            except BlockingIOError as error:
                raise PullBlocked(str(self.folder), "another pull works on it") from error
            self._require_room(self._require_ours())
            yield
        finally:
            os.close(descriptor)

    def path(self, file: WantedFile) -> Path:
        """Where a file gathers; its folder is made. Raises: PullBlocked."""
        path = self.folder / file.name
        try:
            path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise PullBlocked(str(path.parent), error.strerror or str(error)) from error
        return path

    def publish(self) -> None:
        """Give the folder its final name, in one step and durably. Requires: every file is whole and checked.

        Raises: PullBlocked.
        """
        self._require_ours()
        try:
            for place, _, _ in os.walk(self.folder, topdown=False):
                _sync(Path(place))
            self.folder.rename(self.target)  # replaces an empty folder, and nothing else
            _sync(self.target.parent)
        except OSError as error:
            raise PullBlocked(str(self.target), error.strerror or str(error)) from error

    def _require_ours(self) -> int:
        """How many bytes lie there. Raises: PullBlocked."""
        expected = {file.name for file in self._listing.wanted}
        try:
            found = dict(list_files(self.folder))
        except (OSError, ManifestError) as error:
            raise PullBlocked(str(self.folder), f"holds what no pull put there: {error}") from error
        strange = sorted(found.keys() - expected)
        if strange:
            raise PullBlocked(str(self.folder), f"holds {strange[0]!r}, which is not in the export; remove it")
        return sum(found.values())

    def _require_room(self, there: int) -> None:
        needed = max(0, self._listing.size - there)
        free = shutil.disk_usage(self.folder).free
        if needed and needed + SPARE_BYTES > free:
            raise PullBlocked(str(self.folder), f"{needed} bytes are still to come and {free} are free")


class Gathered:
    """What of a file has come, with its running SHA-256. Units: `size` is bytes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._hasher = hashlib.sha256()
        self.size = 0
        while chunk := out.read(CHUNK_BYTES):
            self._hasher.update(chunk)
            self.size += len(chunk)

    def add(self, chunk: bytes) -> None:
        """Put more behind it."""
        self._out.write(chunk)
        self._hasher.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Drop everything."""
        self._out.seek(0)
        self._out.truncate(0)
        self._hasher, self.size = hashlib.sha256(), 0

    def digest(self) -> bytes:
        """The SHA-256 of all that has come."""
        return self._hasher.digest()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
