"""Versions never change, names belong to who registered them, and what one may not see does not exist."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.manifest import hash_folder
from tallystick_platform.errors import RowTampered, UnknownModel
from tallystick_platform.registry import intake as module
from tallystick_platform.registry.entries import Price, Stage, Visibility
from tallystick_platform.registry.errors import InUse, ModelTaken, NotTheOwner, RegistryFull, TaskDiffers, VersionExists
from tallystick_platform.store.jobs import UNFINISHED, JobState, JobStore
from tests.support.job_rows import a_job
from tests.support.journals import ALICE, BOB
from tests.support.registries import FILES, Shelf

OTHER = FILES | {"model.safetensors": b"other weights"}
THIRD = FILES | {"model.safetensors": b"third weights"}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_version_is_named_by_the_digest_of_its_files(shelf: Shelf) -> None:
    version = shelf.add()
    folder = shelf.registry.path(version)
    assert hash_folder(folder).digest == version.digest
    assert folder.name == version.digest.hex()
    assert version.reference == f"Acme/Tiny@{version.digest.hex()[:12]}"
    assert (folder / "sub/tokens.txt").read_bytes() == b"a b c"


def test_published_files_are_read_only(shelf: Shelf) -> None:
    folder = shelf.registry.path(shelf.add())
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path.is_dir()}
    assert (modes, folders) == ({0o444}, {0o555})


def test_nothing_stays_in_the_staging_area(shelf: Shelf) -> None:
    shelf.add()
    assert shelf.left() == []


def test_the_same_files_are_refused_as_a_second_version(shelf: Shelf) -> None:
    version = shelf.add()
    with pytest.raises(VersionExists) as refused:
        shelf.add()
    assert refused.value.reference == version.reference
    assert shelf.registry.path(version).is_dir()


def test_another_model_may_have_the_same_files_and_shares_the_folder(shelf: Shelf) -> None:
    first, second = shelf.add("one"), shelf.add("two")
    assert shelf.registry.path(first) == shelf.registry.path(second)
    shelf.registry.remove("one", None)
    assert shelf.registry.path(second).is_dir()
    shelf.registry.remove("two", None)
    assert not shelf.registry.path(second).exists()


def test_versions_count_from_one_and_are_listed_newest_first(shelf: Shelf) -> None:
    shelf.add()
    shelf.add(files=OTHER)
    assert [version.number for version in shelf.registry.versions("Acme/Tiny", None)] == [2, 1]


@pytest.mark.parametrize("reference", ["Acme/Tiny", "acme/tiny", "ACME/TINY"])
def test_names_are_found_in_any_case_and_shown_as_registered(shelf: Shelf, reference: str) -> None:
    shelf.add()
    assert shelf.registry.find(reference, None).model.id == "Acme/Tiny"


def test_a_name_that_differs_in_case_alone_is_the_same_model(shelf: Shelf) -> None:
    shelf.add("Acme/Tiny")
    assert shelf.add("acme/TINY", files=OTHER).number == 2


def test_a_plain_name_is_the_newest_version_in_production(shelf: Shelf) -> None:
    first = shelf.add(stage=Stage.PRODUCTION)
    second = shelf.add(files=OTHER, stage=Stage.PRODUCTION)
    shelf.add(files=THIRD)
    assert shelf.registry.resolve("Acme/Tiny", ALICE).digest == second.digest
    assert shelf.registry.resolve(first.reference, ALICE).digest == first.digest


def test_what_is_offered_is_what_the_plain_names_resolve_to(shelf: Shelf) -> None:
    shelf.add("one", stage=Stage.PRODUCTION)
    shelf.add("one", files=OTHER, stage=Stage.PRODUCTION)
    shelf.add("one", files=THIRD)
    shelf.add("two", owner=ALICE)
    shelf.add("three", owner=ALICE, visibility=Visibility.PRIVATE, stage=Stage.PRODUCTION)
    shelf.add("four", stage=Stage.RETIRED)
    for viewer, names in ((None, "one three two"), (ALICE, "one three two"), (BOB, "one")):
        offered = shelf.registry.offered(viewer)
        assert sorted(version.model.id for version in offered) == names.split()
        assert all(shelf.registry.resolve(version.model.id, viewer) == version for version in offered)


def test_versions_in_staging_answer_their_owner_alone(shelf: Shelf) -> None:
    version = shelf.add(owner=ALICE)
    assert shelf.registry.resolve("Acme/Tiny", ALICE).digest == version.digest
    assert shelf.registry.resolve("Acme/Tiny", None).digest == version.digest
    for reference in ("Acme/Tiny", version.reference):
        with pytest.raises(UnknownModel):
            shelf.registry.resolve(reference, BOB)
    assert shelf.registry.versions("Acme/Tiny", BOB) == []


def test_retired_versions_answer_nobody_and_are_still_found(shelf: Shelf) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    shelf.registry.retire("Acme/Tiny", None)
    for reference in ("Acme/Tiny", version.reference):
        with pytest.raises(UnknownModel):
            shelf.registry.resolve(reference, None)
        assert shelf.registry.find(reference, ALICE).stage is Stage.RETIRED


@pytest.mark.parametrize("what", ["resolve", "find", "versions", "promote", "retire", "remove", "verify"])
def test_private_models_of_others_do_not_exist(shelf: Shelf, what: str) -> None:
    version = shelf.add(owner=ALICE, visibility=Visibility.PRIVATE, stage=Stage.PRODUCTION)
    for name in ("Acme/Tiny", version.reference, "nobody/knows"):
        with pytest.raises(UnknownModel) as refused:
            getattr(shelf.registry, what)(name, BOB)
        assert refused.value.model == name
    assert shelf.registry.list(BOB) == []
    assert [model.id for model in shelf.registry.list(ALICE)] == ["Acme/Tiny"]


@pytest.mark.parametrize("what", ["promote", "retire", "remove"])
def test_a_public_model_is_changed_by_its_owner_alone(shelf: Shelf, what: str) -> None:
    shelf.add(owner=ALICE, stage=Stage.PRODUCTION)
    with pytest.raises(NotTheOwner, match="not yours"):
        getattr(shelf.registry, what)("Acme/Tiny", BOB)
    assert shelf.registry.resolve("Acme/Tiny", BOB).stage is Stage.PRODUCTION


def test_a_name_belongs_to_who_registered_it(shelf: Shelf) -> None:
    shelf.add(owner=ALICE)
    with pytest.raises(ModelTaken):
        shelf.add(owner=BOB, files=OTHER)
    assert shelf.add(owner=None, files=OTHER).model.owner == ALICE


def test_versions_of_a_model_are_for_one_task(shelf: Shelf) -> None:
    shelf.add()
    with pytest.raises(TaskDiffers):
        shelf.add(files=OTHER | {"config.json": b'{"task": "embedding"}'})


@pytest.mark.parametrize(
    "reference", ["", "a/b/c", "../x", "a@", "a@123", "a@XYZ", "x" * 200, "a\nb", "Acme/Tiny@" + "0" * 65]
)
def test_what_is_no_reference_names_nothing(shelf: Shelf, reference: str) -> None:
    with pytest.raises(UnknownModel):
        shelf.registry.resolve(reference, None)


def test_the_beginning_of_a_digest_is_enough(shelf: Shelf) -> None:
    version = shelf.add()
    for length in (8, 12, 64):
        assert shelf.registry.find(f"Acme/Tiny@{version.digest.hex()[:length]}", None) == version


def test_price_pin_and_stage_are_what_may_change(shelf: Shelf) -> None:
    version = shelf.add(price=Price(per_hour_micros=5, currency="EUR"))
    shelf.registry.promote("Acme/Tiny", None)
    shelf.registry.pin("Acme/Tiny", None, pinned=True)
    shelf.registry.price("Acme/Tiny", None, None)
    found = shelf.registry.find("Acme/Tiny", None)
    assert found == replace(version, stage=Stage.PRODUCTION, pinned=True, price=None)


@pytest.mark.parametrize("why", ["pinned", "production", "base", "loaded"])
def test_what_is_needed_is_not_removed(shelf: Shelf, why: str) -> None:
    version = shelf.add(pin=why == "pinned", stage=Stage.PRODUCTION if why == "production" else Stage.STAGING)
    if why == "base":
        shelf.add("adapter", files=OTHER, base=version.reference)
    with pytest.raises(InUse, match=why):
        shelf.registry.remove("Acme/Tiny", None, served=lambda _: why == "loaded")
    assert shelf.registry.path(version).is_dir()


@pytest.mark.parametrize("state", list(JobState))
def test_a_version_whose_export_is_under_way_is_not_removed(shelf: Shelf, state: JobState) -> None:
    version = shelf.add()
    job = a_job(model=version.model.id, version=version.version, source_digest=version.digest, state=state)
    JobStore(shelf.database, shelf.setting.macs).insert(job)
    if state in UNFINISHED:
        with pytest.raises(InUse, match="an export of it is under way; wait until it has ended, or cancel it"):
            shelf.registry.remove("Acme/Tiny", None)
    else:
        shelf.registry.remove("Acme/Tiny", None)
    assert shelf.registry.path(version).is_dir() is (state in UNFINISHED)


def test_an_adapter_whose_base_went_away_meanwhile_is_not_registered(shelf: Shelf) -> None:
    with pytest.raises(UnknownModel):
        shelf.add("adapter", base="gone@0123456789ab")
    assert shelf.left() == []
    assert list(shelf.folders.store.iterdir()) == []


def test_a_removed_version_gives_its_space_back_and_its_name_with_the_last(shelf: Shelf) -> None:
    version = shelf.add()
    shelf.registry.remove("Acme/Tiny", None)
    assert list(shelf.folders.store.iterdir()) == []
    assert shelf.left() == []
    assert shelf.registry.list(None) == []
    with pytest.raises(UnknownModel):
        shelf.registry.find(version.reference, None)
    assert shelf.add(owner=BOB).model.owner == BOB


def test_an_owner_stores_no_more_than_the_quota(tmp_path: Path) -> None:
    size = sum(len(data) for data in FILES.values())
    shelf = Shelf(tmp_path, quota_bytes=size + 1)
    shelf.add(owner=ALICE)
    with pytest.raises(RegistryFull):
        shelf.add(owner=ALICE, files=OTHER)
    shelf.add("theirs", owner=BOB)
    shelf.add("ours", owner=None, files=OTHER)
    assert shelf.registry.stored_bytes(ALICE) == size


@pytest.mark.parametrize("bound", ["MAX_MODELS_PER_OWNER", "MAX_VERSIONS_PER_MODEL"])
def test_models_and_versions_are_bounded(shelf: Shelf, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, bound, 1)
    shelf.add(owner=ALICE)
    with pytest.raises(RegistryFull):
        shelf.add("second" if "MODELS" in bound else "Acme/Tiny", owner=ALICE, files=OTHER)


def test_a_whole_version_verifies(shelf: Shelf) -> None:
    version = shelf.add()
    seen: list[tuple[str, float]] = []
    verification = shelf.registry.verify("Acme/Tiny", None, lambda stage, done: seen.append((stage, done)))
    assert verification.ok
    assert (verification.expected, verification.found) == (version.digest, version.digest)
    assert seen[-1] == ("hashing", 1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [("changed", "changed: model.safetensors"), ("missing", "missing: config.json"), ("extra", "extra: new.txt")],
)
def test_a_damaged_version_is_found_and_the_file_named(shelf: Shelf, change: str, reason: str) -> None:
    folder = shelf.registry.path(shelf.add())
    folder.chmod(0o755)
    if change == "changed":
        (folder / "model.safetensors").chmod(0o644)
        (folder / "model.safetensors").write_bytes(b"weightz")
    elif change == "missing":
        (folder / "config.json").unlink()
    else:
        (folder / "new.txt").write_bytes(b"x")
    verification = shelf.registry.verify("Acme/Tiny", None)
    assert (verification.ok, verification.reason) == (False, reason)


def test_a_version_whose_files_are_gone_does_not_verify(shelf: Shelf) -> None:
    folder = shelf.registry.path(shelf.add())
    folder.chmod(0o755)
    folder.rename(folder.with_name("elsewhere"))
    assert shelf.registry.verify("Acme/Tiny", None).reason == "its files are gone"


def test_a_row_that_was_changed_by_hand_is_not_believed(shelf: Shelf) -> None:
    shelf.add(owner=ALICE, visibility=Visibility.PRIVATE)
    with shelf.database.writing() as connection:
        connection.exec_driver_sql("UPDATE model SET visibility = 'public'")
    with pytest.raises(RowTampered):
        shelf.registry.find("Acme/Tiny", BOB)


def test_of_two_that_register_the_same_files_at_once_one_wins(shelf: Shelf) -> None:
    found: list[object] = []
    start = threading.Barrier(2)

    def add() -> None:
        start.wait()
        try:
            found.append(shelf.add().number)
        except VersionExists as error:
            found.append(error.reference)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    version = shelf.registry.find("Acme/Tiny", None)
    assert sorted(map(str, found)) == ["1", version.reference]
    assert shelf.registry.verify("Acme/Tiny", None).ok
    assert shelf.left() == []
