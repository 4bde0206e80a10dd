"""Files on their way into the staging area."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tallystick_platform.formats.errors import FormatError, UnsafeModel
from tallystick_platform.registry import copying
from tallystick_platform.registry.copying import copy_files, files_below
from tallystick_platform.registry.errors import DiskFull
from tests.support.registries import FILES, Shelf, write


def test_every_file_is_found_but_gits_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", FILES | {".git/config": b"x", ".gitattributes": b"x", "model.sig": b"s"})
    assert [file.name for file in files_below(folder)] == sorted([*FILES, "model.sig"])


def test_what_was_copied_is_what_was_there(tmp_path: Path) -> None:
    shelf, seen = Shelf(tmp_path / "home"), list[float]()
    folder = write(tmp_path / "model", FILES | {"empty": b""})
    target = tmp_path / "target"
    copy_files(files_below(folder), target, shelf.folders, lambda _, done: seen.append(done))
    assert {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()} == {
        **FILES,
        "empty": b"",
    }
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("kind", ["link", "pipe", "folder link"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path / "model", FILES)
    if kind == "pipe":
        os.mkfifo(folder / "pipe")
    else:
        (folder / "x").symlink_to(folder / ("sub" if kind == "folder link" else "config.json"))
    with pytest.raises(UnsafeModel):
        files_below(folder)


def test_links_are_followed_only_within_the_librarys_own_folder(tmp_path: Path) -> None:
    blobs = write(tmp_path / "cache/blobs", {"1": b"weights"})
    folder = tmp_path / "cache/snapshots/1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").symlink_to(blobs / "1")
    (found,) = files_below(folder, links_within=tmp_path / "cache")
    assert found.path.read_bytes() == b"weights"
    (tmp_path / "secret").write_bytes(b"x")
    (folder / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeModel):
        files_below(folder, links_within=tmp_path / "cache")


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "\u202e"])
def test_names_that_no_manifest_holds_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError):
        files_below(write(tmp_path / "model", {name: b"x"}))


@pytest.mark.parametrize(("bound", "value"), [("MAX_FILES", 2), ("MAX_FOLDER_BYTES", 30)])
def test_files_and_bytes_are_bounded(tmp_path: Path, bound: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "model", FILES)
    assert files_below(folder)
    monkeypatch.setattr(copying, bound, value)
    with pytest.raises(FormatError):
        files_below(folder)


def test_a_folder_without_files_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for folder in ("model", "none"):
        with pytest.raises(FormatError):
            files_below(tmp_path / folder)


def test_a_disk_that_fills_up_is_said_with_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    shelf = Shelf(tmp_path / "home")
    files = files_below(write(tmp_path / "model", FILES))
    monkeypatch.setattr("os.sendfile", full)
    with shelf.folders.stage() as staged, pytest.raises(DiskFull) as refused:
        copy_files(files, staged.folder, shelf.folders, lambda *_: None)
    assert refused.value.needed_bytes == sum(map(len, FILES.values()))
    assert shelf.left() == []
