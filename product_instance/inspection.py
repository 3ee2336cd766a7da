"""What an instance would see, without being one: for `check` and `show-config`."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from mqtt_shared.messages import decode
from mqtt_shared.mqtt import Connection, ConnectRefusedError
from mqtt_shared.outgoing import BUILT_IN

from .actions import Actions, load_modules
from .core.concerns import concerns
from .core.configuration import Configuration, Reader, RejectedError
from .settings import InstanceSettings, secret, variables
from .state import State
from .watcher import Bus

if TYPE_CHECKING:
    from mqtt_shared.mqtt import Message

__all__ = ["Inspection", "inspect", "visit"]


class Inspection:
    """wanted: what NATS has. stored: the last known good on disk. fault: why NATS's cannot be used."""

    def __init__(self, settings: InstanceSettings) -> None:
        self.wanted: Configuration | None = None
        self.stored: Configuration | None = None
        self.fault: str | None = None
        self._timeout_seconds = settings.connect_timeout_seconds
        self._has_mail = bool(settings.smtp_url and settings.smtp_from)
        actions = Actions()
        load_modules(settings.action_modules, actions)
        self._types = {*BUILT_IN, *actions.types}

    def concerns(self, configuration: Configuration) -> list[str]:
        """What will not work of its actions, one line each."""
        return list(concerns(configuration.target, self._types, has_mail=self._has_mail))

    def shown(self) -> dict[str, Any]:
        """Both configurations for printing; a snapshot's secrets are sealed and left out."""
        return {"wanted": _shown(self.wanted), "applied": _shown(self.stored), "fault": self.fault}

    async def try_broker(self, configuration: Configuration) -> None:
        """Connect under a client id of its own; subscribes nothing, so no message is taken from anybody.

        Raises:
            RejectedError: the broker says no, or is not there.
        """
        connection = visit(configuration, self._timeout_seconds)
        try:
            await connection.open()
        except ConnectRefusedError as error:
            raise RejectedError(str(error.refusal)) from error
        finally:
            await connection.close()


def visit(configuration: Configuration, timeout_seconds: float) -> Connection:
    """A connection to the broker of a configuration under a client id of its own, to be opened; it subscribes
    nothing, so no message is taken from anybody.
    """
    broker = configuration.target.broker
    assert broker is not None
    return Connection(
        broker,
        client_id=f"visit-{secrets.token_hex(6)}",
        password=configuration.target.secrets.password,
        client_key=configuration.target.secrets.client_key,
        on_message=_ignore,
        connect_timeout_seconds=timeout_seconds,
    )


def _ignore(_message: Message) -> None:
    pass


def _shown(configuration: Configuration | None) -> dict[str, Any] | None:
    if configuration is None or configuration.raw is None:
        return None
    content = decode(configuration.raw, dict[str, Any])
    for name in ("sealed", "sealed_previous"):
        content.pop(name, None)
    filters = sorted({route.filter for route in configuration.target.routes.values()})
    return content | {"digest": configuration.digest, "filters": filters}


async def inspect(settings: InstanceSettings) -> Inspection:
    """Read what NATS and STATE_DIR have, and check ACTIONS.

    Raises:
        InvalidSettingsError: a module in ACTIONS cannot be used.
    """
    seen = Inspection(settings)
    instance_id, raw = State.peek(settings.state_dir, settings.product_id, settings.instance_id)
    known = variables(settings, instance_id or "instance")
    reader = Reader(settings.product_id, secret(settings.product_key), known)
    try:
        seen.stored = reader.read(raw, "disk") if raw else None
        await _read_nats(settings, reader, seen)
    except RejectedError as error:
        seen.fault = error.reason
    return seen


async def _read_nats(settings: InstanceSettings, reader: Reader, seen: Inspection) -> None:
    nats = Bus(settings.nats_url, f"product-instance check {settings.product_id}")
    subjects = settings.subjects
    try:
        async with asyncio.timeout(settings.config_wait_seconds):
            await nats.connect()
            found = await nats.request_last(subjects.bucket_stream, subjects.config(settings.product_id))
    except TimeoutError:
        seen.fault = "NATS does not answer: look at NATS_URL"
        return
    finally:
        await nats.close()
    if found and found.data:
        seen.wanted = reader.read(found.data, "nats")
