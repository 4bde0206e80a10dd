"""What every line uses: the neighbours of the exchange, time and randomness."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import structlog

from tallystick.ids import Address, RecordId, format_record_id
from tallystick.record import Record, State
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch import Generation, Placement
from tallystick_platform.exchange.records import FixedParts
from tallystick_platform.exchange.request import SEED_BITS
from tallystick_platform.metrics import Metrics
from tallystick_platform.protocol import GenerationRequest, ModelInfo
from tallystick_platform.store.entries import JournalEntry, Ticket

US_PER_S = 1_000_000
MAX_PLACEMENTS = 256  # whose fixed parts are kept

_log = structlog.get_logger(__name__)


class Journal(Protocol):
    """The durable store of admissions and records. Raises: AdmissionClosed, JournalUnavailable, JournalClosed."""

    async def admit(self, record: Record, *, token_id: str) -> Ticket:
        """Durable on return: from now on a record will stand, whatever happens."""
        ...

    async def record_at_once(self, record: Record, *, token_id: str) -> tuple[Ticket, JournalEntry]:
        """Durable on return. After JournalUnavailable it may stand all the same."""
        ...

    async def commit(self, record: Record) -> JournalEntry:
        """Durable on return. On an error the journal itself owes the record; it must not be offered again."""
        ...


class Dispatcher(Protocol):
    """Who computes answers."""

    def models(self) -> list[ModelInfo]:
        """The models that somebody serves now."""
        ...

    def select(self, reference: str, viewer: Address | None = None) -> Placement | None:
        """Who computes this, claimed until `release`; None if it must be loaded first. Raises: UnknownModel, NoProvider."""
        ...

    async def load(self, reference: str, viewer: Address | None = None) -> Placement:
        """The same once it is loaded. Raises: besides, whatever keeps it from being loaded."""
        ...

    def release(self, placement: Placement) -> None:
        """Give back a claim."""
        ...

    def start(self, placement: Placement, request: GenerationRequest) -> Generation:
        """Hand the request to its worker. Raises: QueueFull, NoProvider."""
        ...


class Gate(Protocol):
    """Whether there is room for one more request."""

    def enter(self, token_id: str) -> AbstractContextManager[object]:
        """Take a place until the context ends. Raises: Overloaded, Draining."""
        ...


class Parts:
    """The neighbours of one exchange. `random(n)` gives n unpredictable bytes."""

    __slots__ = ("_device_seconds", "_fixed", "_states", "_tokens", "clock", "dispatcher", "gate", "journal", "random")

    def __init__(
        self,
        *,
        journal: Journal,
        dispatcher: Dispatcher,
        gate: Gate,
        clock: Clock,
        random: Callable[[int], bytes],
        metrics: Metrics,
    ) -> None:
        self.journal = journal
        self.dispatcher = dispatcher
        self.gate = gate
        self.clock = clock
        self.random = random
        self._fixed: dict[int, tuple[Placement, FixedParts]] = {}
        self._states = {state: metrics.records.labels(state.value) for state in State}
        self._tokens = (metrics.tokens.labels("input"), metrics.tokens.labels("output"))
        self._device_seconds = metrics.device_seconds

    def draw_seed(self) -> int:
        """A seed for a request that came without one."""
        return int.from_bytes(self.random(8)) >> (64 - SEED_BITS)

    def fixed_parts(self, placement: Placement) -> FixedParts:
        """The parts of the record that this placement decides."""
        known = self._fixed.get(id(placement))
        if known is not None and known[0] is placement:
            return known[1]
        if len(self._fixed) >= MAX_PLACEMENTS:
            self._fixed.clear()
        fixed = FixedParts(placement)
        self._fixed[id(placement)] = (placement, fixed)
        return fixed

    def count(self, record: Record) -> None:
        """Add a durable record to the figures."""
        self._states[record.state].inc()
        if record.usage is not None:
            self._tokens[0].inc(record.usage.get("input_tokens", 0))
            self._tokens[1].inc(record.usage.get("output_tokens", 0))
        if record.price is not None:
            self._device_seconds.inc(record.price.device_time_us / US_PER_S)

    def log_defect(self, error: BaseException, record_id: RecordId) -> None:
        """An error that nobody raised on purpose: its text stays in the server's own log."""
        _log.error("line.defect", record_id=format_record_id(record_id), error=type(error).__name__, exc_info=error)
