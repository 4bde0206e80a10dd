"""What the handlers serve from; `app/` puts the real parts in, tests put theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tallystick.ids import Address, RecordId
from tallystick.record import State
from tallystick_platform.api.proofs import ProofEncoder
from tallystick_platform.auth import Authenticator
from tallystick_platform.clock import Clock
from tallystick_platform.exchange import Exchange
from tallystick_platform.jobs import ExportJobs
from tallystick_platform.jobs.downloads import Downloads
from tallystick_platform.metrics import Metrics
from tallystick_platform.registry.desk import ModelDesk
from tallystick_platform.store.records import Page, StoredRecord


class Records(Protocol):
    """Reads of the journal. Raises: RowTampered."""

    async def entry(self, record_id: RecordId) -> StoredRecord | None: ...

    async def list(
        self, sender: Address, *, cursor: int | None, limit: int, state: State | None, model: str | None
    ) -> Page: ...

    async def blob(self, record_id: RecordId, sealed_digest: bytes) -> bytes | None:
        """A large field of a record, encrypted; None for what this record does not refer to."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsView:
    """What the log promises for life, and who can name its writers. Units: seconds. Source: SPEC 6."""

    creator: str
    writer: str
    keeper: str
    format: int
    mode: str
    promise: int
    skew: int
    salt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """The log as it is now. `size`, `entries` and `head` are the chain's, None while it does not answer.

    `signed_head` is the writer's word for how far the log goes for good: of what the writer itself put on the chain, never of what a
    node says alone. `mode` is how the service runs; what stands on the chain, sealed records or roots, is in the terms.
    Units: milliseconds.
    """

    chain_id: int
    rpc_url: str | None
    contract: str
    log_id: str
    writer: str
    terms: TermsView
    size: int | None
    entries: int | None
    head: str | None
    signed_head: Mapping[str, object] | None
    journal_size: int
    journal_depth: int
    anchor_lag_ms: int
    anchor_error: str | None
    custody: str
    mode: str
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """One batch on its way to the chain or on it. Units: block_time in Unix seconds."""

    number: int
    entry: int
    first_index: int
    count: int
    epoch: int
    root: str
    head: str
    state: str
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    block_time: int | None
    confirmations: int | None
    gas_used: int | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether requests would be answered now, and what is missing if not."""

    ready: bool
    parts: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadState:
    """What workers hold of a version. Units: bytes, as estimated before it was loaded; None for the standing model."""

    model: str
    version: str
    loaded: bool
    pinned: bool
    memory_bytes: int | None


class Loading(Protocol):
    """Loading and unloading at the word of a model's owner or of the operator."""

    async def load(self, reference: str, address: Address) -> LoadState: ...

    async def unload(self, reference: str, address: Address) -> LoadState: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything behind the HTTP surface."""

    exchange: Exchange
    authenticator: Authenticator
    proofs: ProofEncoder
    records: Records
    ledger: Ledger
    models: ModelDesk
    exports: ExportJobs
    downloads: Downloads
    loading: Loading
    readiness: Callable[[], Awaitable[Readiness]]
    metrics: Metrics
    clock: Clock
    provider: Callable[[str], dict[str, object]]
    random: Callable[[int], bytes]
    max_body_bytes: int
    request_timeout_s: float
