"""Uploads: in parts, resumed, checked by digest before anything is visible, bounded, and gone when their time is over."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick_platform.errors import UnknownModel
from tallystick_platform.formats.errors import FormatError
from tallystick_platform.formats.report import Facts
from tallystick_platform.registry import upload_entries, uploads
from tallystick_platform.registry.conversion import Looks
from tallystick_platform.registry.entries import Stage, Visibility
from tallystick_platform.registry.errors import (
    BadReference,
    ContentDiffers,
    DiskFull,
    ModelTaken,
    RegistryFull,
    UploadIncomplete,
    UploadRefused,
    UploadUnknown,
)
from tallystick_platform.registry.folders import RESERVE_BYTES
from tallystick_platform.registry.upload_entries import AnnouncedFile, Announcement, Missing, Upload
from tallystick_platform.registry.uploads import Uploads
from tests.support.journals import ALICE, BOB
from tests.support.registries import FILES, Shelf, facts_of_test_folder, write

PART = 8
LIFETIME_S = 60
BIG = FILES | {"model.safetensors": bytes(range(20)), "empty.txt": b""}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_entries, "PART_BYTES", PART)
    monkeypatch.setattr(uploads, "PART_BYTES", PART)


class Desk:
    """Uploads into a shelf."""

    def __init__(self, home: Path, **options: object) -> None:
        self.shelf = Shelf(home, **options)  # type: ignore[arg-type]
        self.restart()

    def restart(self) -> None:
        """The same home in a new process."""
        self.uploads = self.shelf.uploads(lifetime_s=LIFETIME_S)

    def open(
        self, files: dict[str, bytes] = BIG, *, model: str = "mine", owner: object = ALICE, **changes: object
    ) -> Upload:
        return self.uploads.open(
            model,
            replace(announcement(files), **changes),  # type: ignore[arg-type]
            owner=owner,  # type: ignore[arg-type]
            token_id="tok_1",
        )

    def put(self, upload: Upload, name: str, number: int, data: bytes, sha256: bytes | None = None) -> None:
        with self.uploads.part(upload.id, upload.owner, name, number) as part:
            part.write(data)
            part.finish(sha256)

    def send(self, upload: Upload, files: dict[str, bytes] = BIG) -> None:
        """Everything that is missing."""
        for gap in self.uploads.find(upload.id, upload.owner).missing:
            for number in range(gap.first, gap.last + 1):
                self.put(upload, gap.name, number, files[gap.name][number * PART : (number + 1) * PART])

    def on_disk(self) -> list[str]:
        return sorted(path.name for path in self.shelf.folders.uploads.iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def touch(uploads: Uploads, what: str, upload_id: str) -> None:
    """Do something with an upload in somebody else's name."""
    if what == "part":
        with uploads.part(upload_id, BOB, "config.json", 0):
            pass
    else:
        getattr(uploads, what)(upload_id, BOB)


def announcement(files: dict[str, bytes]) -> Announcement:
    return Announcement(
        files=tuple(
            AnnouncedFile(name=name, size=len(data), sha256=hashlib.sha256(data).digest())
            for name, data in files.items()
        ),
        visibility=Visibility.PRIVATE,
        licence=None,
        base=None,
    )


def test_a_complete_upload_becomes_a_version_in_staging(desk: Desk) -> None:
    upload = desk.open()
    desk.send(upload)
    version = desk.uploads.complete(upload.id, ALICE)
    folder = desk.shelf.registry.path(version)
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } == BIG
    assert (version.stage, version.model.owner, version.model.visibility) == (Stage.STAGING, ALICE, Visibility.PRIVATE)
    assert (desk.on_disk(), desk.shelf.left()) == ([], [])


def test_missing_parts_are_told_and_nothing_is_visible_before_they_came(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "model.safetensors", 1, BIG["model.safetensors"][8:16])
    with pytest.raises(UploadIncomplete):
        desk.uploads.complete(upload.id, ALICE)
    missing = desk.uploads.find(upload.id, ALICE).missing
    assert missing[1:3] == (
        Missing(name="model.safetensors", first=0, last=0),
        Missing(name="model.safetensors", first=2, last=2),
    )
    with pytest.raises(UnknownModel):
        desk.shelf.registry.find("mine", ALICE)


