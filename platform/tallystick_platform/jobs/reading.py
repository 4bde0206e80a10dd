"""Reading what was published, in chunks and to the byte."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tallystick_platform.jobs.errors import FileChanged, PublishFailed
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.store.jobs import ExportJob, StoredFile

CHUNK_BYTES = 1_048_576


def downloadable(job: ExportJob) -> tuple[StoredFile, ...]:
    """The files of a job: the manifest's, then the signature."""
    return job.files if job.signature is None else (*job.files, job.signature)


def file_chunks(
    folders: ExportFolders, job_id: str, file: StoredFile, offset: int, length: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Bytes of a published file, exactly `length` of them.

    Raises: FileChanged
    """
    try:
        fd = folders.open(job_id, file)
    except (OSError, PublishFailed) as error:
        raise FileChanged(name=file.name, reason="is not there any more as it was published") from error
    try:
        end = offset + length
        while offset < end:
            chunk = os.pread(fd, min(chunk_bytes, end - offset), offset)
            if not chunk:
                raise FileChanged(name=file.name, reason="became shorter")
            offset += len(chunk)
            yield chunk
    except OSError as error:
        raise FileChanged(name=file.name, reason=f"cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
