"""What Prometheus sees of a collector."""

from __future__ import annotations

from typing import TypedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]


class _Place(TypedDict):
    registry: CollectorRegistry
    namespace: str


_SIZES = (1, 10, 100, 1_000, 5_000, 10_000, 50_000)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry per collector, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        at = _Place(registry=self.registry, namespace="status_collector")
        self.received = Counter("heartbeats_received", "Heartbeats that came from the stream.", **at)
        self.dropped = Counter(
            "heartbeats_dropped", "Heartbeats not counted, or not all of it.", ["reason"], **at
        )
        self.flush_size = Histogram("flush_boots", "Boots in one flush.", buckets=_SIZES, **at)
        self.flush_seconds = Histogram(
            "flush_duration_seconds", "Duration of a flush.", buckets=_SECONDS, **at
        )
        self.flush_failures = Counter("flush_failures", "Flushes that will be done again.", **at)
        self.stale = Counter("instances_marked_stale", "Instances not heard for three intervals.", **at)
        self.lag = Gauge("consumer_lag", "Heartbeats in the stream that were not delivered yet.", **at)
        self.unacknowledged = Gauge("consumer_unacknowledged", "Delivered, not acknowledged yet.", **at)
        self.waiting = Gauge("boots_waiting", "Boots heard of and not flushed yet.", **at)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
