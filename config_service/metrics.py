"""Prometheus metrics of one application, in a registry of its own: docs/reference/metrics.md lists them."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from math import nan

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "Figures", "Metrics", "package_version"]

# A second series for each, which the text format has no use for.
disable_created_metrics()

CONTENT_TYPE = CONTENT_TYPE_LATEST
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STATES = ("no_instances", "disconnected", "degraded", "healthy")


def package_version() -> str:
    """The version of this distribution."""
    return version("mqtt-control-plane")


class Figures(Struct, frozen=True):
    """What the database tells of the whole fleet."""

    configs_behind: int
    products: int
    states: dict[str, int]
    live: int
    stale: int
    stopped: int
    connected: int
    applied: int
    rejected: int
    pending: int
    drifted: int


class Metrics:
    """What the service tells about itself. Holds no secret: no label has a value that a client chose."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "config_service_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "config_service_http_request_duration_seconds",
            "From the request's headers to its answer; event streams are left out.",
            ("route", "method"),
            buckets=_DURATIONS,
            registry=self.registry,
        )
        build = Gauge(
            "config_service_build_info", "The running version.", ("version", "python"), registry=self.registry
        )
        build.labels(package_version(), platform.python_version()).set(1)
        self.up = self._gauge(
            "dependency_up", "1 while the server that this process needs is there.", "dependency"
        )
        self.streams = self._gauge("event_streams", "Event streams that are open.")
        self.dropped_streams = Counter(
            "config_service_event_streams_dropped",
            "Event streams that were cut off because their client was too slow.",
            registry=self.registry,
        )
        self._behind = self._gauge(
            "publisher_configs_behind", "Configurations whose newest revision is not on NATS yet."
        )
        self._products = self._gauge("products", "Products, by the state of their instances.", "state")
        self._instances = self._gauge("instances", "Instances, by whether they are heard.", "state")
        self._connected = self._gauge("instances_connected", "Live instances with a connection to a broker.")
        self._rollout = self._gauge(
            "rollout_instances", "Live instances, by how far they are with the desired revision.", "state"
        )
        # Finding the child of a label set costs more than counting.
        self._counts = dict[tuple[str, str, int], Callable[[], None]]()
        self._times = dict[tuple[str, str], Callable[[float], None]]()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"config_service_{name}", text, labels, registry=self.registry)

    def request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count one request; null: how long it took means nothing."""
        count = self._counts.get((route, method, status))
        if count is None:
            count = self._requests.labels(route, method, str(status)).inc
            self._counts[route, method, status] = count
        count()
        if seconds is None:
            return
        observe = self._times.get((route, method))
        if observe is None:
            observe = self._times[route, method] = self._durations.labels(route, method).observe
        observe(seconds)

    def fleet(self, figures: Figures | None) -> None:
        """Tell what the database says; null: it is away, and old figures would be taken for new ones."""
        if figures is None:
            self._behind.set(nan)
            self._connected.set(nan)
            for gauge in (self._products, self._instances, self._rollout):
                gauge.clear()
            return
        self._behind.set(figures.configs_behind)
        self._connected.set(figures.connected)
        # A product that never had an instance has no status.
        unheard = figures.products - sum(figures.states.values())
        for state in _STATES:
            more = unheard if state == "no_instances" else 0
            self._products.labels(state).set(figures.states.get(state, 0) + more)
        for state in ("live", "stale", "stopped"):
            self._instances.labels(state).set(getattr(figures, state))
        for state in ("applied", "pending", "rejected", "drifted"):
            self._rollout.labels(state).set(getattr(figures, state))

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)
