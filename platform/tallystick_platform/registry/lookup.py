"""Which version a reference names for a viewer. What the viewer may not see does not exist for them."""

from __future__ import annotations

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
        owned = model.owned_by(viewer)
        for stage in (Stage.PRODUCTION, Stage.STAGING, Stage.RETIRED):
            if (stage is Stage.STAGING and not owned) or (stage is Stage.RETIRED and not retired):
                continue
            for version in candidates:
                if version.stage is stage:
                    return version
        raise UnknownModel(model=str(reference))


def parsed(reference: str) -> Reference:
    """A reference that cannot be one names nothing."""
    try:
        return parse_reference(reference)
    except BadReference as error:
        raise UnknownModel(model=reference[:128]) from error
