"""The anchoring figures for Prometheus, computed from an AnchorStatus at the moment they are read, so that none can be stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from tallystick_platform.anchor.rows import AnchorState
from tallystick_platform.anchor.status import AnchorStatus

_PREFIX = "tallystick_anchor_"


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
            ("unanchored_records", "Journaled records that no mined batch holds", status.unanchored_records),
            ("unanchored_bytes", "Sealed bytes of the records that no mined batch holds", status.unanchored_bytes),
            ("lag_ms", "Milliseconds since the oldest un-anchored record was journaled; 0 when none waits", status.lag_ms),
            ("last_confirmed_index", "Index of the newest record whose batch is final; -1 before the first", _or(status.last_confirmed_index, -1)),
            ("gas_per_record", "Gas of all mined transactions over all mined records; 0 before the first", _or(status.gas_per_record, 0)),
            ("halted", "1 when anchoring stopped and needs a person", int(status.halted)),
            ("blocked", "1 while an error keeps records from the chain", int(status.error is not None)),
        ):
            yield GaugeMetricFamily(_PREFIX + name, text, value=value)
        batches = GaugeMetricFamily(_PREFIX + "batches", "Batches by state", labels=["state"])
        for state in AnchorState:
            batches.add_metric([state.value], status.batches.get(state, 0))
        yield batches
        yield CounterMetricFamily(_PREFIX + "gas_used", "Gas of every mined transaction of this log's journal", value=status.gas_used)
        for name, text, value in (
            ("sends", "Transactions handed to the node, repeats included", status.sends),
            ("signatures", "Transactions signed", status.signatures),
            ("fee_bumps", "Transactions signed again with a higher fee", status.fee_bumps),
            ("reverts", "Transactions that the contract refused after they were mined", status.reverts),
            ("reorgs", "Times that a mined row lost its block", status.reorgs),
        ):
            yield CounterMetricFamily(_PREFIX + name, text, value=value)


def register(registry: CollectorRegistry, status: Callable[[], AnchorStatus]) -> AnchorCollector:
    """Put the figures into a registry; hand the result to `registry.unregister` when the anchorer goes."""
    collector = AnchorCollector(status)
    registry.register(collector)
    return collector


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
