"""A process that dies in the middle leaves nothing half-published, and its space comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tallystick_platform.registry.errors import DiskFull
from tallystick_platform.registry.folders import RESERVE_BYTES, ModelFolders
from tests.support.registries import FILES, Shelf, write

DIGEST = b"\x42" * 32
DIE = """
import os, signal, sys
from pathlib import Path
from tallystick_platform.registry import folders as module
from tallystick_platform.registry.folders import ModelFolders, protect, settle

folders = ModelFolders(Path(sys.argv[1]))
staged = folders.stage()
(staged.folder / "weights").write_bytes(b"x")
step = sys.argv[2]
if step != "copied":
    settle(staged.folder)
    staged.announce(b"\\x42" * 32)
if step == "published":
    with folders.exclusive():
        protect(folders.publish(staged, b"\\x42" * 32))
os.kill(os.getpid(), signal.SIGKILL)
"""


def die(models_dir: Path, step: str) -> None:
    ran = subprocess.run([sys.executable, "-c", DIE, str(models_dir), step], check=False, capture_output=True)
    assert ran.returncode == -9, ran.stderr


@pytest.mark.parametrize("step", ["copied", "announced", "published"])
def test_what_a_killed_process_left_is_swept_up(tmp_path: Path, step: str) -> None:
    shelf = Shelf(tmp_path)
    die(shelf.models_dir, step)
    assert shelf.folders.path(DIGEST).is_dir() is (step == "published")
    assert shelf.registry.sweep() == 1
    assert (shelf.left(), list(shelf.folders.store.iterdir())) == ([], [])


def test_a_folder_that_a_version_has_is_not_swept_up(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    version = shelf.add()
    with shelf.folders.stage() as staged:
        staged.announce(version.digest)
        assert shelf.folders.sweep(lambda _: True) == 0
    die(shelf.models_dir, "copied")
    assert shelf.registry.sweep() == 1
    assert shelf.registry.verify(version.reference, None).ok


def test_what_a_living_process_works_on_stays(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path)
    with folders.stage() as staged:
        write(staged.folder, FILES)
        assert ModelFolders(tmp_path).sweep(lambda _: False) == 0
        assert (staged.folder / "config.json").exists()
    assert list(folders.staging.iterdir()) == []


def test_a_folder_without_a_lock_is_swept_up(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path)
    (folders.staging / "left").mkdir()
    assert folders.sweep(lambda _: False) == 1
    assert list(folders.staging.iterdir()) == []


@pytest.mark.parametrize("step", ["keep", "publish", "insert_version", "protect"])
def test_a_registration_that_fails_at_any_step_leaves_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Exception):
        pass

    def fail(*_: object, **__: object) -> None:
        raise Broken

    target = {
        "keep": "tallystick_platform.registry.keeping.Keeping.keep",
        "publish": "tallystick_platform.registry.folders.ModelFolders.publish",
        "insert_version": "tallystick_platform.registry.rows.Rows.insert_version",
        "protect": "tallystick_platform.registry.intake.protect",
    }[step]
    shelf = Shelf(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(Broken):
            shelf.add()
    assert shelf.left() == []
    assert [path for path in shelf.folders.store.iterdir() if path.is_dir()] == []
    assert shelf.registry.list(None) == []
    assert shelf.add().number == 1


def test_a_removal_that_was_cut_short_is_finished_by_the_next_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the row is gone and before the folder is: the lock names a digest that no version has."""
    shelf = Shelf(tmp_path)
    version = shelf.add()
    with monkeypatch.context() as patch:
        patch.setattr(ModelFolders, "withdraw", lambda *_: None)
        shelf.registry.remove("Acme/Tiny", None)
    assert shelf.registry.path(version).is_dir()
    (shelf.folders.staging / "dead").mkdir()
    (shelf.folders.staging / "dead.lock").write_text(version.digest.hex())
    assert shelf.registry.sweep() == 1
    assert (shelf.left(), [path for path in shelf.folders.store.iterdir() if path.is_dir()]) == ([], [])


def test_room_for_the_journal_is_never_given_to_a_model(tmp_path: Path) -> None:
    folders = ModelFolders(tmp_path, free_bytes=lambda _: RESERVE_BYTES + 10)
    folders.need(10)
    with pytest.raises(DiskFull) as refused:
        folders.need(11)
    assert (refused.value.needed_bytes, refused.value.available_bytes) == (11, 10)
    assert ModelFolders(tmp_path, free_bytes=lambda _: 5).available_bytes() == 0
