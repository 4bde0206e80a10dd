"""The tar stream of an export, and the bytes of its files."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick_platform.jobs.errors import FileChanged
from tallystick_platform.jobs.folders import ExportFolders
from tallystick_platform.jobs.published import Archive, export_files
from tallystick_platform.store.jobs import JobState, StoredFile
from tests.support.job_rows import a_job

LONG = "deep/" * 6 + "x" * 200 + ".safetensors"


def published(folders: ExportFolders, files: dict[str, bytes]):
    job = a_job(
        files=tuple(StoredFile(name=name, size=len(data), sha256=bytes(32)) for name, data in files.items()),
        state=JobState.FINISHED,
        digest=bytes(32),
        finished_at=1_760_000_000_000_000,
    )
    for name, data in files.items():
        path = folders.path(job.id) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return export_files(job, folders.path(job.id))


@pytest.fixture
def folders(tmp_path: Path) -> ExportFolders:
    return ExportFolders(tmp_path / "exports")


@pytest.mark.parametrize("name", ["a", LONG, "模型.json", "model with spaces.json"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1_300_000])
def test_an_archive_holds_what_it_says_and_is_as_long_as_it_says(folders: ExportFolders, name: str, size: int) -> None:
    found = published(folders, {name: os.urandom(size), "z": b"end"})
    archive = Archive(found)
    stream = b"".join(archive.chunks())
    assert len(stream) == archive.size
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        assert tar.getnames() == [f"{found.name}/{name}", f"{found.name}/z"]
        assert tar.extractfile(f"{found.name}/{name}").read() == (found.folder / name).read_bytes()
        member = tar.getmember(f"{found.name}/z")
    assert (member.mode, member.uid, member.gid, member.mtime) == (0o444, 0, 0, 1_760_000_000)
    assert b"".join(Archive(found).chunks()) == stream


def test_an_archive_of_a_file_that_is_gone_breaks_off(folders: ExportFolders) -> None:
    found = published(folders, {"a": b"1", "b": b"2"})
    (found.folder / "b").unlink()
    chunks = Archive(found).chunks()
    with pytest.raises(FileChanged):
        list(chunks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(1, 64), st.data())
def test_any_part_of_a_file_is_read_to_the_byte(
    folders: ExportFolders, data: bytes, chunk_bytes: int, draw: st.DataObject
) -> None:
    found = published(folders, {"a": data})
    offset = draw.draw(st.integers(0, len(data)))
    length = draw.draw(st.integers(0, len(data) - offset))
    chunks = list(found.chunks(found.files[0], offset, length, chunk_bytes))
    assert b"".join(chunks) == data[offset : offset + length]
    assert all(0 < len(chunk) <= chunk_bytes for chunk in chunks)


def test_a_file_that_becomes_shorter_while_it_is_read_breaks_off(folders: ExportFolders) -> None:
    found = published(folders, {"a": b"x" * 100})
    chunks = found.chunks(found.files[0], 0, 100, 10)
    assert next(chunks) == b"x" * 10
    (found.folder / "a").write_bytes(b"")
    with pytest.raises(FileChanged, match="shorter"):
        next(chunks)


def test_leaving_in_the_middle_closes_the_file(folders: ExportFolders) -> None:
    found = published(folders, {"a": b"x" * 100})
    before = open_files()
    chunks = found.chunks(found.files[0], 0, 100, 10)
    next(chunks)
    chunks.close()
    assert open_files() == before


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "fifo"])
def test_what_is_no_published_file_is_not_opened(folders: ExportFolders, name: str) -> None:
    found = published(folders, {"a": b"x"})
    (folders.root / "outside").symlink_to("/etc/passwd")
    os.mkfifo(found.folder / "fifo")
    with pytest.raises(FileChanged):
        next(found.chunks(StoredFile(name=name, size=1, sha256=bytes(32)), 0, 1))
