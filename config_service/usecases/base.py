"""What all use cases share: reading a product, and the one way in which a configuration changes."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, UnsetType, structs

from mqtt_shared import tls

from ..core import certificates, effects, rules, snapshots
from ..core import warnings as advice
from ..core.errors import Fault, InvalidInputError, NotFoundError, RevisionMismatchError, UnavailableError
from ..core.model import Change, Effect, MqttConfig, Page, Subscription, Warn
from ..core.state import (
    ConfigRow,
    Desired,
    Item,
    State,
    SubscriptionRow,
    config_answer,
    subscription_answer,
)
from ..sealer import seal, seal_tombstone
from ..store import MovedError
from ..vault import BROKER_PASSWORD, CLIENT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mqtt_shared import messages

    from ..core.inputs import BrokerInput, PartialBrokerInput
    from ..core.model import Write
    from ..publisher import Link, Publisher
    from ..store import Store, Transaction
    from ..vault import Vault

__all__ = ["Base", "Outcome", "number_after", "page", "secret_changes", "sorted_items"]

# Each time, another replica's write has succeeded in between.
_ATTEMPTS = 100
_SECRETS = ("password", "client_key")


class Outcome(Struct, frozen=True, kw_only=True):
    """A change that was made, or would be (`dry_run`), or was none."""

    state: State
    """As read before."""
    after: Desired
    revision: int
    config_id: int
    changed: bool
    effect: Effect
    warnings: list[Warn]

    def config(self) -> MqttConfig:
        """The configuration after the change."""
        old = self.state.config
        now = self.state.now
        row = ConfigRow(
            id=self.config_id,
            product_id=self.state.product.id,
            **_columns(self.after),
            revision=self.revision,
            published_revision=0,
            created_at=old.created_at if old else now,
            updated_at=now if self.changed or not old else old.updated_at,
        )
        return config_answer(row)

    def subscription(self, subscription_id: int) -> Subscription:
        """A subscription after the change."""
        item = next(item for item in self.after.subscriptions if item.id == subscription_id)
        old = next((row for row in self.state.subscriptions if row.id == subscription_id), None)
        now = self.state.now
        row = SubscriptionRow(
            **structs.asdict(item),
            messages_received=old.messages_received if old else 0,
            last_message_at=old.last_message_at if old else None,
            actions_executed=old.actions_executed if old else 0,
            actions_failed=old.actions_failed if old else 0,
            created_at=old.created_at if old else now,
            updated_at=now if self.changed or not old else old.updated_at,
        )
        return subscription_answer(row, self.after.topics, self.after.variables)

    def as_change(self, value: Any) -> Change[Any]:
        """What the caller is told."""
        return Change(value=value, revision=self.revision, effect=self.effect, warnings=self.warnings)


def secret_changes(before: Desired, after: Desired) -> tuple[list[dict[str, str]], list[str]]:
    """Named secrets to put, with their tokens, and names of those to remove."""
    put = [
        {"name": name, "token": secret.token}
        for name, secret in after.secrets.items()
        if before.secrets.get(name) != secret
    ]
    return put, [name for name in before.secrets if name not in after.secrets]


def _columns(wanted: Desired) -> dict[str, Any]:
    topics = wanted.topics
    assert wanted.broker
    broker = structs.asdict(wanted.broker)
    return {
        "broker_host": broker.pop("host"),
        "broker_port": broker.pop("port"),
        **broker,
        "password": wanted.password,
        "client_key": wanted.client_key,
        "topic_prefix": topics.prefix,
        "topic_pattern": topics.pattern,
        "use_shared_subscriptions": topics.use_shared,
        "shared_group": topics.shared_group,
        "qos": topics.qos,
    }


class Base:
    """Holds what the use cases work with."""

    def __init__(self, store: Store, link: Link, publisher: Publisher, vault: Vault) -> None:
        self._store = store
        self._link = link
        self._publisher = publisher
        self._vault = vault
        self._locks = weakref.WeakValueDictionary[int, asyncio.Lock]()

    def _lock(self, product_id: int) -> asyncio.Lock:
        """Writers of one process take turns, so that they need not read again; the database decides."""
        return self._locks.setdefault(product_id, asyncio.Lock())

    async def _state(self, product_id: int, write: Write, *, ids: int = 0) -> State:
        return self._checked(await self._store.one("read_state", State, product_id, ids), product_id, write)

    def _checked(self, state: State | None, product_id: int, write: Write) -> State:
        if state is None:
            raise no_product(product_id)
        if write.if_match is not None and write.if_match != state.revision:
            raise RevisionMismatchError(state.revision)
        return state

    async def _change(
        self,
        product_id: int,
        write: Write,
        action: str,
        compute: Callable[[State, Desired], Desired],
        *,
        ids: int = 0,
        rename: tuple[str | None, str | None] = (None, None),
    ) -> Outcome:
        """Read, compute, write where nothing has moved in between; else again.

        compute: the wanted configuration, checked; raises where the input breaks a rule.
        ids: how many subscriptions it may create. rename: new name and description of the product.

        Raises:
            SnapshotTooLargeError: NATS could not take it to the instances.
        """
        async with self._lock(product_id):
            for _ in range(_ATTEMPTS):
                state = await self._state(product_id, write, ids=ids)
                before = state.desired()
                after = compute(state, before)
                snapshot = snapshots.build(
                    product_id, state.revision + 1, after, at=state.now, by=write.actor
                )
                if after != before:
                    snapshots.check_size(before, after, snapshot, self._publisher.most_bytes)
                if (after == before and rename == (None, None)) or write.dry_run:
                    return self._outcome(state, before, after, saved=None)
                if saved := await self._save(state, before, after, snapshot, write, action, rename):
                    self._announce(state, after, snapshot)
                    return self._outcome(state, before, after, saved=saved)
        raise UnavailableError("the configuration (others keep changing it)")

    async def _save(
        self,
        state: State,
        before: Desired,
        after: Desired,
        snapshot: messages.Snapshot,
        write: Write,
        action: str,
        rename: tuple[str | None, str | None],
    ) -> int | None:
        old = {item.id: item for item in before.subscriptions}
        new = {item.id: item for item in after.subscriptions}
        put, removed = secret_changes(before, after)
        try:
            return await self._store.value(
                "save",
                state.product.id,
                state.revision,
                _json(_columns(after)),
                state.config is None,
                [name for name in _SECRETS if getattr(after, name) != getattr(before, name)],
                [i for i in old if i not in new],
                _json([item for i, item in new.items() if i in old and item != old[i]]),
                _json([item for i, item in new.items() if i not in old]),
                _json(after.variables) if after.variables != before.variables else None,
                state.now,
                write.actor,
                action,
                _json(before.document()),
                _json(after.document()),
                snapshots.digest(snapshot),
                *rename,
                _json(put),
                removed,
            )
        except MovedError:
            return None

    async def _remove(
        self, connection: Store | Transaction, state: State, write: Write, action: str
    ) -> int | None:
        """Remove the configuration, leaving its tombstone. The new revision; None when it has moved."""
        revision = state.revision + 1
        snapshot, digest = seal_tombstone(self._vault, state.product, revision, at=state.now, by=write.actor)
        return await connection.value(
            "remove",
            state.product.id,
            state.revision,
            snapshot,
            state.now,
            write.actor,
            action,
            _json(state.desired().document()),
            digest,
        )

    def _removal(self, state: State) -> Change[None]:
        """What the removal of the whole configuration means."""
        before = state.desired()
        removed = structs.replace(before, broker=None, password=None, client_key=None, subscriptions=())
        return self._outcome(state, before, removed, saved=None).as_change(None)

    def _announce(self, state: State, after: Desired, snapshot: messages.Snapshot) -> None:
        sealed = seal(self._vault, state.product, after, snapshot)
        # A named secret may have changed just before the first configuration: publish what is stored.
        self._publisher.wake(state.product.id, sealed if state.config else None)

    def _outcome(self, state: State, before: Desired, after: Desired, *, saved: int | None) -> Outcome:
        return Outcome(
            state=state,
            after=after,
            revision=state.revision + (saved is not None),
            config_id=saved or (state.config.id if state.config else 0),
            changed=after != before,
            effect=effects.effect(before, after, at=state.now, live=len(state.live)),
            warnings=advice.warnings(after, state.live, now=state.now),
        )

    def _token(
        self, product_id: int, purpose: str, stored: str | None, given: str | UnsetType | None
    ) -> str | None:
        """The token to store: the stored one stays the same where the secret does."""
        given = rules.given_secret(given)
        if given is None:
            return None
        if isinstance(given, UnsetType):
            return stored
        if stored and self._vault.decrypt(stored, purpose, product_id) == given:
            return stored
        return self._vault.encrypt(given, purpose, product_id)

    def _with_broker(
        self, product_id: int, before: Desired, given: BrokerInput | PartialBrokerInput
    ) -> Desired:
        """The configuration with the broker settings that a client sent, unchecked."""
        broker = rules.merge_broker(before.broker, given)
        # A stored key goes with its certificate.
        stored = before.client_key if broker.client_certificate else None
        return structs.replace(
            before,
            broker=broker,
            password=self._token(product_id, BROKER_PASSWORD, before.password, given.password),
            client_key=self._token(product_id, CLIENT_KEY, stored, given.client_key),
        )

    def _certificate_faults(self, state: State, before: Desired, after: Desired) -> list[Fault]:
        """What is wrong with certificates and key, where they are new: stored ones may expire."""
        if _identity(before) == _identity(after):
            return []
        assert after.broker
        token = after.client_key
        key = self._vault.decrypt(token, CLIENT_KEY, state.product.id) if token else None
        found = list(certificates.faults(after.broker, key, now=state.now))
        return found or list(_tls_faults(after.broker, key))


def _tls_faults(broker: messages.Broker, key: str | None) -> Iterator[Fault]:
    """What the TLS library itself has against them: a key that is too short, say."""
    try:
        tls.context(
            tls.Tls(
                ca_certificate=broker.ca_certificate,
                client_certificate=broker.client_certificate,
                client_key=key,
            )
        )
    except tls.TlsSettingsError as error:
        yield Fault(["body", "broker", "client_certificate"], str(error), "unusable")


def _identity(wanted: Desired) -> tuple[str | None, ...]:
    broker = wanted.broker
    return (broker.ca_certificate, broker.client_certificate, wanted.client_key) if broker else (None,) * 3


_encoder = msgspec.json.Encoder()


def _json(value: Any) -> str | None:
    return None if value is None else _encoder.encode(value).decode()


def sorted_items(items: Sequence[Item]) -> tuple[Item, ...]:
    """In the order in which the database gives them back, on which the digest depends."""
    return tuple(sorted(items, key=lambda item: item.id))


def no_product(product_id: int) -> NotFoundError:
    """For a product that is not there."""
    return NotFoundError(f"there is no product {product_id}")


def number_after(cursor: str | None, start: int) -> int:
    """The number that a cursor stands for.

    Raises:
        InvalidInputError: not a cursor of this list.
    """
    if cursor is None:
        return start
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise InvalidInputError([Fault(["query", "cursor"], "must be a next_cursor of this list", "cursor")])
    return int(cursor)


def page(items: list[Any], limit: int, cursor_of: Callable[[Any], object]) -> Page[Any]:
    """A page of `limit` items out of what was read, which is one more if there are more."""
    more = len(items) > limit
    items = items[:limit]
    return Page(items=items, next_cursor=str(cursor_of(items[-1])) if more else None)
