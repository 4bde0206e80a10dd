"""What the handlers serve from; `app/` puts the real parts in, tests put theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from tallystick.ids import Address
from tallystick_platform.api.ledger_desk import LedgerDesk
from tallystick_platform.auth import Authenticator
from tallystick_platform.clock import Clock
from tallystick_platform.exchange.exchange import Exchange
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.jobs.exports import ExportJobs
from tallystick_platform.jobs.kept import KeptFiles
from tallystick_platform.jobs.work import WorkJobs
from tallystick_platform.metrics import Metrics
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.shapes import Address as AddressText
from tallystick_platform.shapes import Count
from tallystick_platform.store.answers import KeptAnswers
from tallystick_platform.store.journal import Journal


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether requests would be answered now, and what is missing if not."""

    status: Literal["ready", "not ready"]
    parts: Annotated[dict[str, str], Meta(description="Each part with `ok`, or with what it lacks.")]


class LoadState(Struct, frozen=True, kw_only=True, tag_field="object", tag="model.load"):
    """What workers hold of a version."""

    id: str
    version: str
    loaded: bool
    pinned: bool
    memory_bytes: Annotated[
        Count | None, Meta(description="As estimated before it was loaded; null for the standing model.")
    ]


class ProviderView(Struct, frozen=True, kw_only=True):
    """Who offers a model, and what the device costs."""

    id: str
    name: str
    address: AddressText
    price_per_hour_micros: Annotated[int, Meta(ge=0, description="Millionths of the currency.")]
    currency: str


class Loading(Protocol):
    """Loading and unloading at the word of a model's owner or of the operator."""

    async def load(self, reference: str, address: Address) -> LoadState: ...

    async def unload(self, reference: str, address: Address) -> LoadState: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything behind the HTTP surface. `longest_work_s` is what the log's promise leaves for one request. Units: seconds."""

    exchange: Exchange
    authenticator: Authenticator
    records: Journal
    answers: KeptAnswers
    ledger: LedgerDesk
    models: ModelDesk
    exports: ExportJobs
    downloads: Downloads
    jobs: WorkJobs
    files: KeptFiles
    loading: Loading
    readiness: Callable[[], Awaitable[Readiness]]
    metrics: Metrics
    clock: Clock
    provider: Callable[[str], ProviderView]
    random: Callable[[int], bytes]
    max_body_bytes: int
    max_media_bytes: int
    request_timeout_s: float
    longest_work_s: float
