"""Counts what is left out, and says so without filling the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mqtt_shared.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from .metrics import Metrics

__all__ = ["Drops"]

log = get_logger(__name__)

_SILENCE_SECONDS = 60.0
_MOST_SOURCES = 10_000


class Drops:
    """Every drop is counted by reason; each source and reason is logged at most once a minute."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    def count(self, reason: str, source: str, detail: str) -> None:
        """One heartbeat, or a part of one, from `source` is not counted because of `reason`."""
        self._metrics.dropped.labels(reason).inc()
        if self._may_log((reason, source)):
            log.warning("heartbeat dropped", reason=reason, source=source, detail=detail[:300])

    def _may_log(self, what: tuple[str, str]) -> bool:
        now = self._clock()
        if now - self._logged.get(what, -_SILENCE_SECONDS) < _SILENCE_SECONDS:
            return False
        if what not in self._logged and len(self._logged) >= _MOST_SOURCES:
            self._logged = {k: at for k, at in self._logged.items() if now - at < _SILENCE_SECONDS}
            if len(self._logged) >= _MOST_SOURCES:
                return False
        self._logged[what] = now
        return True
