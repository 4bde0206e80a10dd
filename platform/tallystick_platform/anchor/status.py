"""What anchoring has done and what waits, as one value: for /readyz, /v1/ledger and Prometheus alike.

The figures for Prometheus are computed at the moment they are read, so that none can be stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tallystick_platform.store.rows import AnchorState

_PREFIX = "tallystick_anchor_"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorStatus:
    """One look at anchoring. A record is un-anchored until a batch that holds it is mined.

    Units: sealed bytes; milliseconds since the oldest un-anchored record was journaled (0 when none waits); gas; microseconds UTC.
    """

    halted: bool
    error: str | None
    error_type: str | None
    unanchored_records: int
    unanchored_bytes: int
    lag_ms: int
    looked_at_us: int | None
    gas_used: int
    gas_per_record: float | None
    batches: Mapping[AnchorState, int]
    last_confirmed_index: int | None
    sends: int
    signatures: int
    fee_bumps: int
    reverts: int
    reorgs: int

    @property
    def healthy(self) -> bool:
        """Whether anchoring goes on by itself, now or once the chain answers. A halt needs a person."""
        return not self.halted


class AnchorCollector(Collector):
    """Gives a registry the figures of one anchorer."""

    def __init__(self, status: Callable[[], AnchorStatus]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read the journal."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every figure of the present status."""
        status = self._status()
        for name, text, value in (
            ("depth_records", "Journaled records in no mined batch.", status.unanchored_records),
            ("depth_bytes", "Their sealed bytes.", status.unanchored_bytes),
            ("lag_seconds", "Age of the oldest of them; 0 when there is none.", status.lag_ms / 1_000),
            (
                "last_check_timestamp_seconds",
                "When the chain was last read, in Unix time.",
                (status.looked_at_us or 0) / 1_000_000,
            ),
            ("last_confirmed_index", "Index of the newest record that is final; -1 before the first.", _last(status)),
            ("gas_per_record", "Gas of all mined transactions over all mined records.", status.gas_per_record or 0),
            ("halted", "1 when anchoring stopped and waits for a person.", int(status.halted)),
            ("blocked", "1 while an error keeps records from the chain.", int(status.error is not None)),
        ):
            yield GaugeMetricFamily(_PREFIX + name, text, value=value)
        batches = GaugeMetricFamily(_PREFIX + "batches", "Batches, by how far they have come.", labels=["state"])
        for state in AnchorState:
            batches.add_metric([state.value], status.batches.get(state, 0))
        yield batches
        yield CounterMetricFamily(_PREFIX + "gas_used", "Gas used by mined transactions.", value=status.gas_used)
        for name, text, value in (
            ("sends", "Transactions handed to the node, repeats included.", status.sends),
            ("signatures", "Transactions signed.", status.signatures),
            ("fee_bumps", "Transactions signed again with a higher fee.", status.fee_bumps),
            ("reverts", "Transactions that the contract refused after they were mined.", status.reverts),
            ("reorgs", "Times that a mined row lost its block.", status.reorgs),
        ):
            yield CounterMetricFamily(_PREFIX + name, text, value=value)


def register(registry: CollectorRegistry, status: Callable[[], AnchorStatus]) -> AnchorCollector:
    """Put the figures into a registry; hand the result to `registry.unregister` when the anchorer goes."""
    collector = AnchorCollector(status)
    registry.register(collector)
    return collector


def _last(status: AnchorStatus) -> int:
    return -1 if status.last_confirmed_index is None else status.last_confirmed_index
