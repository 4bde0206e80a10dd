"""The registry as the dispatcher sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.ids import Address
from tallystick_platform.app.catalog import RegistryCatalog
from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import ModelVersion, Price, Stage, Visibility
from tallystick_platform.registry.errors import SignatureRefused
from tallystick_platform.registry.signatures import SignaturePolicy, Signatures
from tests.support.clocks import FixedClock
from tests.support.registries import FILES, Shelf

OPERATOR = Address(b"\x31" * 20)
OWNER = Address(b"\x32" * 20)
STRANGER = Address(b"\x33" * 20)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def time() -> FixedClock:
    return FixedClock()


@pytest.fixture
def catalog(shelf: Shelf, time: FixedClock) -> RegistryCatalog:
    return RegistryCatalog(shelf.registry, OPERATOR, time)


async def test_a_version_is_offered_with_its_files_price_and_pin(shelf: Shelf, catalog: RegistryCatalog) -> None:
    version = shelf.add(
        stage=Stage.PRODUCTION, price=Price(per_hour_micros=7, currency="EUR"), pin=True, visibility=Visibility.PUBLIC
    )
    servable = await catalog.resolve("acme/tiny", STRANGER)
    assert (servable.model_id, servable.version, servable.digest) == ("Acme/Tiny", version.version, version.digest)
    assert servable.folder == shelf.registry.path(version)
    assert (servable.task, servable.format) == ("chat", "safetensors")
    assert (servable.price_per_hour_micros, servable.currency) == (7, "EUR")
    assert (servable.pinned, servable.public) == (True, True)
    assert servable.reference == version.reference
    assert [one.reference for one in await catalog.pinned()] == [version.reference]


async def test_an_adapter_is_offered_with_its_base(shelf: Shelf, catalog: RegistryCatalog) -> None:
    base = shelf.add("Acme/Base")
    shelf.add("Acme/Adapter", stage=Stage.PRODUCTION, base=base.reference, files={**FILES, "adapter.txt": b"a"})
    servable = await catalog.resolve("Acme/Adapter", STRANGER)
    assert (servable.base_folder, servable.base_digest) == (shelf.registry.path(base), base.digest)


async def test_private_models_and_staged_versions_are_their_owners_and_the_operators(
    shelf: Shelf, catalog: RegistryCatalog
) -> None:
    shelf.add("Acme/Private", owner=OWNER, visibility=Visibility.PRIVATE, stage=Stage.PRODUCTION)
    shelf.add("Acme/Staged", owner=OWNER, files={**FILES, "other.txt": b"o"})
    for model in ("Acme/Private", "Acme/Staged"):
        for viewer in (OWNER, OPERATOR, None):
            assert not (await catalog.resolve(model, viewer)).public
        with pytest.raises(UnknownModel):
            await catalog.resolve(model, STRANGER)


async def test_what_another_process_changes_counts_within_a_second(
    shelf: Shelf, catalog: RegistryCatalog, time: FixedClock
) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    found = await catalog.resolve("Acme/Tiny", STRANGER)
    shelf.registry.retire(version.reference, None)
    assert await catalog.resolve("Acme/Tiny", STRANGER) is found
    time.advance(1)
    with pytest.raises(UnknownModel):
        await catalog.resolve("Acme/Tiny", STRANGER)
    shelf.registry.promote(version.reference, None)
    with pytest.raises(UnknownModel):  # what is not there is remembered, too
        await catalog.resolve("Acme/Tiny", STRANGER)
    catalog.forget()
    assert await catalog.resolve("Acme/Tiny", STRANGER) == found


async def test_a_version_is_known_at_whatever_stage_until_it_is_removed(shelf: Shelf, catalog: RegistryCatalog) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    name = f"acme/tiny@{version.digest.hex()}"
    shelf.registry.retire(version.reference, None)
    assert await catalog.offered(name) == (None, True)
    shelf.registry.remove(version.reference, None)
    catalog.forget()
    assert await catalog.offered(name) == (None, False)
    assert await catalog.offered("no name") == (None, False)


async def test_what_is_registered_while_it_is_looked_for_is_not_taken_for_withdrawn(
    shelf: Shelf, catalog: RegistryCatalog, time: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, find = "acme/tiny", shelf.registry.find

    def found_as_it_comes(reference: str, viewer: Address | None) -> ModelVersion:
        try:
            return find(reference, viewer)
        except UnknownModel:
            shelf.add(stage=Stage.PRODUCTION)
            raise

    monkeypatch.setattr(shelf.registry, "find", found_as_it_comes)
    assert await catalog.offered(name) == (None, False)
    assert await catalog.offered(name) == (None, False)  # remembered as it was, both halves
    time.advance(1)
    assert await catalog.offered(name) == (await catalog.resolve(name, None), True)


async def test_a_name_beyond_the_bound_is_not_looked_up(catalog: RegistryCatalog) -> None:
    with pytest.raises(UnknownModel) as caught:
        await catalog.resolve("m" * 10_000, STRANGER)
    assert len(str(caught.value)) < 300


async def test_where_signatures_are_required_an_unsigned_version_is_not_loaded(
    tmp_path: Path, time: FixedClock
) -> None:
    shelf = Shelf(tmp_path)
    version = shelf.add(stage=Stage.PRODUCTION, pin=True)
    shelf.registry.signatures = Signatures(SignaturePolicy.REQUIRED)
    catalog = RegistryCatalog(shelf.registry, OPERATOR, time)
    with pytest.raises(SignatureRefused):
        await catalog.resolve(version.reference, STRANGER)
    assert await catalog.offered(version.reference) == (None, True)
    assert await catalog.pinned() == []


async def test_a_retired_pin_is_not_loaded(shelf: Shelf, catalog: RegistryCatalog) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    shelf.registry.retire(version.reference, None)
    assert await catalog.pinned() == []
