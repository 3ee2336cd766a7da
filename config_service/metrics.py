"""Prometheus metrics of one application, in a registry of its own."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE", "Metrics", "package_version"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def package_version() -> str:
    """The version of this distribution."""
    return version("mqtt-control-plane")


class Metrics:
    """What the service tells about itself. Holds no secret: no label has a value that a client chose."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "config_service_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._durations = Histogram(
            "config_service_http_request_duration_seconds",
            "From the request's headers to its answer.",
            ("route", "method"),
            buckets=_DURATIONS,
            registry=self.registry,
        )
        build = Gauge(
            "config_service_build_info", "The running version.", ("version", "python"), registry=self.registry
        )
        build.labels(package_version(), platform.python_version()).set(1)
        self.up = Gauge(
            "config_service_dependency_up",
            "1 while the server that this process needs is there.",
            ("dependency",),
            registry=self.registry,
        )
        self._behind = Gauge(
            "config_service_publisher_configs_behind",
            "Configurations whose newest revision is not on NATS yet.",
            registry=self.registry,
        )
        self._streams = Gauge(
            "config_service_event_streams", "Event streams that are open.", registry=self.registry
        )
        self._dropped_streams = Gauge(
            "config_service_event_streams_dropped",
            "Event streams that were cut off since the start because their client was too slow.",
            registry=self.registry,
        )
        # Finding the child of a label set costs more than counting.
        self._observers = dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]]()

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        count, observe = self._observers.get((route, method, status)) or self._add(route, method, status)
        count()
        observe(seconds)

    def _add(
        self, route: str, method: str, status: int
    ) -> tuple[Callable[[], None], Callable[[float], None]]:
        found = (
            self._requests.labels(route, method, str(status)).inc,
            self._durations.labels(route, method).observe,
        )
        self._observers[route, method, status] = found
        return found

    def streams(self, count: int, dropped: int) -> None:
        """Tell how many event streams are open, and how many were cut off."""
        self._streams.set(count)
        self._dropped_streams.set(dropped)

    def configs_behind(self, count: float) -> None:
        """Tell how many configurations are not published yet."""
        self._behind.set(count)

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self.registry)
