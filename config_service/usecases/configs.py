"""The MQTT configuration of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, UnsetType, structs

from mqtt_shared import messages, sealing, topics

from ..core import rules
from ..core.errors import Fault, InvalidInputError, NotFoundError, UnavailableError
from ..core.inputs import PartialBrokerInput
from ..core.model import Change, ConfigAnswer, MqttConfig
from ..core.state import (
    ConfigRow,
    Desired,
    State,
    StatusRow,
    SubscriptionRow,
    config_answer,
    status_answer,
    subscription_answer,
)
from ..sealer import opened
from ..store import MovedError
from .base import Base, no_product

if TYPE_CHECKING:
    from ..core.inputs import ConfigInput, TestInput
    from ..core.model import Write

__all__ = ["Configs", "SettingsToTest"]

_ATTEMPTS = 100


class _Stored(Struct, frozen=True):
    product_id: int
    config: ConfigRow | None
    subscriptions: list[SubscriptionRow]
    variables: dict[str, str]
    status: StatusRow | None
    last_revision: int


class SettingsToTest(Struct, frozen=True, kw_only=True):
    """`filters` with their QoS."""

    broker: messages.Broker
    secrets: sealing.Secrets
    filters: dict[str, int]


class Configs(Base):
    """Use cases of configurations."""

    async def get_config(self, product_id: int, *, live: bool = True) -> ConfigAnswer:
        """Endpoint 1; status and stats only with `live`. `revision` is null before the first one."""
        stored = await self._store.one("get_config", _Stored, product_id)
        if stored is None:
            raise no_product(product_id)
        config = stored.config
        if config is None:
            return ConfigAnswer(
                product_id=product_id,
                mqtt_config=None,
                subscriptions=None,
                status=None,
                revision=stored.last_revision or None,
                message="MQTT not configured for this product",
            )
        return ConfigAnswer(
            product_id=product_id,
            mqtt_config=config_answer(config),
            subscriptions=[
                subscription_answer(row, config.topics, stored.variables, live=live)
                for row in stored.subscriptions
            ],
            status=status_answer(stored.status) if live else None,
            revision=config.revision,
        )

    async def put_config(self, product_id: int, new: ConfigInput, write: Write) -> Change[MqttConfig]:
        """Create or update broker and topic settings.

        Raises:
            InvalidInputError, RevisionMismatchError.
        """

        def compute(state: State, before: Desired) -> Desired:
            after = structs.replace(
                self._with_broker(product_id, before, new.broker),
                topics=rules.merge_topics(before.topics, new.topics),
            )
            rules.check(after, *self._certificate_faults(state, before, after))
            return after

        outcome = await self._change(product_id, write, "put_config", compute)
        return outcome.as_change(outcome.config())

    async def delete_config(self, product_id: int, write: Write) -> Change[None]:
        """Remove the configuration; running instances stop consuming.

        Raises:
            NotFoundError: there is none. RevisionMismatchError.
        """
        async with self._lock(product_id):
            for _ in range(_ATTEMPTS):
                state = await self._state(product_id, write)
                if state.config is None:
                    raise NotFoundError(f"product {product_id} has no MQTT configuration")
                if write.dry_run:
                    return self._removal(state)
                try:
                    revision = await self._remove(self._store, state, write, "delete_config")
                except MovedError:
                    continue
                if revision:
                    self._publisher.wake(product_id)
                    return structs.replace(self._removal(state), revision=revision)
        raise UnavailableError("the configuration (others keep changing it)")

    async def settings_to_test(self, product_id: int, given: TestInput) -> SettingsToTest:
        """What to try: what is left out comes from what is stored.

        Stored password and client certificate with its key go along to the stored host and port only.
        Filters with a variable that only an instance knows are left out.

        Raises:
            InvalidInputError: also when there is no host, neither given nor stored.
        """
        stored = await self._store.one("read_state", State, product_id, 0)
        if stored is None:
            raise no_product(product_id)
        before = stored.desired()
        partial = PartialBrokerInput() if isinstance(given.broker, UnsetType) else given.broker
        if before.broker is None and isinstance(partial.host, UnsetType):
            msg = "is required: no configuration is stored to take it from"
            raise InvalidInputError([Fault(["body", "broker", "host"], msg, "missing")])
        known = before if _is_there(before.broker, partial) else _without_secrets(before)
        after = structs.replace(
            self._with_broker(product_id, known, partial),
            topics=rules.merge_topics(before.topics, given.topics),
        )
        rules.check(after, *self._certificate_faults(stored, known, after))
        assert after.broker
        return SettingsToTest(
            broker=after.broker,
            secrets=opened(self._vault, product_id, after),
            filters=_filters(after),
        )


def _is_there(stored: messages.Broker | None, given: PartialBrokerInput) -> bool:
    """Does the test go where the stored settings go?"""
    if stored is None:
        return False
    host = stored.host if isinstance(given.host, UnsetType) else given.host
    port = stored.port if isinstance(given.port, UnsetType) else given.port
    return (host, port) == (stored.host, stored.port)


def _without_secrets(before: Desired) -> Desired:
    broker = structs.replace(before.broker, client_certificate=None) if before.broker else None
    return structs.replace(before, broker=broker, password=None, client_key=None)


def _filters(wanted: Desired) -> dict[str, int]:
    group = wanted.topics.shared_group if wanted.topics.use_shared else None
    found = dict[str, int]()
    for item in wanted.subscriptions:
        template = item.full_topic(wanted.topics)
        if item.enabled and all(name in wanted.variables for name in topics.variables(template)):
            found[topics.shared(topics.substitute(template, wanted.variables), group)] = wanted.topics.qos
    return found
