"""The three commands as real processes."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from deploy.local import kept
from deploy.local.process import Guard, Process

from .waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_SHOWN = 3000
# Nothing of the developer's own environment may steer a process under test.
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


class Processes:
    """Starts commands with a given environment and nothing else; `close` kills what is left."""

    def __init__(self, directory: Path, guard: Guard) -> None:
        self.directory = directory
        self._guard = guard
        self._made: list[Process] = []

    def spawn(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start `python -m module` and do not wait for anything."""
        name = f"{module}-{len(self._made)}"
        process = Process(
            name,
            [sys.executable, "-m", module, *arguments],
            self._guard,
            self.directory / f"{name}.log",
            environment=self._environment(environment or {}),
        )
        self._made.append(process)
        process.start()
        return process

    async def start(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[Process], bool],
        timeout: float = 20,
    ) -> Process:
        """Start `python -m module` and wait until `ready(process)`, e.g. a line in its output.

        Raises:
            AssertionError: it ended, or `timeout` seconds passed; tells its last lines.
        """
        process = self.spawn(module, *arguments, environment=environment)
        await self._wait(process, lambda: ready(process), timeout)
        return process

    async def serve(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 20
    ) -> tuple[Process, int]:
        """Start a service on a free HTTP port, wait until `/readyz` answers 200: the process and its port."""
        settings = dict(environment or {})
        port = int(settings.setdefault("HTTP_PORT", str(kept.free_port())))
        process = self.spawn(module, *arguments, environment=settings)

        async def ready() -> bool:
            return await asyncio.to_thread(http_status, port, "/readyz") == 200

        await self._wait(process, ready, timeout)
        return process, port

    def close(self) -> None:
        """Kill every process that still runs. Of a test that failed, pytest shows what they told last."""
        for process in reversed(self._made):
            process.kill()
            log.warning("%s:\n%s", process.name, process.output()[-_SHOWN:])

    async def _wait(self, process: Process, ready: Callable[[], Any], timeout: float) -> None:
        async def check() -> bool:
            if not process.running:
                raise EndedError(
                    f"{process.name} ended with {process.returncode}:\n{process.output()[-_SHOWN:]}"
                )
            found = ready()
            return bool(await found if asyncio.iscoroutine(found) else found)

        try:
            await eventually(check, timeout, every=0.03)
        except AssertionError:
            raise AssertionError(f"{process.name} is not ready:\n{process.output()[-_SHOWN:]}") from None

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return passed_on | dict(given)


class EndedError(Exception):
    """A process ended at its start; holds its last output."""


def http_status(port: int, path: str) -> int:
    """Status of a GET on loopback, 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def read(port: int, path: str, timeout: float = 10) -> str:
    """Text of a GET on loopback; blocks."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.read().decode()


def request(
    port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Status and decoded JSON of a request on loopback; blocks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        data = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()
