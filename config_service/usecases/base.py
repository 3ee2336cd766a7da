"""What all use cases share: reading a product, and the one way in which a configuration changes."""

from __future__ import annotations

import asyncio
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct, UnsetType, structs

from mqtt_shared import tls
from mqtt_shared.messages import ProductChanged

from ..core import certificates, effects, rules, snapshots
from ..core import warnings as advice
from ..core.errors import (
    Fault,
    InvalidInputError,
    NotFoundError,
    RevisionMismatchError,
    ServiceError,
    UnavailableError,
)
from ..core.model import Change, Effect, MqttConfig, Page, Subscription, Warn
from ..core.state import Desired, Item, State, changed, columns, config_answer, subscription_answer
from ..memory import Known, Memory
from ..saver import PutSecret, Save, Saver
from ..sealer import seal, seal_tombstone
from ..vault import BROKER_PASSWORD, CLIENT_KEY, WrongKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mqtt_shared import messages

    from ..core.inputs import BrokerInput, PartialBrokerInput
    from ..core.model import Write
    from ..core.publication import Sealed
    from ..core.state import Saved
    from ..publisher import Link, Publisher
    from ..store import Store, Transaction
    from ..vault import Vault

__all__ = ["Base", "Outcome", "number_after", "page", "secret_changes", "sorted_items"]

# Each time, another replica's write has succeeded in between.
_ATTEMPTS = 100
_SECRETS = ("password", "client_key")
Rename: TypeAlias = "tuple[str | None, str | None]"
"""New name and description of a product; null: unchanged."""


class Outcome(Struct, frozen=True, kw_only=True):
    """A change that was made, or would be (`dry_run`), or was none."""

    state: State
    """As it was before."""
    now: State
    """As it is, or would be, after the change."""
    after: Desired
    revision: int
    effect: Effect
    warnings: list[Warn]

    def config(self) -> MqttConfig:
        """The configuration after the change."""
        assert self.now.config
        return structs.replace(config_answer(self.now.config), revision=self.revision)

    def subscription(self, subscription_id: int) -> Subscription:
        """A subscription after the change."""
        row = next(row for row in self.now.subscriptions if row.id == subscription_id)
        return subscription_answer(row, self.after.topics, self.after.variables)

    def as_change(self, value: Any) -> Change[Any]:
        """What the caller is told."""
        return Change(value=value, revision=self.revision, effect=self.effect, warnings=self.warnings)


def secret_changes(before: Desired, after: Desired) -> tuple[list[PutSecret], list[str]]:
    """Named secrets to put, with their tokens, and names of those to remove."""
    put = [
        PutSecret(name=name, token=secret.token, updated_at=secret.updated_at)
        for name, secret in after.secrets.items()
        if before.secrets.get(name) != secret
    ]
    return put, [name for name in before.secrets if name not in after.secrets]