def test_an_upload_goes_on_after_a_restart(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "model.safetensors", 2, BIG["model.safetensors"][16:])
    desk.restart()
    assert desk.uploads.sweep() == 0
    before = desk.uploads.find(upload.id, ALICE).missing_parts
    desk.send(upload)
    assert before == sum(-(-len(data) // PART) for data in BIG.values()) - 1
    assert desk.uploads.complete(upload.id, ALICE).number == 1


def test_opening_the_same_upload_again_goes_on_with_it(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "config.json", 0, BIG["config.json"][:PART])
    again = desk.open()
    assert (again.id, again.missing_parts) == (upload.id, upload.missing_parts - 1)
    assert desk.open(model="another").id != upload.id
    assert desk.open(licence="mit").id != upload.id


def test_a_part_that_was_cut_does_not_count_and_is_sent_again(desk: Desk) -> None:
    upload = desk.open()
    with pytest.raises(UploadRefused, match="8 were announced"):
        desk.put(upload, "model.safetensors", 0, b"abc")
    desk.send(upload)
    assert desk.uploads.complete(upload.id, ALICE)


@pytest.mark.parametrize(
    ("name", "number", "data", "sha256"),
    [
        ("model.safetensors", 0, b"x" * 9, None),
        ("model.safetensors", 3, b"", None),
        ("model.safetensors", -1, b"", None),
        ("other", 0, b"", None),
        ("../config.json", 0, b"", None),
        ("empty.txt", 0, b"", None),
        ("model.safetensors", 0, b"x" * 8, bytes(32)),
    ],
)
def test_a_part_that_is_not_what_was_announced_is_refused(
    desk: Desk, name: str, number: int, data: bytes, sha256: bytes | None
) -> None:
    upload = desk.open()
    before = upload.missing_parts
    with pytest.raises(UploadRefused):
        desk.put(upload, name, number, data, sha256)
    assert desk.uploads.find(upload.id, ALICE).missing_parts == before


def test_a_file_with_another_digest_is_named_and_sent_again(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "model.safetensors", 0, b"wrong!!!")
    desk.send(upload)
    with pytest.raises(ContentDiffers) as refused:
        desk.uploads.complete(upload.id, ALICE)
    assert refused.value.file == "model.safetensors"
    assert desk.uploads.find(upload.id, ALICE).missing == (Missing(name="model.safetensors", first=0, last=2),)
    desk.send(upload)
    assert desk.uploads.complete(upload.id, ALICE)


def test_what_is_refused_for_what_it_is_gives_its_space_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> object:
        raise FormatError(path=path, reason="no model")

    monkeypatch.setattr(desk.shelf.registry, "looks", Looks(facts=refuse))
    upload = desk.open()
    desk.send(upload)
    with pytest.raises(FormatError):
        desk.uploads.complete(upload.id, ALICE)
    assert (desk.on_disk(), desk.shelf.left()) == ([], [])
    with pytest.raises(UploadUnknown):
        desk.uploads.find(upload.id, ALICE)


def test_an_uploaded_gguf_file_is_converted_as_one_that_comes_by_itself(desk: Desk, tmp_path: Path) -> None:
    shelf = desk.shelf
    made = write(shelf.models_dir / "made", FILES)
    seen: list[tuple[str, bytes]] = []

    def convert(model: str, models_dir: Path, progress: object) -> Path:
        seen.append((Path(model).name, Path(model).read_bytes()))
        return made

    def facts(folder: Path) -> Facts:
        gguf = any(folder.rglob("*.gguf"))
        found = facts_of_test_folder(made)
        return replace(found, format="gguf", licence="apache-2.0") if gguf else found

    shelf.registry.looks = Looks(facts=facts, numbers=lambda *_: None, convert=convert)
    files = {"tiny.gguf": b"GGUF...", "notes/a.txt": b"x"}
    upload = desk.open(files)
    desk.send(upload, files)
    version = desk.uploads.complete(upload.id, ALICE)
    assert seen == [("tiny.gguf", b"GGUF...")]
    assert (version.format, version.licence) == ("safetensors", "apache-2.0")
    folder = shelf.registry.path(version)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(FILES)


@pytest.mark.parametrize("what", ["find", "complete", "give_up", "part"])
def test_uploads_of_others_do_not_exist(desk: Desk, what: str) -> None:
    upload = desk.open()
    for upload_id in (upload.id, "up_" + "0" * 24, "../x"):
        with pytest.raises(UploadUnknown):
            touch(desk.uploads, what, upload_id)
    assert desk.uploads.list(BOB) == []
    assert [found.id for found in desk.uploads.list(ALICE)] == [upload.id]


def test_an_upload_expires_and_its_space_comes_back_even_after_a_restart(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "config.json", 0, BIG["config.json"][:PART])
    desk.shelf.setting.clock.advance(LIFETIME_S)
    with pytest.raises(UploadUnknown):
        desk.uploads.find(upload.id, ALICE)
    assert desk.on_disk() == [upload.id]
    desk.restart()
    assert desk.uploads.sweep() == 1
    assert desk.on_disk() == []


def test_a_folder_without_an_upload_is_swept_up(desk: Desk) -> None:
    left = desk.shelf.folders.uploads / ("up_" + "1" * 24)
    left.mkdir()
    (left / "config.json").write_bytes(b"x")
    assert desk.uploads.sweep() == 1
    assert desk.on_disk() == []


def test_an_upload_that_was_given_up_is_gone(desk: Desk) -> None:
    upload = desk.open()
    desk.put(upload, "config.json", 0, BIG["config.json"][:PART])
    desk.uploads.give_up(upload.id, ALICE)
    assert desk.on_disk() == []
    assert desk.uploads.list(ALICE) == []


def test_nothing_is_removed_while_a_part_arrives(desk: Desk) -> None:
    upload = desk.open()
    with desk.uploads.part(upload.id, ALICE, "config.json", 0) as part:
        part.write(b"x")
        for end in (desk.uploads.give_up, desk.uploads.complete):
            with pytest.raises(UploadRefused, match="arriving"):
                end(upload.id, ALICE)


def test_uploads_at_once_are_bounded(desk: Desk) -> None:
    for number in range(uploads.MAX_OPEN_UPLOADS):
        desk.open(model=f"m{number}")
    with pytest.raises(RegistryFull):
        desk.open(model="one-more")
    assert desk.open(model="theirs", owner=BOB)
    desk.shelf.setting.clock.advance(LIFETIME_S)
    assert desk.open(model="one-more")


def test_an_upload_beyond_the_quota_is_refused_before_a_byte(tmp_path: Path) -> None:
    size = sum(len(data) for data in BIG.values())
    desk = Desk(tmp_path, quota_bytes=size + 1)
    desk.open()
    with pytest.raises(RegistryFull):
        desk.open(model="second")


def test_an_upload_that_does_not_fit_the_disk_is_refused_with_the_figures(tmp_path: Path) -> None:
    desk = Desk(tmp_path, free_bytes=lambda _: RESERVE_BYTES + 90)
    desk.open()
    with pytest.raises(DiskFull) as refused:  # the first one's bytes are promised, although none came yet
        desk.open(model="second", owner=BOB)
    size = sum(len(data) for data in BIG.values())
    assert (refused.value.needed_bytes, refused.value.available_bytes) == (2 * size, 90)


def test_a_disk_that_fills_up_under_a_part_leaves_the_upload_as_it_was(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    upload = desk.open()
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(DiskFull):
            desk.put(upload, "config.json", 0, BIG["config.json"][:PART])
    assert desk.uploads.find(upload.id, ALICE).missing == upload.missing
    desk.send(upload)
    assert desk.uploads.complete(upload.id, ALICE)


@pytest.mark.parametrize("step", ["publish", "settle", "keep", "insert_version"])
def test_a_crash_while_completing_leaves_the_upload_complete_able(
    desk: Desk, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    target = {
        "publish": "tallystick_platform.registry.folders.ModelFolders.publish",
        "settle": "tallystick_platform.registry.intake.settle",
        "keep": "tallystick_platform.registry.keeping.Keeping.keep",
        "insert_version": "tallystick_platform.registry.rows.Rows.insert_version",
    }[step]
    upload = desk.open()
    desk.send(upload)
    with monkeypatch.context() as patch:
        patch.setattr(target, kill)
        with pytest.raises(Killed):
            desk.uploads.complete(upload.id, ALICE)
    desk.restart()
    with pytest.raises(UnknownModel):
        desk.shelf.registry.find("mine", ALICE)
    assert not [path for path in desk.shelf.folders.store.iterdir() if path.is_dir()]
    assert desk.uploads.complete(upload.id, ALICE).number == 1


BAD_FILES: list[tuple[str, Callable[[], dict[str, bytes]]]] = [
    ("none", dict),
    ("a name that leads out", lambda: {"../x": b"x"}),
    ("an absolute name", lambda: {"/etc/passwd": b"x"}),
    ("a control character", lambda: {"a\nb": b"x"}),
    ("a file that is a folder, too", lambda: {"a": b"x", "a/b": b"x"}),
    ("two names in different case", lambda: {"A.json": b"x", "a.json": b"x"}),
    ("too many", lambda: {f"{number}.json": b"" for number in range(4_097)}),
    ("git's own", lambda: {".git/config": b"x"}),
    ("only a signature", lambda: {"model.sig": b"x"}),
]


@pytest.mark.parametrize("files", [make for _, make in BAD_FILES], ids=[name for name, _ in BAD_FILES])
def test_files_that_cannot_be_a_model_are_refused_at_once(desk: Desk, files: Callable[[], dict[str, bytes]]) -> None:
    with pytest.raises(UploadRefused):
        desk.open(files())
    assert desk.uploads.list(ALICE) == []


def test_an_upload_to_a_name_of_somebody_else_is_refused_before_a_byte(desk: Desk) -> None:
    desk.shelf.add("theirs", owner=BOB)
    with pytest.raises(ModelTaken):
        desk.open(model="Theirs")
    with pytest.raises(BadReference):
        desk.open(model="a b")


def test_an_adapter_names_its_base_by_digest(desk: Desk) -> None:
    base = desk.shelf.add("base", stage=Stage.PRODUCTION)
    upload = desk.open(FILES | {"model.safetensors": b"lora"}, base="base")
    desk.send(upload, FILES | {"model.safetensors": b"lora"})
    version = desk.uploads.complete(upload.id, ALICE)
    assert version.base == base.reference
    named = (desk.shelf.registry.path(version) / "tallystick-base.json").read_text()
    assert base.digest.hex() in named
