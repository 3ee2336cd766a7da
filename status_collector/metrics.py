"""What Prometheus sees of a collector: docs/reference/metrics.md lists it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TypedDict

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

__all__ = ["Metrics"]

# A second series for each, which the text format has no use for.
disable_created_metrics()


class _Place(TypedDict):
    registry: CollectorRegistry
    namespace: str


_SIZES = (1, 10, 100, 1_000, 5_000, 10_000, 50_000)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_REASONS = ("malformed", "foreign", "refused", "product_gone", "subscription_foreign")
_OPERATIONS = ("consume", "flush", "sweep", "publish", "acknowledge")


class Metrics:
    """One registry per collector, so that several can live in one process.

    Every label has its values from the start: a rate of something that has not happened yet is 0 then.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        at = _Place(registry=self.registry, namespace="status_collector")
        build = Gauge("build_info", "The running version.", ["version", "python"], **at)
        build.labels(version("mqtt-control-plane"), platform.python_version()).set(1)
        self.up = Gauge(
            "dependency_up", "1 while the server that this process needs is there.", ["dependency"], **at
        )
        self.received = Counter("heartbeats_received", "Heartbeats that came from the stream.", **at)
        self.folded = Counter(
            "heartbeats_folded", "Heartbeats joined with another of the same boot before the flush.", **at
        )
        self.merged = Counter("heartbeats_merged", "Heartbeats committed, joined ones as one.", **at)
        self.dropped = Counter(
            "heartbeats_dropped", "Heartbeats not counted, or not all of it.", ["reason"], **at
        )
        self.messages = Counter("messages_counted", "Messages added to the totals.", **at)
        self.actions = Counter("actions_counted", "Runs of actions added to the totals.", ["result"], **at)
        self.flush_size = Histogram("flush_boots", "Boots in one flush.", buckets=_SIZES, **at)
        self.flush_seconds = Histogram(
            "flush_duration_seconds", "Duration of a flush.", buckets=_SECONDS, **at
        )
        self.flushed_at = Gauge(
            "last_flush_timestamp_seconds", "When the last flush was committed; 0: none yet.", **at
        )
        self.errors = Counter("errors", "What failed and will be tried again.", ["operation"], **at)
        self.stale = Counter("instances_marked_stale", "Instances not heard for three intervals.", **at)
        self.lag = Gauge("consumer_lag", "Heartbeats in the stream that were not delivered yet.", **at)
        self.unacknowledged = Gauge("consumer_unacknowledged", "Delivered, not acknowledged yet.", **at)
        self.oldest = Gauge(
            "consumer_oldest_age_seconds", "Age of the oldest heartbeat that is not acknowledged.", **at
        )
        self.waiting = Gauge("boots_waiting", "Boots heard of and not flushed yet.", **at)
        for reason in _REASONS:
            self.dropped.labels(reason)
        for operation in _OPERATIONS:
            self.errors.labels(operation)
        for result in ("executed", "failed"):
            self.actions.labels(result)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
