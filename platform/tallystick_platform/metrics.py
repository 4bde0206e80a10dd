"""Every metric of the service, on a registry of its own so that tests and several servers in one process do not collide.

The anchoring figures join this registry from anchor/status.py, which computes them when they are read. Exact words: *depth* counts
records that are in the journal and not in a mined batch; *lag* is the age of the oldest of them.
"""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The service's counters, gauges and histograms."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)

        self.requests = counter(
            "tallystick_requests", "Requests answered, by path and HTTP status.", ["path", "status"]
        )
        self.request_seconds = histogram(
            "tallystick_request_seconds", "Time from request to last byte.", ["path"], buckets=_REQUEST_SECONDS
        )
        self.refused = counter("tallystick_refused", "Requests refused before admission, by reason.", ["reason"])
        self.in_flight = gauge("tallystick_requests_in_flight", "Requests that hold a slot.")
        self.records = counter("tallystick_records", "Records journaled, by final state.", ["state"])
        self.tokens = counter("tallystick_tokens", "Tokens, by direction.", ["direction"])

        self.journal_size = gauge("tallystick_journal_records", "Records in the journal.")
        self.journal_open = gauge("tallystick_journal_open", "Admissions without a record.")
        self.journal_queue = gauge("tallystick_journal_queue", "Calls that wait for the journal.")
        self.journal_group = histogram(
            "tallystick_journal_group_size", "Calls that shared a commit.", buckets=_GROUP_SIZES
        )
        self.journal_commit_seconds = histogram(
            "tallystick_journal_commit_seconds", "Time of a group commit.", buckets=_SECONDS
        )
        self.journal_failures = counter("tallystick_journal_failures", "Group commits that failed.")

        self.workers_ready = gauge("tallystick_workers_ready", "Workers with a loaded model.")
        self.worker_queue = gauge("tallystick_worker_queue", "Requests that workers hold.")
        self.device_seconds = counter("tallystick_device_seconds", "Device time measured.")
