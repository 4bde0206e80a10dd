"""What the standing worker serves is registered, once."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tallystick_platform.app.workers import Registrar
from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import Stage, Visibility
from tests.support.registries import FILES, Shelf, write


class Noticing:
    """A catalog that counts how often it was told to forget."""

    def __init__(self) -> None:
        self.forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1


def link_to(folder: Path | None, digest: bytes, *, model: str = "tiny", standing: bool = True) -> object:
    info = SimpleNamespace(id=model, version=digest.hex()[:12], weights_digest=digest)
    shown = None if folder is None else str(folder)
    return SimpleNamespace(standing=standing, folder=shown, placement=SimpleNamespace(model=info))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny", FILES)


async def test_it_is_public_in_production_and_the_operators(shelf: Shelf, folder: Path) -> None:
    from tallystick.manifest import hash_folder

    catalog, digest = Noticing(), hash_folder(folder).digest
    registrar = Registrar(str(folder), shelf.registry, catalog)
    registrar.hear(link_to(folder, digest))
    await registrar.ended()
    version = shelf.registry.resolve("tiny", None)
    assert (version.digest, version.stage, version.pinned) == (digest, Stage.PRODUCTION, False)
    assert (version.model.visibility, version.model.owner) == (Visibility.PUBLIC, None)
    assert version.source["kind"] == "folder"
    assert catalog.forgotten == 1
    registrar.hear(link_to(folder, digest))  # a worker that was started again says the same
    again = Registrar(str(folder), shelf.registry, catalog)
    again.hear(link_to(folder, digest))
    await again.ended()
    assert len(shelf.registry.versions("tiny", None)) == 1
    assert catalog.forgotten == 1


async def test_a_model_without_files_and_the_fleets_own_are_not_registered(shelf: Shelf, folder: Path) -> None:
    registrar = Registrar("constant", shelf.registry, Noticing())
    registrar.hear(link_to(None, b"\1" * 32))
    registrar.hear(link_to(folder, b"\1" * 32, standing=False))
    assert not registrar.at_work
    await registrar.ended()
    with pytest.raises(UnknownModel):
        shelf.registry.find("tiny", None)


async def test_a_name_that_cannot_be_registered_is_served_all_the_same(shelf: Shelf, folder: Path) -> None:
    catalog = Noticing()
    registrar = Registrar(str(folder), shelf.registry, catalog)
    registrar.hear(link_to(folder, b"\1" * 32, model="no name"))
    assert registrar.at_work
    await registrar.ended()
    assert not registrar.at_work
    assert catalog.forgotten == 0


async def test_it_is_at_work_from_the_moment_that_the_worker_is_known_until_the_registry_has_answered(
    shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tallystick.manifest import hash_folder

    digest, answer = hash_folder(folder).digest, threading.Event()
    find = shelf.registry.find

    def slowly(reference: str, viewer: object) -> object:
        assert answer.wait(5)
        return find(reference, viewer)

    monkeypatch.setattr(shelf.registry, "find", slowly)
    registrar = Registrar(str(folder), shelf.registry, Noticing())
    assert not registrar.at_work
    registrar.hear(link_to(folder, digest))
    assert registrar.at_work
    answer.set()
    await registrar.ended()
    assert not registrar.at_work
    assert find("tiny", None).digest == digest


async def test_a_stop_breaks_it_off_and_leaves_nothing(shelf: Shelf, folder: Path) -> None:
    registrar = Registrar(str(folder), shelf.registry, Noticing())
    registrar._stopping.set()
    registrar.hear(link_to(folder, b"\1" * 32))
    await registrar.stop()
    with pytest.raises(UnknownModel):
        shelf.registry.find("tiny", None)
    assert shelf.left() == []
