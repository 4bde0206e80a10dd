"""Bytes on their way from file to file."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from tallystick_platform.exporter import copying
from tallystick_platform.exporter.copying import CHUNK_BYTES, HashedFile, copy_range, file_sha256, reading, require_same
from tallystick_platform.exporter.errors import ExportFailed, ExportRefused


def ignore(_count: int) -> None:
    """Nobody counts."""


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5])
def test_a_copy_has_the_bytes_and_the_hash(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    with reading(tmp_path / "a") as source, HashedFile(tmp_path / "b") as target:
        copy_range(source, 0, size, target, ignore)
        digest = target.finish()
    assert (tmp_path / "b").read_bytes() == data
    assert digest == hashlib.sha256(data).digest() == file_sha256(tmp_path / "b")


def test_a_range_is_copied_from_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    counted: list[int] = []
    with reading(tmp_path / "a") as source, HashedFile(tmp_path / "b") as target:
        target.write(b"head ")
        copy_range(source, 3, 4, target, counted.append)
        target.finish()
        assert target.size == 9
    assert (tmp_path / "b").read_bytes() == b"head 3456"
    assert sum(counted) == 4


def test_a_file_that_ends_early_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"012")
    with (
        reading(tmp_path / "a") as source,
        HashedFile(tmp_path / "b") as target,
        pytest.raises(ExportFailed, match="ended after 3 bytes"),
    ):
        copy_range(source, 0, 4, target, ignore)


def test_a_file_that_exists_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"kept")
    with pytest.raises(FileExistsError):
        HashedFile(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"kept"


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"), reading(tmp_path / "link"):
        pass


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ExportRefused, match="not a regular file"), reading(tmp_path / "pipe"):
        pass


@pytest.mark.parametrize("at", [0, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES])
def test_one_changed_byte_is_found(tmp_path: Path, at: int) -> None:
    data = bytearray(2 * CHUNK_BYTES + 1)
    (tmp_path / "a").write_bytes(data)
    data[at] ^= 1
    (tmp_path / "b").write_bytes(data)
    with (
        reading(tmp_path / "a") as left,
        reading(tmp_path / "b") as right,
        pytest.raises(ExportFailed, match="not what lies in the source"),
    ):
        require_same(left, 0, right, 0, len(data), "b")


def test_a_shorter_copy_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123")
    (tmp_path / "b").write_bytes(b"012")
    with reading(tmp_path / "a") as left, reading(tmp_path / "b") as right, pytest.raises(ExportFailed):
        require_same(left, 0, right, 0, 4, "b")


def test_a_system_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(copying.os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    with HashedFile(tmp_path / "b") as target:
        target.write(b"0123456789")
        target.finish()
    assert (tmp_path / "b").read_bytes() == b"0123456789"


def test_a_full_disk_is_raised_where_it_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying.os, "write", full)
    with HashedFile(tmp_path / "b") as target, pytest.raises(OSError, match="No space"):
        target.write(b"x")
