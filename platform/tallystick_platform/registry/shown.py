"""Models and versions as JSON, the same over HTTP and on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from tallystick.ids import checksum_address, to_hex
from tallystick_platform.registry.entries import Model, ModelVersion

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


def shown_version(version: ModelVersion, *, to_operator: bool = False) -> dict[str, object]:
    """A version with its model's members."""
    price = version.price
    source = {name: value for name, value in version.source.items() if to_operator or name not in LOCAL_MEMBERS}
    return {
        "reference": version.reference,
        "model": version.model.id,
        "version": version.version,
        "number": version.number,
        "digest": to_hex(version.digest),
        "stage": version.stage.value,
        "pinned": version.pinned,
        "task": version.task,
        "format": version.format,
        "architecture": version.architecture,
        "licence": version.licence,
        "dtype": version.dtype,
        "parameters": version.parameters,
        "context_length": version.context_length,
        "size_bytes": version.size_bytes,
        "base": version.base,
        "source": source,
        "signature": version.signature.value,
        "signer": version.signer,
        "price_per_hour_micros": None if price is None else price.per_hour_micros,
        "currency": None if price is None else price.currency,
        "visibility": version.model.visibility.value,
        "owner": None if version.model.owner is None else checksum_address(version.model.owner),
        "created_at": time_of(version.created_at),
    }


def time_of(at_us: int) -> str:
    """A time in ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat()
