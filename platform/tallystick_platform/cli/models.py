"""`tallystick-server model ...`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tallystick.ids import parse_address, to_hex
from tallystick_platform.cli.opening import opened
from tallystick_platform.cli.output import EXIT_FOUND, show, table
from tallystick_platform.cli.progress import progress_bar
from tallystick_platform.clock import SystemClock
from tallystick_platform.exporter.offers import offers
from tallystick_platform.formats.packaged import PACKAGED
from tallystick_platform.registry.entries import UPSTREAM_FORMAT, ModelVersion, Price, Stage, Visibility
from tallystick_platform.registry.hub import HUB_PREFIX, parse_hub
from tallystick_platform.registry.intake import Arrival
from tallystick_platform.registry.registry import Registry, open_registry
from tallystick_platform.registry.shown import shown_model, shown_version
from tallystick_platform.registry.sources import Source, Upstream, local_source, packaged_source, register

MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `model add` was asked for."""

    source: str
    name: str | None
    base: str | None
    owner: str | None
    private: bool
    licence: str | None
    price_per_hour: float | None
    currency: str | None
    production: bool
    pin: bool
    task: str
    upstream_model: str | None
    key_variable: str | None


def add(wanted: Wanted, *, as_json: bool) -> None:
    """Register a model."""
    with _registry() as (registry, default_currency), progress_bar(as_json=as_json) as progress:
        registry.sweep()
        price = None
        if wanted.price_per_hour is not None:
            micros = round(wanted.price_per_hour * MICROS)
            price = Price(per_hour_micros=micros, currency=wanted.currency or default_currency)
        source = source_of(wanted)
        arrival = Arrival(
            model=wanted.name or source.name,
            owner=None if wanted.owner is None else parse_address(wanted.owner),
            visibility=Visibility.PRIVATE if wanted.private else Visibility.PUBLIC,
            licence=wanted.licence,
            price=price,
            stage=Stage.PRODUCTION if wanted.production else Stage.STAGING,
            pin=wanted.pin,
        )
        version = register(registry, source, arrival, progress)
        noticed = () if version.format == UPSTREAM_FORMAT else registry.looks.facts(registry.path(version)).warnings
        exports = _exports(registry, version)
    licence, shown = version.licence or "not stated by its files", shown_version(version, to_operator=True)
    text = f"{version.reference}\n{version.format}, {version.task}, {_size(version.size_bytes)}, licence: {licence}"
    text += f"\nserves: {', '.join(shown.tasks) or 'nothing here'}\nexports: {exports}"
    text += "".join(f"\nnote: {notice}" for notice in noticed)
    if version.stage is Stage.STAGING:
        text += f"\nin staging: `tallystick-server model promote {version.reference}` offers it to everybody"
    show(shown, as_json=as_json, text=text)


def _exports(registry: Registry, version: ModelVersion) -> str:
    """The formats that a version can be exported to, in words."""
    if version.format == UPSTREAM_FORMAT or version.base is not None:
        return "as its base" if version.base is not None else "none"
    return ", ".join(offers(registry.path(version), version.format).formats) or "none"


def source_of(wanted: Wanted) -> Source:
    """The source that the operator named."""
    if wanted.source in PACKAGED:
        return packaged_source(wanted.source)
    if wanted.source.startswith(HUB_PREFIX):
        return parse_hub(wanted.source, with_token=True)
    if wanted.source.startswith(("http://", "https://")):
        return Upstream(
            base_url=wanted.source,
            model=wanted.upstream_model or wanted.name or "",
            task=wanted.task,
            key_variable=wanted.key_variable,
        )
    return local_source(Path(wanted.source).expanduser(), base=wanted.base)


def list_all(*, as_json: bool) -> None:
    """List every version of every model."""
    with _registry() as (registry, _):
        versions = registry.all_versions()
    rows = [
        (
            version.reference,
            version.stage.value + (", pinned" if version.pinned else ""),
            version.format,
            version.task,
            _size(version.size_bytes),
            version.licence or "-",
            version.model.visibility.value,
        )
        for version in versions
    ]
    headings = ("version", "stage", "format", "task", "size", "licence", "visible")
    text = table(headings, rows) if rows else "no models"
    show([shown_version(version, to_operator=True) for version in versions], as_json=as_json, text=text)


def show_one(*, reference: str, as_json: bool) -> None:
    """Show a model with its versions, or one version."""
    with _registry() as (registry, _):
        version = registry.find(reference, None)
        versions = [version] if "@" in reference else registry.versions(reference, None)
    text = "\n\n".join("\n".join(_lines(one)) for one in versions)
    shown = {**shown_model(version.model), "versions": [shown_version(one, to_operator=True) for one in versions]}
    show(shown, as_json=as_json, text=text)


def change(what: str, *, reference: str, as_json: bool) -> None:
    """Promote, retire, pin, unpin or remove."""
    with _registry() as (registry, _):
        if what == "promote":
            version = registry.promote(reference, None)
        elif what == "retire":
            version = registry.retire(reference, None)
        elif what == "remove":
            version = registry.remove(reference, None)
        else:
            version = registry.pin(reference, None, pinned=what == "pin")
    state = "removed" if what == "remove" else version.stage.value + (", pinned" if version.pinned else "")
    show(shown_version(version, to_operator=True), as_json=as_json, text=f"{version.reference}: {state}")


def verify(*, reference: str, as_json: bool) -> None:
    """Hash a version's files anew."""
    with _registry() as (registry, _), progress_bar(as_json=as_json) as progress:
        found = registry.verify(reference, None, progress)
    text = f"{found.reference}: " + (f"intact, {found.expected.hex()}" if found.ok else f"NOT intact: {found.reason}")
    text += f"\nsignature: {found.signature.value}" + (f" by key {found.signer}" if found.signer else "")
    value = {
        "ok": found.ok,
        "reference": found.reference,
        "expected": to_hex(found.expected),
        "found": None if found.found is None else to_hex(found.found),
        "reason": found.reason,
        "signature": found.signature.value,
        "signer": found.signer,
    }
    show(value, as_json=as_json, text=text)
    if not found.ok:
        sys.exit(EXIT_FOUND)


def _lines(version: ModelVersion) -> Iterator[str]:
    for name, value in msgspec.to_builtins(shown_version(version, to_operator=True)).items():
        named = {f"{name} {part}": found for part, found in value.items()} if isinstance(value, dict) else {name: value}
        for title, shown in named.items():
            if shown is not None and shown != "":
                yield f"{title.replace('_', ' '):<22} {shown}"


@contextmanager
def _registry() -> Iterator[tuple[Registry, str]]:
    with opened() as home:
        yield open_registry(home.settings, home.database, home.macs, SystemClock()), home.settings.price_currency


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
