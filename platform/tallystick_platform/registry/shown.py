"""Models and versions as JSON, the same over HTTP and on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from tallystick.ids import checksum_address, to_hex
from tallystick_platform.formats.tasks import served_by
from tallystick_platform.registry.entries import Model, ModelVersion, SignatureState, Stage, Visibility
from tallystick_platform.shapes import Address, Count, Hash, Time
from tallystick_platform.tasks import TASKS

LOCAL_MEMBERS = frozenset(("path", "endpoint"))
"""Members of a source that only the operator should read: where things lie on this machine."""


def shown_model(model: Model) -> dict[str, object]:
    """A model."""
    return {
        "id": model.id,
        "task": model.task,
        "visibility": model.visibility.value,
        "owner": None if model.owner is None else checksum_address(model.owner),
        "created_at": time_of(model.created_at),
    }


class VersionView(Struct, frozen=True, kw_only=True):
    """One immutable content of a model, with its model's members."""

    reference: Annotated[str, Meta(description="`model@version`: names this very content, also in a request.")]
    model: str
    version: Annotated[str, Meta(description="The first 12 digits of the digest.")]
    number: Annotated[int, Meta(ge=1, description="Counts the model's versions.")]
    digest: Annotated[Hash, Meta(description="The weights digest that stands in records.")]
    stage: Stage
    pinned: bool
    task: str
    tasks: Annotated[list[str], Meta(description="What it can be asked with.")]
    format: str
    architecture: str | None
    licence: str | None
    dtype: str | None
    parameters: Count | None
    context_length: Count | None
    size_bytes: Count
    base: Annotated[str | None, Meta(description="For an adapter: the reference of its base.")]
    source: Annotated[dict[str, Any], Meta(description="Where the files came from.")]
    signature: SignatureState
    signer: Annotated[str | None, Meta(description="SHA-256 of the signer's public key in PEM.")]
    price_per_hour_micros: Count | None
    currency: str | None
    visibility: Visibility
    owner: Annotated[Address | None, Meta(description="Null: the operator.")]
    created_at: Time


_ALIKE = set(VersionView.__struct_fields__) - {
    "tasks",
    "model",
    "digest",
    "source",
    "price_per_hour_micros",
    "currency",
    "visibility",
    "owner",
    "created_at",
}
"""What a version and its view hold alike."""


def shown_version(version: ModelVersion, *, to_operator: bool = False) -> VersionView:
    """A version as its readers see it."""
    price = version.price
    return VersionView(
        **{name: getattr(version, name) for name in _ALIKE},
        model=version.model.id,
        digest=to_hex(version.digest),
        tasks=[name for name in served_by(version.task) if name in TASKS],
        source={name: value for name, value in version.source.items() if to_operator or name not in LOCAL_MEMBERS},
        price_per_hour_micros=None if price is None else price.per_hour_micros,
        currency=None if price is None else price.currency,
        visibility=version.model.visibility,
        owner=None if version.model.owner is None else checksum_address(version.model.owner),
        created_at=time_of(version.created_at),
    )


def time_of(at_us: int) -> str:
    """A time in ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat()
