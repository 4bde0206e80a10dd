"""Where exports lie, and how one becomes visible in one piece.

    exports/staging/<job>.<attempt>/   being written; nothing of it survives a restart
    exports/<job>/                     published: read-only, complete, and shown only while the job's row says `finished`

1. `stage` makes an empty folder; the exporter writes it and flushes it. *A crash here: the next start removes it.*
2. `check` holds what lies there to the manifest that the exporter reported.
3. `publish` renames it. *A crash here: the row still says `running`; the next start looks at the record and either finishes the row
   or removes the folder.*
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from tallystick.manifest import SIGNATURE_NAME
from tallystick_platform.jobs.errors import PublishFailed
from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.registry.folders import RESERVE_BYTES, free_bytes, protect, remove_tree, settle, sync
from tallystick_platform.store.jobs import StoredFile

SPACE_TENTHS = 25
"""An export needs 2.5 times the size of its source: the largest result, and what converting keeps beside it."""
STAGING = "staging"
MAX_SIGNATURE_BYTES = 8 * 1_048_576  # it names every file once


class ExportFolders:
    """The exports below one folder."""

    def __init__(self, exports_dir: Path, *, free_bytes: Callable[[Path], int] = free_bytes) -> None:
        self.root = exports_dir
        self._staging = exports_dir / STAGING
        self._free_bytes = free_bytes
        for folder in (self.root, self._staging):  # what is private is private here, too
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def need(self, source_bytes: int) -> None:
        """Raises: DiskFull where an export of a source of this size may not fit."""
        needed = source_bytes * SPACE_TENTHS // 10
        available = max(0, self._free_bytes(self.root) - RESERVE_BYTES)
        if needed > available:
            raise DiskFull(needed_bytes=needed, available_bytes=available)

    def path(self, job_id: str) -> Path:
        """Where a job's export lies, or would."""
        return self.root / job_id

    def stage(self, job_id: str, attempt: str) -> Path:
        """An empty folder for an exporter, and for no other: one that outlived its server clears up after itself, in its own."""
        folder = self._staging / f"{job_id}.{attempt}"
        folder.mkdir(mode=0o700)
        return folder

    def check(self, staged: Path, files: Sequence[StoredFile]) -> StoredFile | None:
        """Hold the staged folder to its manifest's files; gives the signature, the one file beside them, if there is one.

        Raises: PublishFailed if it holds anything else, or not all, or another size.
        """
        expected = {file.name: file.size for file in files}
        found = dict(_sizes(staged))
        signature_size = found.pop(SIGNATURE_NAME, None)
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                raise PublishFailed(reason=f"{name!r} is missing")
            if name not in expected:
                raise PublishFailed(reason=f"{name!r} is not in its manifest")
            if found[name] != expected[name]:
                raise PublishFailed(reason=f"{name!r} has {found[name]} bytes, not {expected[name]}")
        if signature_size is None:
            return None
        if signature_size > MAX_SIGNATURE_BYTES:
            raise PublishFailed(reason=f"its signature has more than {MAX_SIGNATURE_BYTES} bytes")
        text = (staged / SIGNATURE_NAME).read_bytes()
        return StoredFile(name=SIGNATURE_NAME, size=len(text), sha256=hashlib.sha256(text).digest())

    def publish(self, staged: Path, job_id: str) -> None:
        """Give a staged folder its final name. Durable on return."""
        target = self.path(job_id)
        settle(staged)
        staged.rename(target)
        sync(self.root)
        protect(target)

    def discard(self, job_id: str) -> None:
        """Remove everything of a job."""
        for folder in (*self._staging.glob(f"{job_id}.*"), self.path(job_id)):
            remove_tree(folder)

    def sweep(self, known: Collection[str]) -> int:
        """Remove what is staged, and what belongs to no job of `known`; says how many folders."""
        stale = [folder for folder in self._staging.iterdir() if folder.is_dir()]
        stale += [folder for folder in self.root.iterdir() if folder.is_dir() and folder.name not in {STAGING, *known}]
        for folder in stale:
            remove_tree(folder)
        return len(stale)


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = Path(place) / name
            found = path.lstat()
            if name in names and stat.S_ISDIR(found.st_mode):
                continue
            shown = path.relative_to(folder).as_posix()
            if not stat.S_ISREG(found.st_mode):
                raise PublishFailed(reason=f"{shown!a} is neither a file nor a folder")
            yield shown, found.st_size
