"""What the handlers serve from; `app/` puts the real parts in, tests put theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from tallystick.ids import Address
from tallystick_platform.api.proofs import SignedHead
from tallystick_platform.auth import Authenticator
from tallystick_platform.clock import Clock
from tallystick_platform.exchange import Exchange
from tallystick_platform.jobs import ExportJobs
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.jobs.kept import KeptFiles
from tallystick_platform.jobs.work import WorkJobs
from tallystick_platform.metrics import Metrics
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.shapes import Address as AddressText
from tallystick_platform.shapes import Count, Hash
from tallystick_platform.store.answers import KeptAnswers
from tallystick_platform.store.journal import Journal
from tallystick_platform.store.records import StoredRecord


class TermsView(Struct, frozen=True, kw_only=True):
    """What the log promises for life, and who can name its writers. Units: seconds. Source: SPEC 6."""

    creator: AddressText
    writer: Annotated[AddressText, Meta(description="The first one.")]
    keeper: Annotated[AddressText, Meta(description="Who alone can name another writer.")]
    format: Count
    mode: Annotated[
        Literal["append", "commit"], Meta(description="Whether sealed records or only roots stand on the chain.")
    ]
    promise: Annotated[int, Meta(ge=0, description="From an admission to its record's block, at most.")]
    skew: Annotated[int, Meta(ge=0, description="That the writer's clock may be from the chain's.")]
    salt: Hash


class LedgerView(Struct, frozen=True, kw_only=True):
    """The log as it is now. `size`, `entries` and `head` are the chain's, null while it does not answer.

    `signed_head` is the writer's word for how far the log goes for good: of what the writer itself put on the chain, never of what a
    node says alone; null before its first final entry. `mode` is how the service runs. Units: milliseconds.
    """

    chain_id: Count
    rpc_url: str | None
    contract: AddressText
    log_id: Hash
    writer: AddressText
    terms: TermsView
    size: Annotated[Count | None, Meta(description="Records on the chain.")]
    entries: Annotated[
        Count | None, Meta(description="Entries of the head chain: batches, epochs, writers, void numbers.")
    ]
    head: Hash | None
    signed_head: SignedHead | None
    journal_size: Annotated[int, Meta(ge=0, description="Records in the journal.")]
    journal_depth: Annotated[int, Meta(ge=0, description="Of these, how many no mined batch holds.")]
    anchor_lag_ms: Annotated[int, Meta(ge=0, description="Age of the oldest of them.")]
    anchor_error: str | None
    custody: str
    mode: Literal["development", "production"]
    epoch: Count | None


class BatchView(Struct, frozen=True, kw_only=True):
    """One batch on its way to the chain or on it. Units: block_time in Unix seconds."""

    number: Count
    entry: Annotated[int, Meta(ge=0, description="Its number in the head chain.")]
    first_index: Count
    count: Count
    epoch: Count
    root: Hash
    head: Hash
    state: Literal["planned", "sent", "mined", "final"]
    tx_hash: Hash | None
    block_number: Count | None
    block_hash: Hash | None
    block_time: Count | None
    confirmations: Count | None
    gas_used: Count | None


class Ledger(Protocol):
    """The log, for whoever asks."""

    async def view(self) -> LedgerView: ...

    async def batches(self, *, before: int | None, limit: int) -> Sequence[BatchView]:
        """Batches, newest first, below number `before`."""
        ...

    async def batch(self, number: int) -> BatchView | None: ...

    async def bundle(self, record: StoredRecord, *, with_secret: bool) -> bytes:
        """The evidence bundle of a record, as its file."""
        ...


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
    ledger: Ledger
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
