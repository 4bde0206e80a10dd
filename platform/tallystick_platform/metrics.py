"""Every metric of the service, on a registry of its own so that tests and several servers in one process do not collide.

The anchoring figures join this registry from anchor/status.py, which computes them when they are read. Exact words: *depth* counts
records that are in the journal and not in a mined batch; *lag* is the age of the oldest of them.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_REQUEST_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The service's counters, gauges and histograms."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        self.requests = Counter(
            "tallystick_requests", "Requests answered, by path and HTTP status.", ["path", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "tallystick_request_seconds",
            "Time from request to last byte.",
            ["path"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "tallystick_refused", "Requests refused before admission, by reason.", ["reason"], registry=registry
        )
        self.in_flight = Gauge("tallystick_requests_in_flight", "Requests that hold a slot.", registry=registry)
        self.records = Counter("tallystick_records", "Records journaled, by final state.", ["state"], registry=registry)
        self.tokens = Counter("tallystick_tokens", "Tokens, by direction.", ["direction"], registry=registry)

        self.journal_size = Gauge("tallystick_journal_records", "Records in the journal.", registry=registry)
        self.journal_open = Gauge("tallystick_journal_open", "Admissions without a record.", registry=registry)
        self.journal_queue = Gauge("tallystick_journal_queue", "Calls that wait for the journal.", registry=registry)
        self.journal_group = Histogram(
            "tallystick_journal_group_size", "Calls that shared a commit.", buckets=_GROUP_SIZES, registry=registry
        )
        self.journal_commit_seconds = Histogram(
            "tallystick_journal_commit_seconds", "Time of a group commit.", buckets=_SECONDS, registry=registry
        )
        self.journal_failures = Counter("tallystick_journal_failures", "Group commits that failed.", registry=registry)

        self.workers_ready = Gauge("tallystick_workers_ready", "Workers with a loaded model.", registry=registry)
        self.worker_queue = Gauge("tallystick_worker_queue", "Requests that workers hold.", registry=registry)
        self.device_seconds = Counter("tallystick_device_seconds", "Device time measured.", registry=registry)
