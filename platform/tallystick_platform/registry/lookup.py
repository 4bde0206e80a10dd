"""Which version a reference names for a viewer. What the viewer may not see does not exist for them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from tallystick.ids import Address
from tallystick_platform.errors import UnknownModel
from tallystick_platform.registry.entries import Model, ModelVersion, Stage
from tallystick_platform.registry.errors import BadReference
from tallystick_platform.registry.names import Reference, parse_reference
from tallystick_platform.registry.rows import Rows


class Lookup:
    """Finds models and versions inside the caller's transaction. `viewer` is the caller's address, None the operator."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def model(self, connection: Connection, reference: Reference, viewer: Address | None) -> Model:
        """A model that the viewer may see. Raises: UnknownModel"""
        model = self._rows.model(connection, reference.key)
        if model is None or not model.visible_to(viewer):
            raise UnknownModel(model=str(reference))
        return model

    def version(
        self, connection: Connection, reference: Reference, viewer: Address | None, *, retired: bool
    ) -> ModelVersion:
        """The version that is named, else the newest that the viewer may see, in production first. Raises: UnknownModel"""
        model = self.model(connection, reference, viewer)
        if reference.version is None:
            candidates = self._rows.versions(connection, model)
        else:
            candidates = self._rows.starting_with(connection, model, reference.version)
            if len(candidates) > 1:
                raise UnknownModel(model=f"{reference} (which names {len(candidates)} versions)")
        found = _chosen(candidates, owned=model.owned_by(viewer), retired=retired)
        if found is None:
            raise UnknownModel(model=str(reference))
        return found

    def offered(self, connection: Connection, viewer: Address | None) -> list[ModelVersion]:
        """Of every model that would answer the viewer, the version that does: read in one go, however many there are."""
        models = {model.id: list[ModelVersion]() for model in self._rows.models(connection, viewer)}
        for version in self._rows.all_versions(connection):
            if version.model.id in models:
                models[version.model.id].insert(0, version)  # they come oldest first
        chosen = (
            _chosen(versions, owned=versions[0].model.owned_by(viewer), retired=False)
            for versions in models.values()
            if versions
        )
        return [version for version in chosen if version is not None]


def _chosen(candidates: Sequence[ModelVersion], *, owned: bool, retired: bool) -> ModelVersion | None:
    """Of versions, newest first, the one that a plain name stands for."""
    for stage in (Stage.PRODUCTION, Stage.STAGING, Stage.RETIRED):
        if (stage is Stage.STAGING and not owned) or (stage is Stage.RETIRED and not retired):
            continue
        for version in candidates:
            if version.stage is stage:
                return version
    return None


def parsed(reference: str) -> Reference:
    """A reference that cannot be one names nothing."""
    try:
        return parse_reference(reference)
    except BadReference as error:
        raise UnknownModel(model=reference[:128]) from error