class Base:
    """Holds what the use cases work with."""

    def __init__(self, store: Store, link: Link, publisher: Publisher, vault: Vault) -> None:
        self._store = store
        self._link = link
        self._publisher = publisher
        self._vault = vault
        self._saver = Saver(store)
        self._memory = Memory()
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
        rename: Rename = (None, None),
        fresh: bool = False,
    ) -> Outcome:
        """Read, compute, write where nothing has moved in between; else again.

        compute: the wanted configuration, checked; raises where the input breaks a rule.
        ids: how many subscriptions it may create. rename: new name and description of the product.
        fresh: the answer, or `compute`, tells more than what changes, so all of it must be read.

        Raises:
            SnapshotTooLargeError: NATS could not take it to the instances.
        """
        fresh = fresh or write.dry_run or ids > 0 or rename != (None, None)
        async with self._lock(product_id):
            known = self._memory.take(product_id)
            if known and not fresh and (outcome := await self._change_known(known, write, action, compute)):
                return outcome
            for _ in range(_ATTEMPTS):
                state = await self._state(product_id, write, ids=ids)
                before = state.desired()
                after = compute(state, before)
                if after == before and rename == (None, None):
                    return self._outcome(state, before, after)
                snapshot = self._snapshot(state, before, after, write)
                if write.dry_run:
                    return self._outcome(state, before, after, rename=rename)
                known = Known(state=state, desired=before, document=_encode(before.document()))
                if outcome := await self._save(known, after, snapshot, write, action, rename):
                    return outcome
        raise UnavailableError("the configuration (others keep changing it)")

    async def _change_known(
        self, known: Known, write: Write, action: str, compute: Callable[[State, Desired], Desired]
    ) -> Outcome | None:
        """Change what this process has written last, without reading it; None where it has to be read.

        Only success is told from memory, because then the database has confirmed what it was made of.
        """
        if write.if_match not in (None, known.state.revision):
            return None
        # Certificates are valid now or not, whenever the product was written last.
        state = structs.replace(known.state, now=datetime.now(UTC))
        try:
            after = compute(state, known.desired)
            snapshot = self._snapshot(state, known.desired, after, write)
        except ServiceError:
            return None
        if after == known.desired:
            return None
        return await self._save(known, after, snapshot, write, action)

    def _snapshot(self, state: State, before: Desired, after: Desired, write: Write) -> messages.Snapshot:
        """What instances will get. Raises SnapshotTooLargeError."""
        snapshot = snapshots.build(state.product.id, state.revision + 1, after, at=state.now, by=write.actor)
        snapshots.check_size(before, after, snapshot, self._publisher.most_bytes)
        return snapshot

    async def _save(
        self,
        known: Known,
        after: Desired,
        snapshot: messages.Snapshot,
        write: Write,
        action: str,
        rename: Rename = (None, None),
    ) -> Outcome | None:
        """Write what has become of `known`, and have it published; None when that has moved."""
        state, before = known.state, known.desired
        digest, document = snapshots.digest(snapshot), _encode(after.document())
        old = {item.id: item for item in before.subscriptions}
        new = {item.id: item for item in after.subscriptions}
        put, removed = secret_changes(before, after)
        saving = self._saver.save(
            Save(
                product_id=state.product.id,
                revision=state.revision,
                updated_at=state.config.updated_at if state.config else None,
                key_id=state.product.product_key_id,
                previous_key_id=state.product.previous_product_key_id,
                new=state.config is None,
                config=columns(after),
                secrets=[name for name in _SECRETS if getattr(after, name) != getattr(before, name)],
                removed=[i for i in old if i not in new],
                changed=[item for i, item in new.items() if i in old and item != old[i]],
                added=[item for i, item in new.items() if i not in old],
                variables=after.variables if after.variables != before.variables else None,
                name=rename[0],
                description=rename[1],
                put_secrets=put,
                removed_secrets=removed,
                actor=write.actor,
                action=action,
                before=msgspec.Raw(known.document),
                after=msgspec.Raw(document),
                digest=digest,
            )
        )
        await asyncio.sleep(0)  # It is on its way to PostgreSQL; the seal is made meanwhile.
        sealed = self._seal(state, after, snapshot, digest)
        saved = await saving
        if saved is None:
            return None
        await self._publisher.send(state.product.id, sealed)
        outcome = self._outcome(state, before, after, saved=saved, rename=rename)
        if state.config:
            self._memory.keep(Known(state=outcome.now, desired=after, document=document))
        return outcome

    def _seal(self, state: State, wanted: Desired, snapshot: messages.Snapshot, digest: str) -> Sealed | None:
        """What the publisher may put; None where it must read what is stored."""
        if state.config is None:
            # A named secret may change just before the first configuration.
            return None
        try:
            return seal(self._vault, state.product, wanted, snapshot, digest)
        except WrongKeyError:
            # The publisher finds the same, says so, and comes back to it.
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
            _encode(state.desired().document()).decode(),
            digest,
        )

    def _removal(self, state: State) -> Change[None]:
        """What the removal of the whole configuration means."""
        before = state.desired()
        removed = structs.replace(before, broker=None, password=None, client_key=None, subscriptions=())
        return self._outcome(state, before, removed).as_change(None)

    def _outcome(
        self,
        state: State,
        before: Desired,
        after: Desired,
        *,
        saved: Saved | None = None,
        rename: Rename = (None, None),
    ) -> Outcome:
        now = state
        if saved or after != before:
            now = changed(state, before, after, saved=saved, rename=rename)
        return Outcome(
            state=state,
            now=now,
            after=after,
            revision=state.revision + (saved is not None),
            effect=effects.effect(before, after, at=state.now, live=len(now.live)),
            warnings=advice.warnings(after, now.live, now=now.now),
        )

    async def _tell(
        self, product_id: int, name: str, action: Literal["created", "updated", "deleted"]
    ) -> None:
        await self._link.tell(ProductChanged(product_id=product_id, name=name, action=action))

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


_encode = msgspec.json.Encoder().encode


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
