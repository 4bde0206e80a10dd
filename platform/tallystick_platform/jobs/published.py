"""Files that can be handed out: what an export published, or a registered version as it came. Read in chunks and to the byte.

An export can be had in one go, too: `Archive` is all its files as one tar stream, the same bytes each time, and their number known before
the first.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick.manifest import SIGNATURE_NAME
from tallystick.record import Value
from tallystick.tasks import exports
from tallystick_platform.errors import kind_of
from tallystick_platform.jobs.errors import ExportNotFinished, FileChanged, UnknownFile
from tallystick_platform.registry.entries import VersionFiles
from tallystick_platform.registry.folders import FILE_MODE
from tallystick_platform.store.jobs import ExportJob, JobState, StoredFile

ARCHIVE_NAME = exports.ARCHIVE_FILE
CHUNK_BYTES = 1_048_576
US_PER_S = 1_000_000
_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A model's files on disk. `digest` covers all of them but the signature, which may lie at a place of its own.

    `asked` is how a download's record names them beside the model; `reader` reads the requests for them.
    Units: `published_at` microseconds UTC.
    """

    name: str
    asked: Mapping[str, Value]
    reader: str
    model: str
    version: str
    source_digest: bytes
    dtype: str | None
    digest: bytes
    files: tuple[StoredFile, ...]
    folder: Path
    signature: Path | None
    published_at: int

    def file(self, name: str) -> StoredFile:
        """The file of this name, the signature too. Raises: UnknownFile"""
        for file in self.files:
            if file.name == name:
                return file
        raise UnknownFile

    def chunks(self, file: StoredFile, offset: int, length: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Bytes of a file, exactly `length` of them.

        Raises: FileChanged
        """
        fd = self._open(file)
        try:
            end = offset + length
            while offset < end:
                chunk = os.pread(fd, min(chunk_bytes, end - offset), offset)
                if not chunk:
                    raise FileChanged(name=file.name, reason="became shorter")
                offset += len(chunk)
                yield chunk
        except OSError as error:
            raise FileChanged(name=file.name, reason=f"cannot be read: {kind_of(error)}") from error
        finally:
            os.close(fd)

    def _open(self, file: StoredFile) -> int:
        """A descriptor of a file that has the size which was published. Raises: FileChanged"""
        apart = self.signature if file.name == SIGNATURE_NAME else None
        gone = "is not there any more as it was published"
        try:
            fd = os.open(apart or self.folder / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FileChanged(name=file.name, reason=gone) from error
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            os.close(fd)
            raise FileChanged(name=file.name, reason=gone)
        return fd


def downloadable(job: ExportJob) -> tuple[StoredFile, ...]:
    """The files of a job: the manifest's, then the signature."""
    return job.files if job.signature is None else (*job.files, job.signature)


def export_files(job: ExportJob, folder: Path) -> Published:
    """What an export published into its folder. Raises: ExportNotFinished"""
    if job.state is not JobState.FINISHED:
        raise ExportNotFinished(state=job.state.value)
    return Published(
        name=job.id,
        asked={"export": job.id},
        reader=exports.DOWNLOAD_READER,
        model=job.model,
        version=job.version,
        source_digest=job.source_digest,
        dtype=job.dtype,
        digest=job.digest or b"",
        files=downloadable(job),
        folder=folder,
        signature=None,
        published_at=job.finished_at or job.created_at,
    )


def version_files(found: VersionFiles) -> Published:
    """A registered version's own files."""
    version = found.version
    files = [StoredFile(name=one.name, size=one.size, sha256=one.sha256) for one in found.manifest.files]
    if found.signature is not None and version.signature_digest is not None:
        size = found.signature.stat().st_size
        files.append(StoredFile(name=SIGNATURE_NAME, size=size, sha256=version.signature_digest))
    return Published(
        name=version.reference,
        asked={},
        reader=exports.FILES_READER,
        model=version.model.id,
        version=version.version,
        source_digest=version.digest,
        dtype=version.dtype,
        digest=version.digest,
        files=tuple(files),
        folder=found.folder,
        signature=found.signature,
        published_at=version.created_at,
    )


class Archive:
    """The tar of one finished export; everything lies below a folder that bears the job's name."""

    def __init__(self, of: Published) -> None:
        self._of = of
        self._members = [(self._head(file), file) for file in of.files]

    @property
    def size(self) -> int:
        """Units: bytes."""
        return sum(len(head) + file.size + _padding(file) for head, file in self._members) + len(_END)

    def chunks(self) -> Iterator[bytes]:
        """The whole stream.

        Raises: FileChanged
        """
        for head, file in self._members:
            yield head
            yield from self._of.chunks(file, 0, file.size)
            if _padding(file):
                yield bytes(_padding(file))
        yield _END

    def _head(self, file: StoredFile) -> bytes:
        info = tarfile.TarInfo(f"{self._of.name}/{file.name}")
        info.size = file.size
        info.mode = FILE_MODE
        info.mtime = self._of.published_at // US_PER_S
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(file: StoredFile) -> int:
    return -file.size % tarfile.BLOCKSIZE
