"""Where models lie on disk, and how one becomes visible in one piece.

    staging/<name>/        a model on its way in
    staging/<name>.lock    held by the process that works on it; says which digest it is about to publish
    store/<digest in hex>/ a published model: named by its content, read-only, never changed

1. Files are copied to a staging folder. *A crash here: nobody holds its lock any more; the next sweep removes the folder.*
2. They are hashed, made read-only and flushed to disk.
3. The digest is written into the lock file, then the folder is renamed into the store. *A crash here: the next sweep finds
   a digest in a lock that nobody holds and, unless some version has it, removes that folder of the store.*
4. The version's row is committed, then the lock file is removed.

Removing a version goes the same way backwards, so a crash in the middle of it is swept up, too.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tallystick_platform.registry.errors import DiskFull, FolderBroken

NAME_BYTES = 12
DIGEST_CHARS = 64
RESERVE_BYTES = 268_435_456
"""Space that a model never takes: the journal needs room whatever happens."""

FILE_MODE = 0o444
FOLDER_MODE = 0o555


def free_bytes(path: Path) -> int:
    """What the disk has left."""
    return shutil.disk_usage(path).free


class Staged:
    """A folder on its way in. Leaving it removes whatever was not published, and frees its lock."""

    __slots__ = ("_fd", "_lock", "folder")

    def __init__(self, folder: Path, lock: Path, fd: int) -> None:
        self.folder = folder
        self._lock = lock
        self._fd = fd

    def announce(self, digest: bytes) -> None:
        """Write down which folder of the store this is about to become. Durable on return."""
        os.pwrite(self._fd, digest.hex().encode(), 0)
        os.fsync(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        remove_tree(self.folder)
        self._lock.unlink(missing_ok=True)
        os.close(self._fd)


class ModelFolders:
    """The store and its staging area below one folder."""

    def __init__(self, models_dir: Path, *, free_bytes: Callable[[Path], int] = free_bytes) -> None:
        self.store = models_dir / "store"
        self.staging = models_dir / "staging"
        self.uploads = models_dir / "uploads"
        self.signatures = models_dir / "signatures"
        self._guard = models_dir / ".registry.lock"
        self._free_bytes = free_bytes
        for folder in (self.store, self.staging, self.uploads, self.signatures):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, digest: bytes) -> Path:
        """Where the model of this digest lies, or would."""
        return self.store / digest.hex()

    def available_bytes(self) -> int:
        """How much a model may still take."""
        return max(0, self._free_bytes(self.store) - RESERVE_BYTES)

    def need(self, size_bytes: int) -> None:
        """Raises: DiskFull where a model of this size does not fit."""
        available = self.available_bytes()
        if size_bytes > available:
            raise DiskFull(needed_bytes=size_bytes, available_bytes=available)

    def stage(self) -> Staged:
        """An empty folder to put a model into."""
        folder = self.staging / secrets.token_hex(NAME_BYTES)
        lock = folder.with_suffix(".lock")
        fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
        return Staged(folder, lock, fd)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """While it is held nobody else publishes, removes or sweeps, in any process. Never wait for anything long inside."""
        fd = os.open(self._guard, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def publish(self, staged: Staged, digest: bytes) -> Path:
        """Give a flushed folder its final name. Where the same content lies there already, that stays.

        Requires: `exclusive`, `Staged.announce(digest)` before.
        """
        target = self.path(digest)
        if not target.is_dir():
            staged.folder.rename(target)
            sync(self.store)
        return target

    def withdraw(self, digest: bytes, staged: Staged) -> None:
        """Take a folder out of the store, to be removed with `staged`.

        Requires: `exclusive`, no version of this digest.
        """
        source = self.path(digest)
        if source.is_dir():
            source.chmod(0o700)  # a folder must be writable for its `..` to change
            staged.folder.rmdir()
            source.rename(staged.folder)
            sync(self.store)

    def withdraw_unpublished(self, digest: bytes, staged: Staged) -> None:
        """Undo `publish` after its version could not be recorded. Requires: `exclusive`."""
        source = self.path(digest)
        if source.is_dir() and not staged.folder.exists():
            source.chmod(0o700)
            source.rename(staged.folder)

    def sweep(self, known: Callable[[bytes], bool]) -> int:
        """Remove what processes that died left behind; says how many folders. `known(digest)`: some version has it."""
        removed = 0
        with self.exclusive():
            for lock in sorted(self.staging.glob("*.lock")):
                removed += self._sweep_one(lock, known)
            names = {lock.stem for lock in self.staging.glob("*.lock")}
            for folder in self.staging.iterdir():
                if folder.is_dir() and folder.name not in names:
                    remove_tree(folder)
                    removed += 1
        return removed

    def _sweep_one(self, lock: Path, known: Callable[[bytes], bool]) -> int:
        with suppress(FileNotFoundError):
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                with suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    announced = os.pread(fd, DIGEST_CHARS, 0).decode("ascii", "replace")
                    if len(announced) == DIGEST_CHARS and set(announced) <= set("0123456789abcdef"):
                        digest = bytes.fromhex(announced)
                        if not known(digest):
                            remove_tree(self.path(digest))
                            self.path(digest).with_suffix(".json").unlink(missing_ok=True)
                    remove_tree(lock.with_suffix(""))
                    lock.unlink(missing_ok=True)
                    return 1
            finally:
                os.close(fd)
        return 0


def settle(folder: Path) -> None:
    """Make a folder read-only and everything in it durable."""
    for place, names, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place) / name
            path.chmod(FILE_MODE)
            sync(path)
        for name in names:
            (Path(place) / name).chmod(FOLDER_MODE)
        sync(Path(place))


def protect(folder: Path) -> None:
    """Make a published folder itself read-only; a rename needs it writable until then."""
    folder.chmod(FOLDER_MODE)


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(folder: Path) -> None:
    """Remove a folder that may be read-only. Raises: FolderBroken where something stays."""
    if not folder.is_dir():
        return
    for place, _, _ in os.walk(folder):
        Path(place).chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise FolderBroken(path=folder, reason="it cannot be removed")
