"""The connection to the broker, and carrying out a `Plan` on it.

All that can fail is tried before the connection that works is given up. A failure at any step leaves the
instance with what it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import structs

from mqtt_shared import topics
from mqtt_shared.logs import get_logger
from mqtt_shared.mqtt import (
    Connection,
    ConnectionLostError,
    ConnectRefusedError,
    SubscribeRefusedError,
)
from mqtt_shared.plan import Target, plan

from .core.concerns import unverified
from .core.configuration import Configuration, RejectedError
from .core.router import Router
from .pipeline import Feed, Pipeline, Routing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from mqtt_shared.messages import Broker
    from mqtt_shared.plan import Route
    from mqtt_shared.refusals import Refusal

    from .leftovers import Leftovers

__all__ = ["Session"]

log = get_logger(__name__)

_RETIRE_SECONDS = 120
"""How long an old connection may take to hand over what it still has, while the new one is at work."""
_MOST_FORMER = 1000


class _Link:
    """One connection, the messages that come in on it, and what is known of its session at the broker."""

    def __init__(
        self, configuration: Configuration, connection: Connection, feed: Feed, leftovers: Leftovers | None
    ) -> None:
        self.configuration = configuration
        self._leftovers = leftovers
        """Null where the broker forgets the session."""
        self.connection = connection
        self.feed = feed
        self.connected_at: datetime | None = None
        self.stands_in = False
        """Under a client id of its own, until the right one can be had."""
        self.possible: set[str] = set()
        """Perhaps subscribed: asked for, or left over from an earlier run."""
        self.granted: dict[str, int] = {}
        """Those of them that are subscribed for certain, with the QoS that was asked for."""
        self.former: dict[tuple[int, str], Route] = {}
        """Routes of filters that were unsubscribed: what the broker had queued for them may still come."""

    @property
    def persists(self) -> bool:
        """Does the broker keep the session?"""
        return self._leftovers is not None

    @property
    def session_name(self) -> str:
        """What the session at the broker is known by on disk."""
        broker = self.configuration.target.broker
        assert broker
        return f"{broker.host}:{broker.port}/{self.connection.client_id}"

    def is_at(self, configuration: Configuration) -> bool:
        """Is it at the address of this configuration?"""
        mine, other = self.configuration.target.broker, configuration.target.broker
        assert mine
        return other is not None and (mine.host, mine.port) == (other.host, other.port)

    @property
    def all_routes(self) -> dict[tuple[int, str], Route]:
        """By subscription and topic: those at work, and the newest of the former ones before them."""
        routes = self.former | _by_topic(self.configuration.target)
        return dict(list(routes.items())[-_MOST_FORMER:])

    def follow(self, configuration: Configuration, former: Mapping[tuple[int, str], Route]) -> None:
        """Route by this configuration from now on."""
        at_work = _by_topic(configuration.target)
        self.configuration = configuration
        self.former = {key: route for key, route in former.items() if key not in at_work}
        self.feed.routing = _routing(configuration, former=self.former.values())

    async def subscribe(self, filters: Mapping[str, int]) -> None:
        """SUBSCRIBE and check the SUBACK.

        Raises:
            SubscribeRefusedError, ConnectionLostError
        """
        if not filters:
            return
        self.possible |= filters.keys()
        self._doubt(filters)
        await self._note()
        granted = await self.connection.subscribe(filters)
        self.granted |= filters
        for topic, qos in granted.items():
            if qos < filters[topic]:
                log.warning("the broker grants a lower QoS", filter=topic, asked=filters[topic], qos=qos)

    async def unsubscribe(self, filters: Iterable[str]) -> None:
        """UNSUBSCRIBE and wait for the UNSUBACK.

        Raises:
            ConnectionLostError
        """
        gone = list(filters)
        if not gone:
            return
        self._doubt(gone)
        await self.connection.unsubscribe(gone)
        self.possible.difference_update(gone)
        await self._note()

    def _doubt(self, filters: Iterable[str]) -> None:
        """From the packet on until its answer nobody knows how they stand."""
        for topic in filters:
            self.granted.pop(topic, None)

    async def _note(self) -> None:
        if self._leftovers:
            await self._leftovers.note(self.session_name, self.possible)

    async def give_away(self) -> None:
        """Another connection has the session now, under another address."""
        if self._leftovers:
            await self._leftovers.note(self.session_name, ())

    async def round_trip(self) -> None:
        """Have the broker read all that we sent and send all that it can: it answers in order.

        Raises:
            ConnectionLostError
        """
        await self.connection.unsubscribe([f"nothing/{secrets.token_hex(4)}"])


class Session:
    """The instance's side of its broker: at most one connection at work, and old ones that are draining."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        product_id: int,
        instance_id: str,
        on_lost: Callable[[Refusal], None],
        leftovers: Leftovers,
        connect_timeout_seconds: float = 10,
    ) -> None:
        self._pipeline = pipeline
        self._leftovers = leftovers
        self._base_id = f"{product_id}-{instance_id}"
        self._on_lost = on_lost
        self._connect_timeout_seconds = connect_timeout_seconds
        self._link: _Link | None = None
        self._past: _Link | None = None
        self._standing: Configuration | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._is_trying = False

    # What stands

    @property
    def is_connected(self) -> bool:
        """Is a connection at work?"""
        return self._link is not None and self._link.connection.is_open

    @property
    def connected_at(self) -> datetime | None:
        """Since when."""
        return self._link.connected_at if self._link else None

    @property
    def client_id(self) -> str | None:
        """The client id at work, or the last one."""
        link = self._link or self._past
        return link.connection.client_id if link else None

    @property
    def broker_info(self) -> dict[str, Any] | None:
        """What is known of the broker at work, or of the last one."""
        link = self._link or self._past
        return link.connection.broker_info if link else None

    @property
    def subscribed_topics_count(self) -> int:
        """How many topics are subscribed."""
        routes = self._link.configuration.target.routes.values() if self._link else ()
        return len({route.filter for route in routes})

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish on the connection at work.

        Raises:
            ConnectionLostError: there is none, or it ended before the broker answered.
        """
        if self._link is None:
            raise ConnectionLostError("not connected to the broker")
        await self._link.connection.publish(topic, payload, qos=qos, retain=retain)

    def remember(self, configuration: Configuration) -> None:
        """An earlier run of this instance may have left messages for this one in its session."""
        self._standing = configuration

    # What changes it

    async def apply(self, wanted: Configuration) -> None:
        """Make `wanted` the configuration at work; returns when its messages flow.

        Raises:
            RejectedError: it does not work; what was at work before still is, as far as the broker lets it.
        """
        link = self._link
        try:
            if link is None:
                await self._start(wanted)
            else:
                await self._change(link, wanted)
        except (ConnectRefusedError, ConnectionLostError, SubscribeRefusedError) as error:
            raise _rejected(error) from error
        self._standing = wanted

    async def reconnect(self) -> None:
        """Give the connection at work up for a new one with the same configuration.

        Raises:
            RejectedError: the new one failed, the old one stays.
        """
        if self._link is None:
            return
        configuration = self._link.configuration
        try:
            await self._switch(self._link, configuration, same_session=self._is_fixed(configuration))
        except (ConnectRefusedError, ConnectionLostError, SubscribeRefusedError) as error:
            raise _rejected(error) from error

    async def close(self, timeout_seconds: float) -> None:
        """Stop consuming, finish what is in flight within the time, and disconnect."""
        link, self._link = self._link, None
        ending = [self._leave(link)] if link else []
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.gather(*ending, *self._retiring)
        except TimeoutError:
            log.warning("not all messages in flight were done in time; the broker keeps what it can")
        finally:
            if link:
                await link.connection.close()

    @property
    def is_trying(self) -> bool:
        """Is a new configuration being tried, with nothing yet touched that works? It can be cancelled."""
        return self._is_trying

    @contextlib.contextmanager
    def _trying(self, *, cancellable: bool = True) -> Generator[None]:
        before, self._is_trying = self._is_trying, cancellable
        try:
            yield
        finally:
            self._is_trying = before

    # The steps

    async def _start(self, wanted: Configuration) -> None:
        if wanted.target.broker is None:
            return
        with self._trying():
            self._link = await self._open(wanted, self._client_id(wanted))

    async def _change(self, link: _Link, wanted: Configuration) -> None:
        effect = plan(link.configuration.target, wanted.target)
        if effect.connection == "close":
            self._link, self._past = None, None
            self._retire(link)
        elif effect.connection == "keep" and self._keeps_its_id(link, wanted):
            await self._resubscribe(link, wanted, effect.subscribe, effect.unsubscribe)
        else:
            await self._switch(link, wanted, same_session=self._client_id_stays(link, wanted))

    def _keeps_its_id(self, link: _Link, wanted: Configuration) -> bool:
        return link.configuration.client_id == wanted.client_id and not link.stands_in

    async def _resubscribe(
        self, link: _Link, wanted: Configuration, subscribe: Mapping[str, int], unsubscribe: Iterable[str]
    ) -> None:
        """Only what differs, on the live connection. While both filters of a topic that changes are
        subscribed, messages of either belong to its subscription.
        """
        before = link.feed.routing
        if subscribe or unsubscribe:
            link.feed.routing = _routing(link.configuration, wanted, former=link.former.values())
        try:
            await link.subscribe(subscribe)
        except BaseException:
            link.feed.routing = before
            await self._roll_back(link, subscribe)
            raise
        try:
            await link.unsubscribe(unsubscribe)
        except ConnectionLostError:
            # The wanted filters are granted: the next connection of the session drops the others.
            log.warning("connection lost while unsubscribing", filters=list(unsubscribe))
        link.follow(wanted, link.all_routes)

    async def _roll_back(self, link: _Link, asked: Mapping[str, int]) -> None:
        """Undo those filters of a SUBSCRIBE that the broker did grant."""
        filters = link.configuration.target.filters
        try:
            await link.unsubscribe([topic for topic in asked if topic not in filters])
            await link.subscribe({topic: filters[topic] for topic in asked if topic in filters})
        except (ConnectionLostError, SubscribeRefusedError) as error:
            log.warning("could not undo a subscription that was refused in part", error=str(error))

    async def _switch(self, old: _Link, wanted: Configuration, *, same_session: bool) -> None:
        if old.stands_in or not same_session:
            with self._trying():
                self._link = await self._open(wanted, self._client_id(wanted))
            self._retire(old)
        elif old.persists and wanted.target.broker and not wanted.target.broker.clean_session:
            await self._take_over(old, wanted)
        else:
            await self._bridge(old, wanted)

    async def _take_over(self, old: _Link, wanted: Configuration) -> None:
        """A session that persists: the broker ends the old connection when the new one comes (MQTT 3.1.1,
        3.1.4-2), and delivers what the old one had not acknowledged once more.

        Another address may be another broker, or the same one: what becomes of the old connection tells.
        """
        await self._try_out(old, wanted)
        # An acknowledgement that the broker does not come to read would have the message worked on twice.
        old.feed.hold_acks()
        try:
            with contextlib.suppress(ConnectionLostError):
                await old.round_trip()
            # From here on the end of the old connection is our own doing.
            self._link, self._past = None, old
            self._link = await self._open(wanted, old.connection.client_id)
        except BaseException:
            was_taken_over = self._past is not old and old.is_at(wanted)
            if old.connection.is_open and not was_taken_over:
                # Otherwise nobody would read them: the next connection acknowledges.
                old.feed.release_acks()
                self._link, self._past = old, None
            raise
        await self._end(old)

    async def _try_out(self, old: _Link, wanted: Configuration) -> None:
        """See under a throw-away client id whether the broker can be had at all."""
        with self._trying():
            trial = self._link_to(wanted, self._throwaway_id(), clean=True)
            try:
                await trial.connection.open()
            except ConnectRefusedError:
                if old.is_at(wanted):
                    raise
                # Perhaps only this client id is refused; a direct attempt at another broker risks nothing.
            finally:
                await trial.connection.close()

    async def _end(self, old: _Link) -> None:
        """End a connection whose session was perhaps taken over."""
        try:
            await old.round_trip()
        except ConnectionLostError:
            await old.connection.close()
            if self._link and not old.is_at(self._link.configuration):
                await old.give_away()
        else:
            old.feed.release_acks()
            self._retire(old)

    async def _bridge(self, old: _Link, wanted: Configuration) -> None:
        """The same client id, but a session that the broker forgets: what is queued for it would be lost
        between the old connection and the new. So another connection consumes in the meantime.
        """
        with self._trying():
            try:
                bridge = await self._open(wanted, self._throwaway_id(), clean=True)
            except ConnectRefusedError:
                if old.is_at(wanted):
                    raise
                # Perhaps only this client id is refused.
                bridge = await self._open(wanted, self._client_id(wanted))
                self._link = bridge
                self._retire(old)
                return
            self._link, bridge.stands_in = bridge, True
        await self._let_go(old)
        try:
            self._link = await self._open(wanted, self._client_id(wanted))
        except BaseException:
            await self._return_to(old.configuration, bridge)
            raise
        self._retire(bridge)

    async def _return_to(self, configuration: Configuration, bridge: _Link) -> None:
        try:
            self._link = await self._open(configuration, self._client_id(configuration))
        except (ConnectRefusedError, ConnectionLostError, SubscribeRefusedError) as error:
            log.warning("going on under a stand-in client id until the right one is let in", error=str(error))
        else:
            self._retire(bridge)

    # Links

    def _link_to(
        self,
        configuration: Configuration,
        client_id: str,
        *,
        clean: bool = False,
        inherits: Feed | None = None,
    ) -> _Link:
        broker = configuration.target.broker
        assert broker is not None
        if clean:
            broker = _clean(broker)
        feed = Feed(
            self._pipeline, client_id, _routing(configuration), inherits, persists=not broker.clean_session
        )

        def lost(refusal: Refusal) -> None:
            self._lost(link, refusal)

        connection = Connection(
            broker,
            client_id=client_id,
            password=configuration.target.secrets.password,
            client_key=configuration.target.secrets.client_key,
            on_message=feed.receive,
            on_lost=lost,
            on_released=feed.released,
            connect_timeout_seconds=self._connect_timeout_seconds,
        )
        feed.attach(connection)
        link = _Link(configuration, connection, feed, None if broker.clean_session else self._leftovers)
        return link

    async def _open(self, wanted: Configuration, client_id: str, *, clean: bool = False) -> _Link:
        """A connection with all filters granted, or none at all.

        Raises:
            ConnectRefusedError, ConnectionLostError, SubscribeRefusedError
        """
        past = self._predecessor(wanted, client_id)
        link = self._link_to(wanted, client_id, clean=clean, inherits=past.feed if past else None)
        if link.persists:
            link.follow(wanted, _by_topic(self._stood_in(link)) | (past.all_routes if past else {}))
        try:
            await link.connection.open()
            await self._establish(link, past)
            if not link.connection.is_open:
                # Its end came before anybody could be told.
                raise ConnectionLostError("the connection ended at once")
        except BaseException:
            await self._give_up(link, past)
            raise
        link.connected_at = datetime.now(UTC)
        if words := unverified(wanted.target):
            # At each connection: nobody who looks at the log shall miss it.
            log.warning(words, **link.connection.broker_info)
        self._past = None
        return link

    def _predecessor(self, wanted: Configuration, client_id: str) -> _Link | None:
        past, broker = self._past, wanted.target.broker
        if past is None or broker is None or not past.persists:
            return None
        # At another address it may be the same broker; what the session has there is not taken for granted.
        return past if past.connection.client_id == client_id else None

    def _stood_in(self, link: _Link) -> Target:
        """What worked last in the session of this connection, perhaps in an earlier run."""
        standing = self._standing
        if standing and standing.target.broker and self._client_id(standing) == link.connection.client_id:
            return standing.target
        return Target()

    async def _establish(self, link: _Link, past: _Link | None) -> None:
        """Bring the session at the broker to the wanted filters, whatever it has kept."""
        filters = link.configuration.target.filters
        if not link.connection.session_present:
            link.feed.forget()
            await link.subscribe(filters)
            return
        if past:
            link.possible |= past.possible
            link.granted = dict(past.granted) if past.is_at(link.configuration) else {}
        link.possible |= self._leftovers.of(link.session_name) | self._stood_in(link).filters.keys()
        # A filter that is subscribed as it should be is left alone: SUBSCRIBE sends retained messages again.
        # Shared ones have no retained messages (MQTT 5, 4.8.2), and Mosquitto forgets them when it restarts.
        await link.subscribe(
            {
                topic: qos
                for topic, qos in filters.items()
                if link.granted.get(topic) != qos or topics.is_shared(topic)
            }
        )
        await link.unsubscribe(link.possible - filters.keys())

    async def _give_up(self, link: _Link, past: _Link | None) -> None:
        """End a failed attempt, whatever the broker has granted it by now."""
        if past and link.connection.has_asked and not link.connection.session_present:
            # The session was a new one, or may have been: the next connection goes on with that one.
            past.granted.clear()
        # Cancelled once more it would leave a connection behind.
        with self._trying(cancellable=False):
            # Known before `open` returns: redelivery begins right behind CONNACK.
            accepted = link.connection.session_present is not None
            routing = self._dealt_to(link) if accepted else None
            if routing:
                link.feed.routing = routing
                await self._hand_over(link)
            else:
                await self._abandon(link, past, accepted=accepted)

    def _dealt_to(self, link: _Link) -> Routing | None:
        """Where the messages go that a group has dealt to this connection: nobody else gets them.

        Those that are not shared, or of a group that only the attempt is in, come to the connection at work
        as well. A session that goes on keeps them.
        """
        if link.persists and self._link is None:
            return None
        at_work = (self._link or link).configuration
        filters = at_work.target.filters.keys() & link.possible
        return _routing(at_work) if any(map(topics.is_shared, filters)) else None

    async def _hand_over(self, link: _Link) -> None:
        if self._client_id_stays(link, link.configuration):
            # The next attempt has the same client id, and would end this one before it is drained.
            await self._let_go(link)
        else:
            self._retire(link)

    async def _abandon(self, link: _Link, past: _Link | None, *, accepted: bool) -> None:
        """Leave no new subscription in a session that persists."""
        link.feed.close()
        try:
            if accepted and link.persists:
                await self._restore_session(link, past)
        finally:
            await link.connection.close()

    async def _restore_session(self, link: _Link, past: _Link | None) -> None:
        """The session goes on from here, with all that the attempt took over from its predecessor."""
        if not link.connection.session_present:
            link.feed.forget()
        # The broker has messages for them, or will have.
        here = self._standing is not None and link.is_at(self._standing)
        kept = set(self._stood_in(link).filters if here else ())
        with contextlib.suppress(ConnectionLostError):
            await link.unsubscribe(link.possible - kept)
        link.possible |= kept | (past.possible if past else set())
        self._past = link

    def _lost(self, link: _Link, refusal: Refusal) -> None:
        if link is self._link:
            self._link, self._past = None, link
            self._on_lost(refusal)

    def _retire(self, link: _Link) -> None:
        name = f"retire {link.connection.client_id}"
        task = asyncio.get_running_loop().create_task(self._let_go(link), name=name)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _let_go(self, link: _Link) -> None:
        """Unsubscribe, work off what the broker still has for this connection, acknowledge, disconnect."""
        link.feed.drain()
        try:
            async with asyncio.timeout(_RETIRE_SECONDS):
                await link.unsubscribe(set(link.possible))
                await self._drain(link)
        except ConnectionLostError as error:
            log.info("the old connection ended before it was drained", error=str(error))
        except TimeoutError:
            log.warning("the old connection was not drained in time")
        finally:
            await link.connection.close()

    async def _leave(self, link: _Link) -> None:
        """Stop for good. A session that persists keeps its subscriptions: the broker holds messages for the
        next run of this instance.
        """
        if not link.persists:
            await self._let_go(link)
            return
        link.feed.close()
        await link.feed.idle()

    async def _drain(self, link: _Link) -> None:
        """Acknowledging makes room for messages that the broker has queued. It answers in order, so when an
        empty round trip brought nothing new, it has none left.
        """
        while True:
            await link.feed.idle()
            received = link.feed.received
            await link.round_trip()
            if link.feed.received == received:
                await link.feed.idle()
                return

    # Client ids

    def _client_id(self, configuration: Configuration) -> str:
        """MQTT 3.1.1, 3.1.3.1. One of our own is stable where the broker keeps the session."""
        if configuration.client_id:
            return configuration.client_id
        broker = configuration.target.broker
        return self._base_id if broker and not broker.clean_session else self._throwaway_id()

    def _throwaway_id(self) -> str:
        return f"{self._base_id}-{secrets.token_hex(4)}"

    def _is_fixed(self, configuration: Configuration) -> bool:
        broker = configuration.target.broker
        return bool(configuration.client_id) or (broker is not None and not broker.clean_session)

    def _client_id_stays(self, old: _Link, wanted: Configuration) -> bool:
        broker = wanted.target.broker
        if broker is None or not self._is_fixed(wanted):
            return False
        return old.connection.client_id == self._client_id(wanted)


def _by_topic(target: Target) -> dict[tuple[int, str], Route]:
    return {(route.subscription_id, route.topic): route for route in target.routes.values()}


def _routing(*configurations: Configuration, former: Iterable[Route] = ()) -> Routing:
    routes = [route for each in configurations for route in each.target.routes.values()]
    last = configurations[-1]
    return Routing(
        router=Router(routes),
        former=Router(former),
        revision=last.revision,
        variables=last.variables,
        secrets=last.target.secrets.named,
    )


def _clean(broker: Broker) -> Broker:
    return structs.replace(broker, clean_session=True)


def _rejected(error: Exception) -> RejectedError:
    if isinstance(error, ConnectRefusedError):
        return RejectedError(str(error.refusal), fatal=error.refusal.fatal)
    if isinstance(error, SubscribeRefusedError):
        return RejectedError(f"the broker refused to subscribe {error}", fatal=True)
    return RejectedError(f"the connection was lost on the way: {error}")
