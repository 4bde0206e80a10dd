"""The registry's rows in the database: written with their MACs, checked whenever they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select

from tallystick.ids import Address
from tallystick_platform.registry.entries import (
    Model,
    ModelVersion,
    Price,
    SignatureState,
    Stage,
    Visibility,
)
from tallystick_platform.store.row_macs import RowMacs, Value
from tallystick_platform.store.row_writes import delete_rows, insert_row, replace_row
from tallystick_platform.store.tables import MODEL, VERSION

_ALIKE = {field.name for field in fields(ModelVersion)} - {"model", "source", "signature", "price", "stage", "pinned"}
"""What a version and its row hold alike."""


class Rows:
    """Models and versions. Every method works inside the caller's transaction. Raises: RowTampered."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def model(self, connection: Connection, key: str) -> Model | None:
        """A model by its id in lower case."""
        row = connection.execute(select(MODEL).where(MODEL.c.key == key)).first()
        return None if row is None else _model(self._macs.check(MODEL, row))

    def models(self, connection: Connection, viewer: Address | None) -> list[Model]:
        """What `viewer` may see, by name."""
        query = select(MODEL).order_by(MODEL.c.key)
        if viewer is not None:
            seen = or_(MODEL.c.visibility == Visibility.PUBLIC.value, MODEL.c.owner == bytes(viewer))
            query = query.where(seen)
        return [_model(self._macs.check(MODEL, row)) for row in connection.execute(query)]

    def versions(self, connection: Connection, model: Model) -> list[ModelVersion]:
        """Every version of a model, newest first."""
        query = select(VERSION).where(VERSION.c.model == model.id.lower()).order_by(VERSION.c.number.desc())
        return self._versions(connection, query, model)

    def starting_with(self, connection: Connection, model: Model, prefix: str) -> list[ModelVersion]:
        """A model's versions whose digest begins so."""
        query = select(VERSION).where(
            VERSION.c.model == model.id.lower(),
            VERSION.c.id.startswith(f"{model.id.lower()}@{prefix}", autoescape=True),
        )
        return self._versions(connection, query, model)

    def all_versions(self, connection: Connection) -> list[ModelVersion]:
        """Every version of every model."""
        models = {model.id.lower(): model for model in self.models(connection, None)}
        rows = connection.execute(select(VERSION).order_by(VERSION.c.model, VERSION.c.number))
        checked = [self._macs.check(VERSION, row) for row in rows]
        return [_version(values, models[str(values["model"])]) for values in checked if values["model"] in models]

    def with_digest(self, connection: Connection, digest: bytes) -> int:
        """How many versions have this content."""
        return _count(connection, VERSION, VERSION.c.digest == digest)

    def with_signature(self, connection: Connection, digest: bytes) -> int:
        """How many versions have this signature file."""
        return _count(connection, VERSION, VERSION.c.signature_digest == digest)

    def based_on(self, connection: Connection, reference: str) -> list[str]:
        """The versions that need this one as their base."""
        rows = connection.execute(select(VERSION).where(VERSION.c.base == reference).order_by(VERSION.c.id))
        checked = [self._macs.check(VERSION, row) for row in rows]
        return [str(values["model"]) + "@" + str(values["version"]) for values in checked]

    def stored_bytes(self, connection: Connection, owner: Address) -> int:
        """The size of all versions of an owner's models."""
        query = (
            select(func.coalesce(func.sum(VERSION.c.size_bytes), 0))
            .select_from(VERSION.join(MODEL, VERSION.c.model == MODEL.c.key))
            .where(MODEL.c.owner == bytes(owner))
        )
        return int(connection.execute(query).scalar_one())

    def owned(self, connection: Connection, owner: Address | None) -> int:
        """How many models an owner has."""
        return _count(connection, MODEL, MODEL.c.owner == owner)

    def insert_model(self, connection: Connection, model: Model) -> None:
        """Register a name."""
        values: dict[str, Value] = {
            "key": model.id.lower(),
            "id": model.id,
            "owner": model.owner,
            "visibility": model.visibility.value,
            "task": model.task,
            "created_at": model.created_at,
        }
        insert_row(connection, self._macs, MODEL, values)

    def insert_version(self, connection: Connection, version: ModelVersion) -> None:
        """Add a version to a registered name."""
        insert_row(connection, self._macs, VERSION, _values(version))

    def update_version(self, connection: Connection, version: ModelVersion) -> None:
        """Write what may change of a version: its stage, pin and price."""
        values = _values(version)
        changed = {name: values[name] for name in ("stage", "pinned", "price_per_hour_micros", "currency")}
        found = connection.execute(select(VERSION).where(VERSION.c.id == values["id"])).one()
        replace_row(connection, self._macs, VERSION, self._macs.check(VERSION, found), changed)

    def delete_version(self, connection: Connection, version: ModelVersion) -> None:
        """Forget a version, and the name with its last one."""
        key = version.model.id.lower()
        delete_rows(connection, self._macs, VERSION, VERSION.c.id == f"{key}@{version.digest.hex()}")
        if _count(connection, VERSION, VERSION.c.model == key) == 0:
            delete_rows(connection, self._macs, MODEL, MODEL.c.key == key)

    def _versions(self, connection: Connection, query: Select[Any], model: Model) -> list[ModelVersion]:
        return [_version(self._macs.check(VERSION, row), model) for row in connection.execute(query)]


def _count(connection: Connection, table: Table, where: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(where)).scalar_one())


def next_number(versions: Sequence[ModelVersion]) -> int:
    """The number of a model's next version."""
    return 1 + max((version.number for version in versions), default=0)


def _values(version: ModelVersion) -> dict[str, Value]:
    key = version.model.id.lower()
    price = version.price
    return {
        "id": f"{key}@{version.digest.hex()}",
        "model": key,
        **{name: getattr(version, name) for name in _ALIKE},
        "source": json.dumps(version.source, sort_keys=True, separators=(",", ":")),
        "signature": version.signature.value,
        "price_per_hour_micros": None if price is None else price.per_hour_micros,
        "currency": None if price is None else price.currency,
        "stage": version.stage.value,
        "pinned": int(version.pinned),
    }


def _model(row: Mapping[str, Any]) -> Model:
    return Model(
        id=row["id"],
        owner=None if row["owner"] is None else Address(row["owner"]),
        visibility=Visibility(row["visibility"]),
        task=row["task"],
        created_at=row["created_at"],
    )


def _version(row: Mapping[str, Any], model: Model) -> ModelVersion:
    micros = row["price_per_hour_micros"]
    return ModelVersion(
        model=model,
        **{name: row[name] for name in _ALIKE},
        source=json.loads(row["source"]),
        signature=SignatureState(row["signature"]),
        price=None if micros is None else Price(per_hour_micros=micros, currency=row["currency"]),
        stage=Stage(row["stage"]),
        pinned=bool(row["pinned"]),
    )
