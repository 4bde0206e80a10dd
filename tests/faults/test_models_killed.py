"""A process killed with SIGKILL in the middle of taking a model in: nothing half-published, the space comes back, uploads go on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import Visibility
from tallystick_platform.registry.upload_entries import AnnouncedFile, Announcement
from tests.support.journals import ALICE
from tests.support.registries import FILES, Shelf

ROOT = Path(__file__).parents[2]
DIE = """
import os, signal, sys
from pathlib import Path
from tallystick_platform.registry.folders import ModelFolders
from tallystick_platform.registry.rows import Rows
from tallystick_platform.registry import intake
from tests.support.journals import ALICE
from tests.support.registries import FILES, Shelf

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(target, name):
    done = getattr(target, name)
    def run(*arguments, **options):
        done(*arguments, **options)
        die()
    setattr(target, name, run)

home, what, step = sys.argv[1:]
shelf = Shelf(Path(home))
uploads = shelf.uploads()
if step == "hashed":
    intake.settle = die
elif step == "settled":
    after(intake, "settle")
elif step == "row":
    after(Rows, "insert_version")
elif step == "renamed":
    after(ModelFolders, "publish")
if what == "add":
    shelf.add("mine", owner=ALICE)
else:
    (upload,) = uploads.list(ALICE)
    for gap in upload.missing:
        with uploads.part(upload.id, ALICE, gap.name, gap.first) as part:
            part.write(FILES[gap.name][:3])
            if step == "part":
                die()
            part.write(FILES[gap.name][3:])
            part.finish(None)
            if step == "noted":
                die()
    uploads.complete(upload.id, ALICE)
"""
STEPS = ("hashed", "settled", "row", "renamed")


def killed(home: Path, what: str, step: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DIE, str(home), what, step], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert ran.returncode == -9, ran.stderr


def announced() -> Announcement:
    files = (
        AnnouncedFile(name=name, size=len(data), sha256=hashlib.sha256(data).digest()) for name, data in FILES.items()
    )
    return Announcement(files=tuple(files), visibility=Visibility.PRIVATE, licence=None, base=None)


def published(shelf: Shelf) -> list[str]:
    return [path.name for path in shelf.folders.store.iterdir() if path.is_dir()]


@pytest.mark.parametrize("step", STEPS)
def test_a_registration_that_was_killed_leaves_nothing_and_succeeds_the_next_time(tmp_path: Path, step: str) -> None:
    killed(tmp_path, "add", step)
    shelf = Shelf(tmp_path)
    assert shelf.registry.sweep() == 1
    with pytest.raises(UnknownModel):
        shelf.registry.find("mine", ALICE)
    assert (shelf.left(), published(shelf)) == ([], [])
    version = shelf.add("mine", owner=ALICE)
    assert shelf.registry.verify(version.reference, ALICE).ok


@pytest.mark.parametrize("step", ["part", "noted", *STEPS])
def test_an_upload_that_was_killed_goes_on_with_what_had_arrived(tmp_path: Path, step: str) -> None:
    shelf = Shelf(tmp_path)
    upload = shelf.uploads().open("mine", announced(), owner=ALICE, token_id="tok_1")
    killed(tmp_path, "upload", step)
    uploads = shelf.uploads()
    assert shelf.registry.sweep() + uploads.sweep() == (0 if step in {"part", "noted"} else 1)
    with pytest.raises(UnknownModel):
        shelf.registry.find("mine", ALICE)
    assert (shelf.left(), published(shelf)) == ([], [])
    missing = uploads.find(upload.id, ALICE).missing
    assert len(missing) == {"part": 3, "noted": 2}.get(step, 0)
    for gap in missing:
        with uploads.part(upload.id, ALICE, gap.name, 0) as part:
            part.write(FILES[gap.name])
            part.finish(None)
    version = uploads.complete(upload.id, ALICE)
    assert shelf.registry.verify(version.reference, ALICE).ok
    assert list(shelf.folders.uploads.iterdir()) == []


def test_an_upload_that_nobody_goes_on_with_gives_its_space_back(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.uploads().open("mine", announced(), owner=ALICE, token_id="tok_1")
    killed(tmp_path, "upload", "noted")
    shelf.setting.clock.advance(60)
    assert shelf.uploads().sweep() == 1
    assert list(shelf.folders.uploads.iterdir()) == []
