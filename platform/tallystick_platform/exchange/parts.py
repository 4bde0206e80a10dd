"""What every line uses: the neighbours of the exchange, time and randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass

import structlog

from tallystick.ids import RecordId, format_record_id
from tallystick.record import Record, State
from tallystick_platform.admission import Gate
from tallystick_platform.clock import Clock
from tallystick_platform.dispatch.dispatcher import Dispatcher
from tallystick_platform.metrics import Metrics
from tallystick_platform.store.journal import Journal

US_PER_S = 1_000_000
SEED_BITS = 63  # a drawn seed fits a signed 64-bit integer on every path to the sampler

_log = structlog.get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class Parts:
    """The neighbours of one exchange. `random(n)` gives n unpredictable bytes."""

    journal: Journal
    dispatcher: Dispatcher
    gate: Gate
    clock: Clock
    random: Callable[[int], bytes]
    metrics: InitVar[Metrics]

    def __post_init__(self, metrics: Metrics) -> None:
        self._states = {state: metrics.records.labels(state.value) for state in State}
        self._tokens = (metrics.tokens.labels("input"), metrics.tokens.labels("output"))
        self._device_seconds = metrics.device_seconds

    def draw_seed(self) -> int:
        """A seed for a request that came without one."""
        return int.from_bytes(self.random(8)) >> (64 - SEED_BITS)

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
