"""The connection test: a real connection with the given settings, beside the running instances.

It has a client id and a clean session of its own, so it ends nobody's session. It never joins a shared group
of the product, since a member takes its share of the messages: a shared filter is tried in a group of its
own, which the broker deals copies to. Whatever it is sent it acknowledges and forgets.
"""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from mqtt_shared.dialing import dial, resolve
from mqtt_shared.mqtt import (
    Connection,
    ConnectionLostError,
    ConnectRefusedError,
    Message,
    SubscribeRefusedError,
)
from mqtt_shared.refusals import CLOSED_EARLY, Attempt, Refusal, explain, tls_required
from mqtt_shared.tls import Tls

from .core.network import SETTING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mqtt_shared.messages import Broker
    from mqtt_shared.sealing import Secrets

    from .core.network import NetworkPolicy

__all__ = ["TestResult", "test_connection"]

_PROBE_SECONDS = 2.0
_SHARE = "$share/"


class TestResult(Struct, frozen=True, kw_only=True):
    """What `POST .../mqtt-config/test` answers.

    `connected` and `latency_ms` (TCP, TLS and CONNECT, without name resolution) are also set when the broker
    took the connection and refused a subscription.
    """

    status: Literal["success", "error"]
    connected: bool
    latency_ms: float | None = None
    error: str | None = None
    details: str
    broker_info: dict[str, Any] | None = None


async def test_connection(
    broker: Broker,
    credentials: Secrets,
    filters: Mapping[str, int],
    *,
    policy: NetworkPolicy,
    timeout_seconds: float = 10,  # noqa: PT028 - the name says test, but it is none of pytest's
) -> TestResult:
    """Connect, subscribe each filter, leave; at most `timeout_seconds`, and two more to close. Never raises.

    The host is resolved once, and only addresses that `policy` allows are connected to.
    """
    deadline = monotonic() + timeout_seconds
    attempt = Attempt(host=broker.host, port=broker.port, use_tls=broker.use_tls)
    try:
        async with asyncio.timeout(timeout_seconds):
            addresses = await resolve(broker.host, broker.port)
    except (OSError, ValueError) as error:
        return _failure(explain(error, attempt))
    allowed = [address for address in addresses if not policy.denies(address)]
    if not allowed:
        return _failure(_denied(broker.host, addresses))
    return await _Test(broker, credentials, filters, allowed, deadline).run()


class _Test:
    """One test against addresses that are allowed."""

    def __init__(
        self,
        broker: Broker,
        credentials: Secrets,
        filters: Mapping[str, int],
        addresses: list[str],
        deadline: float,
    ) -> None:
        self._broker = broker
        self._filters = filters
        self._addresses = addresses
        self._deadline = deadline
        self._connection = Connection(
            msgspec.structs.replace(broker, client_id=None, clean_session=True),
            # 21 characters: every broker takes 23 (MQTT 3.1.1, 3.1.3.1).
            client_id=f"test-{secrets.token_hex(8)}",
            password=credentials.password,
            client_key=credentials.client_key,
            on_message=self._forget,
            connect_timeout_seconds=self._left,
            addresses=addresses,
        )

    def _forget(self, message: Message) -> None:
        self._connection.ack(message)

    @property
    def _left(self) -> float:
        return max(self._deadline - monotonic(), 0.001)

    async def run(self) -> TestResult:
        started = monotonic()
        try:
            await self._connection.open()
        except ConnectRefusedError as refused:
            return _failure(await self._explain_closed(refused.refusal))
        latency_ms = round((monotonic() - started) * 1000, 3)
        try:
            return self._result(latency_ms, await self._subscribe_all())
        finally:
            await self._connection.close()

    async def _explain_closed(self, refusal: Refusal) -> Refusal:
        """A TLS port that is spoken to without TLS often just closes: ask it."""
        if refusal.error != CLOSED_EARLY or self._broker.use_tls:
            return refusal
        attempt = Attempt(host=self._broker.host, port=self._broker.port, use_tls=True)
        try:
            link = await dial(
                attempt,
                tls=Tls(verify_cert=False),
                addresses=self._addresses,
                timeout_seconds=min(self._left, _PROBE_SECONDS),
            )
        except (OSError, ValueError):
            return refusal
        link.abort()
        return tls_required(attempt)

    async def _subscribe_all(self) -> Refusal | None:
        own_group = f"test-{secrets.token_hex(8)}"
        tried = {topic: _in_group(topic, own_group) for topic in self._filters}
        try:
            async with asyncio.timeout(self._left):
                answers = await self._refused({tried[topic]: qos for topic, qos in self._filters.items()})
                refused = [topic for topic in self._filters if tried[topic] in answers]
                # Is it the topic, or is it the sharing, that the broker does not grant?
                shared = {_plain(topic): self._filters[topic] for topic in refused if _is_shared(topic)}
                refused_plain = await self._refused(shared)
        except TimeoutError:
            return _no_suback("did not answer SUBSCRIBE in time")
        except ConnectionLostError as lost:
            return _no_suback(f"ended the connection at SUBSCRIBE ({lost})")
        except ValueError as error:
            return Refusal(
                error="Invalid topic filter", details=f"{error}: correct the topics of the product"
            )
        return _subscriptions_refused(refused, [topic for topic in shared if topic not in refused_plain])

    async def _refused(self, filters: Mapping[str, int]) -> dict[str, str]:
        try:
            await self._connection.subscribe(filters)
        except SubscribeRefusedError as error:
            return error.refused
        return {}

    def _result(self, latency_ms: float, refusal: Refusal | None) -> TestResult:
        info = self._connection.broker_info
        if refusal is None:
            return TestResult(
                status="success",
                connected=True,
                latency_ms=latency_ms,
                details="Connected successfully",
                broker_info=info,
            )
        return TestResult(
            status="error",
            connected=True,
            latency_ms=latency_ms,
            error=refusal.error,
            details=refusal.details,
            broker_info=info,
        )


def _failure(refusal: Refusal) -> TestResult:
    return TestResult(status="error", connected=False, error=refusal.error, details=refusal.details)


def _denied(host: str, addresses: list[str]) -> Refusal:
    return Refusal(
        error="Address not allowed",
        details=f"{host} is at {', '.join(addresses)}, which this service may not connect to: use another "
        f"host, or have an administrator change {SETTING}",
        fatal=True,
    )


def _no_suback(what: str) -> Refusal:
    return Refusal(
        error="Subscription failed",
        details=f"The broker {what}: check its access rules for this user and these topics, and its log",
    )


def _subscriptions_refused(refused: list[str], granted_plain: list[str]) -> Refusal | None:
    """`refused`: filters of the product; `granted_plain`: their topics that are granted when not shared."""
    if not refused:
        return None
    if all(_is_shared(topic) and _plain(topic) in granted_plain for topic in refused):
        return Refusal(
            error="Shared subscriptions refused",
            details=f"The broker grants the topics, but not shared: {', '.join(refused)}. Switch use_shared "
            "off, or have the broker allow shared subscriptions",
        )
    return Refusal(
        error="Subscription refused",
        details=f"The broker refused: {', '.join(refused)}. Allow this user to subscribe to them at the "
        "broker, or correct the topics",
    )


def _is_shared(topic: str) -> bool:
    return topic.startswith(_SHARE)


def _plain(topic: str) -> str:
    """The filter without `$share/group/` (MQTT 5, 4.8.2)."""
    return topic.split("/", 2)[2] if _is_shared(topic) else topic


def _in_group(topic: str, group: str) -> str:
    return f"{_SHARE}{group}/{_plain(topic)}" if _is_shared(topic) else topic
