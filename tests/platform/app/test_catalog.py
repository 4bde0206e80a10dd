"""The registry as the dispatcher sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.ids import Address
from tallystick_platform.app import catalog as catalog_module
from tallystick_platform.app.catalog import RegistryCatalog
from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import Price, Stage, Visibility
from tallystick_platform.registry.errors import SignatureRefused
from tallystick_platform.registry.signatures import SignaturePolicy, Signatures
from tests.support.registries import FILES, Shelf

OPERATOR = Address(b"\x31" * 20)
OWNER = Address(b"\x32" * 20)
STRANGER = Address(b"\x33" * 20)


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns

    def now_us(self) -> int:
        return 0


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def catalog(shelf: Shelf, time: Time) -> RegistryCatalog:
    return RegistryCatalog(shelf.registry, OPERATOR, time)


def test_a_version_is_offered_with_its_files_price_and_pin(shelf: Shelf, catalog: RegistryCatalog) -> None:
    version = shelf.add(
        stage=Stage.PRODUCTION, price=Price(per_hour_micros=7, currency="EUR"), pin=True, visibility=Visibility.PUBLIC
    )
    servable = catalog.resolve("acme/tiny", STRANGER)
    assert (servable.model_id, servable.version, servable.digest) == ("Acme/Tiny", version.version, version.digest)
    assert servable.folder == shelf.registry.path(version)
    assert (servable.task, servable.format) == ("chat", "safetensors")
    assert (servable.price_per_hour_micros, servable.currency) == (7, "EUR")
    assert (servable.pinned, servable.public) == (True, True)
    assert servable.reference == version.reference
    assert [one.reference for one in catalog.pinned()] == [version.reference]


def test_an_adapter_is_offered_with_its_base(shelf: Shelf, catalog: RegistryCatalog) -> None:
    base = shelf.add("Acme/Base")
    shelf.add("Acme/Adapter", stage=Stage.PRODUCTION, base=base.reference, files={**FILES, "adapter.txt": b"a"})
    servable = catalog.resolve("Acme/Adapter", STRANGER)
    assert (servable.base_folder, servable.base_digest) == (shelf.registry.path(base), base.digest)


def test_private_models_and_staged_versions_are_their_owners_and_the_operators(
    shelf: Shelf, catalog: RegistryCatalog
) -> None:
    shelf.add("Acme/Private", owner=OWNER, visibility=Visibility.PRIVATE, stage=Stage.PRODUCTION)
    shelf.add("Acme/Staged", owner=OWNER, files={**FILES, "other.txt": b"o"})
    for model in ("Acme/Private", "Acme/Staged"):
        for viewer in (OWNER, OPERATOR, None):
            assert not catalog.resolve(model, viewer).public
        with pytest.raises(UnknownModel):
            catalog.resolve(model, STRANGER)


def test_what_is_remembered_counts_for_less_than_a_second(shelf: Shelf, catalog: RegistryCatalog, time: Time) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    found = catalog.resolve("Acme/Tiny", STRANGER)
    shelf.registry.retire(version.reference, None)
    time.ns += catalog_module.REMEMBER_NS - 1
    assert catalog.resolve("Acme/Tiny", STRANGER) is found
    time.ns += 1
    with pytest.raises(UnknownModel):
        catalog.resolve("Acme/Tiny", STRANGER)
    shelf.registry.promote(version.reference, None)
    with pytest.raises(UnknownModel):  # what is not there is remembered, too
        catalog.resolve("Acme/Tiny", STRANGER)
    catalog.forget()
    assert catalog.resolve("Acme/Tiny", STRANGER) == found


def test_no_more_is_remembered_than_the_bound(
    shelf: Shelf, catalog: RegistryCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "MAX_REMEMBERED", 3)
    for number in range(9):
        with pytest.raises(UnknownModel):
            catalog.resolve(f"m{number}", STRANGER)
    assert len(catalog._remembered) == 3


def test_a_name_beyond_the_bound_is_not_looked_up(catalog: RegistryCatalog) -> None:
    with pytest.raises(UnknownModel) as caught:
        catalog.resolve("m" * 10_000, STRANGER)
    assert len(str(caught.value)) < 300


def test_where_signatures_are_required_an_unsigned_version_is_not_loaded(tmp_path: Path, time: Time) -> None:
    shelf = Shelf(tmp_path)
    version = shelf.add(stage=Stage.PRODUCTION, pin=True)
    shelf.registry.signatures = Signatures(SignaturePolicy.REQUIRED)
    catalog = RegistryCatalog(shelf.registry, OPERATOR, time)
    with pytest.raises(SignatureRefused):
        catalog.resolve(version.reference, STRANGER)
    assert catalog.pinned() == []


def test_a_retired_pin_is_not_loaded(shelf: Shelf, catalog: RegistryCatalog) -> None:
    version = shelf.add(stage=Stage.PRODUCTION)
    shelf.registry.retire(version.reference, None)
    assert catalog.pinned() == []
