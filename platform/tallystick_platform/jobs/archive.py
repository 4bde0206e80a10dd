"""All files of an export as one tar stream: the same bytes each time, and their number known before the first."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.reading import downloadable, file_chunks
from tallystick_platform.registry.folders import FILE_MODE
from tallystick_platform.store.jobs import ExportJob, StoredFile

ARCHIVE_NAME = "archive.tar"
US_PER_S = 1_000_000
_END = bytes(2 * tarfile.BLOCKSIZE)


class Archive:
    """The tar of one finished export; everything lies below a folder that bears the job's name."""

    def __init__(self, job: ExportJob) -> None:
        self._job = job
        self._members = [(self._head(file), file) for file in downloadable(job)]

    @property
    def size(self) -> int:
        """Units: bytes."""
        return sum(len(head) + file.size + _padding(file) for head, file in self._members) + len(_END)

    def chunks(self, folders: ExportFolders) -> Iterator[bytes]:
        """The whole stream.

        Raises: FileChanged
        """
        for head, file in self._members:
            yield head
            yield from file_chunks(folders, self._job.id, file, 0, file.size)
            if _padding(file):
                yield bytes(_padding(file))
        yield _END

    def _head(self, file: StoredFile) -> bytes:
        info = tarfile.TarInfo(f"{self._job.id}/{file.name}")
        info.size = file.size
        info.mode = FILE_MODE
        info.mtime = (self._job.finished_at or self._job.created_at) // US_PER_S
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(file: StoredFile) -> int:
    return -file.size % tarfile.BLOCKSIZE
